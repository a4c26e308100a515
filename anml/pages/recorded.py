"""What recorded runs gave at each profile: what a reader's own rerun is to be compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import pandas as pd

from anml.figures.plot_fig6 import CURVES
from anml.figures.plot_figs9 import figs9_rows
from anml.figures.plot_learning import learning_values
from anml.figures.plot_rates import RATES, best_rates, rates_values
from anml.findings.disagreement_values import question_rows
from anml.findings.head_found import at_best
from anml.findings.measure import ACTIVITY, KNN_K
from anml.meta_testing.head_rules import HEAD_RULES
from anml.meta_testing.regimes import SEQUENTIAL
from anml.questions import QUESTIONS
from anml.results import Table, duration
from anml.stats import model_words, replicates
from anml.store.tables import LAST_SHARE, LOG_METRICS, TESTING
from anml.treatments import IN_ORDER, treatment_of

MEANING = (
    "Mean over models and trajectories, and in parentheses the smallest and the largest single "
    "value, in per cent. A rerun of a profile with the same seeds differs on another machine by "
    "rounding, which meta-training amplifies until its models are others. Where several models "
    "make the span, expect yours inside it or close by; where there is one, the span is that of "
    "its trajectories alone, and another model often lies some points outside. A profile without "
    "a column has nothing of this recorded yet."
)

RowsOf = Callable[[Table], pd.DataFrame]
"""Of a table, the single values to show: columns `what` (the quantity in words), `value` (fraction)
and `model_seed`; perhaps `trajectory_seed` and `n_classes`."""


def spread_sheet(tables: Mapping[str, Table], rows_of: RowsOf) -> pd.DataFrame:
    """Return what each recorded run gave, in words: a row a quantity, a column a profile with any.

    Where there are several N, the longest; of a quantity that was measured less far, its own, which
    then stands behind it.
    """
    found = {profile: _at_the_longest_n(rows_of(table)) for profile, table in tables.items()}
    found = {profile: rows for profile, rows in found.items() if len(rows)}
    what = dict.fromkeys(name for rows in found.values() for name in rows["what"])
    columns = {}
    for profile, rows in found.items():
        source = tables[profile].provenance
        columns[profile] = {
            "drawings": "Omniglot" if source.data_source == "omniglot" else "embedded ones",
            "compute time": duration(source.seconds),
            **({"N": str(rows["n_classes"].max())} if "n_classes" in rows else {}),
            "most replicates": _replicates(rows),
            **{name: _span(rows[rows["what"] == name], rows) for name in what},
        }
    names = dict.fromkeys(name for own in columns.values() for name in own)
    sheet = pd.DataFrame(columns, index=list(names))
    return sheet.rename_axis("").reset_index()


def accuracy_rows(
    treatments: Sequence[str], regimes: Sequence[str] = ("sequential",), optimizer: str = "adam"
) -> RowsOf:
    """Return a `RowsOf` for `meta_test` tables: testing accuracies."""

    def rows_of(table: Table) -> pd.DataFrame:
        frame = table.frame
        known = frame["treatment"].isin(list(treatments)) & frame["regime"].isin(list(regimes))
        rows = frame[known & (frame["optimizer"] == optimizer) & (frame["metric"] == TESTING)]
        words = rows["treatment"]
        if len(regimes) > 1:
            words = words + ", " + rows["regime"]
        places = {name: place for place, name in enumerate([*IN_ORDER, *regimes])}
        order = rows[["treatment", "regime"]].map(places.get)
        return rows.assign(what=words).loc[order.sort_values(["treatment", "regime"]).index]

    return rows_of


def order_rows(table: Table) -> pd.DataFrame:
    """A `RowsOf` for `class_accuracy` tables: testing accuracy of early and of late classes."""
    rows = figs9_rows(table)
    tenth = rows["n_classes"] / 10
    parts = {"first": rows["position"] < tenth, "last": rows["position"] >= 9 * tenth}
    keys = ["treatment", "n_classes", "model_seed", "trajectory_seed"]
    means = [
        rows[chosen].groupby(keys, as_index=False)["value"].mean().assign(part=part)
        for part, chosen in parts.items()
    ]
    frame = pd.concat(means).sort_values([*keys[:2], "part"])
    words = frame["treatment"] + ", " + frame["part"] + " tenth of the classes"
    return frame.assign(what=words)


def activity_rows(table: Table) -> pd.DataFrame:
    """A `RowsOf` for `activity` tables: shares of active units."""
    words = {
        layer: f"{'OML' if layer == 'oml' else 'ANML'}: {w}" for w, (layer, _) in ACTIVITY.items()
    }
    rows = table.frame[table.frame["metric"] == "share active"]
    return _in_order(rows.assign(what=rows["layer"].map(words)), words.values())


def knn_rows(table: Table) -> pd.DataFrame:
    """A `RowsOf` for `knn` tables: accuracy of five neighbours."""
    words = {name: f"{label}, K = {KNN_K}" for name, (label, _) in CURVES.items()}
    rows = table.frame[table.frame["k"] == KNN_K]
    return _in_order(rows.assign(what=rows["representation"].map(words)), words.values())


def answer_rows(table: Table) -> pd.DataFrame:
    """A `RowsOf` for `disagreements` tables: testing accuracy of every answer."""
    words = [f"{q.title} {answer}" for q in QUESTIONS for answer in q.answers]
    found = [
        rows.assign(what=f"{q.title} " + rows["answer"])
        for q in QUESTIONS
        if len(rows := question_rows(table, q))
    ]
    rows = pd.concat(found, ignore_index=True) if found else table.frame.assign(what="")
    return _in_order(rows[rows["metric"] == TESTING], words)


def length_rows(table: Table) -> pd.DataFrame:
    """A `RowsOf` for `lengths` tables: testing accuracy after each number of meta-iterations."""
    frame = table.frame
    own = (frame["metric"] == TESTING) & (frame["regime"] == SEQUENTIAL.name)
    rows = frame[own].sort_values("iterations", kind="stable")
    words = rows["treatment"] + " after " + rows["iterations"].map("{:,}".format)
    return rows.assign(what=words + " meta-iterations")


def head_rows(table: Table) -> pd.DataFrame:
    """A `RowsOf` for `head_rules` tables: testing accuracy of every rule at its best rate."""
    rows = at_best(table)
    return _in_order(rows.assign(what=rows["rule"]), HEAD_RULES)


def rate_rows(table: Table) -> pd.DataFrame:
    """A `RowsOf` for `training_rates` tables: accuracy of every pair of rates that was tried."""
    best = best_rates(rates_values(table)).sort_values(["training", *RATES])
    inner = best["inner_rate"].map(lambda rate: f"inner rate {rate:g}, " if rate else "")
    names, outer = best["training"].map(treatment_of), best["outer_rate"].map("{:g}".format)
    words = names + ", " + inner + "outer rate " + outer
    return best.assign(what=words, value=best["mean"], model_seed=0)


def remember_rows(table: Table) -> pd.DataFrame:
    """A `RowsOf` for `meta_train_log` tables: accuracy on the remember set at the end."""
    values = learning_values(table)
    values = values[values["metric"] == LOG_METRICS[2]]
    longest = values.groupby("training")["iteration"].transform("max")
    last = values[values["iteration"] > (1 - LAST_SHARE) * longest]
    means = last.groupby(["training", "model_seed"], as_index=False)["value"].mean()
    words = "remember set of " + means["training"].map(treatment_of)
    return means.assign(what=words)


def _in_order(rows: pd.DataFrame, words: Iterable[str]) -> pd.DataFrame:
    """The rows whose quantity is one of `words`, in that order."""
    places = {name: place for place, name in enumerate(words)}
    rows = rows[rows["what"].isin(list(places))]
    return rows.iloc[rows["what"].map(places).argsort(kind="stable")]


def _at_the_longest_n(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows at the longest N that their quantity was measured at."""
    if "n_classes" not in rows:
        return rows
    return rows[rows["n_classes"] == rows.groupby("what")["n_classes"].transform("max")]


def _replicates(rows: pd.DataFrame) -> str:
    """The replicates of the quantity that has most, in words."""
    models = rows.groupby("what")["model_seed"].nunique().max()
    if "trajectory_seed" not in rows:
        return model_words(models)
    most = rows.groupby(["what", "model_seed"])["trajectory_seed"].nunique().max()
    return replicates(models, most)


def _span(own: pd.DataFrame, rows: pd.DataFrame) -> str:
    """The mean of a quantity and the span of its single values in per cent; '' where it has none.

    With its N where that is not the longest of all `rows`.
    """
    values = own["value"]
    if values.empty:
        return ""
    span = f" ({100 * values.min():.1f} to {100 * values.max():.1f})" if len(values) > 1 else ""
    shorter = "n_classes" in own and own["n_classes"].max() < rows["n_classes"].max()
    at = f", N = {own['n_classes'].max()}" if shorter else ""
    return f"{100 * values.mean():.1f}{span}{at}"
