"""What the figures of the representations share: one model's rows, a heading, published numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from anml.errors import AnmlError
from anml.figures.plot_style import MUTED, say_source
from anml.findings.claims import published
from anml.findings.curves import network_label, shown
from anml.findings.measure import measured
from anml.results import Provenance, Table
from anml.stats import mann_whitney, model_means
from anml.store.tables import listing

PLACE = "4.2"
"""The paper's section on representations, as `published.csv` names it."""
COMPARED = ("id", "treatment", "number", "published", "mean", "low", "high", "models")
TESTED = ("of", "against", "difference", "test")
"""The columns of `comparison` and of `pair_tests`, which may have no rows."""


def shown_model(table: Table, model_seed: int) -> int:
    """Return the model that a page shows: the one asked for, or with -1 the table's first."""
    return int(table.frame["model_seed"].min()) if model_seed == -1 else model_seed


def of_model(table: Table, model_seed: int) -> pd.DataFrame:
    """Return the rows of one model.

    Raises:
        AnmlError: the table holds no model of that seed.
    """
    rows = table.frame[table.frame["model_seed"] == model_seed]
    if rows.empty:
        held = sorted(set(table.frame["model_seed"]))
        raise AnmlError(
            f"parameter model_seed={model_seed!r}: the table holds no such model; "
            f"allowed: {listing(held)}"
        )
    return rows


def heading(figure: Figure, provenance: Provenance, lines: Sequence[str]) -> None:
    """Say above the figure which drawings and networks it rests on, then `lines`; 1.1 inches."""
    height = figure.get_figheight()
    say_source(figure, provenance.data_source, 1 - 0.2 / height)
    for place, line in enumerate((network_label(provenance), *lines)):
        y = 1 - (0.46 + 0.21 * place) / height
        figure.text(0.012, y, line, fontsize=9, color=MUTED, va="center")


def published_rows(metrics: Sequence[str]) -> pd.DataFrame:
    """Return the rows of `published.csv` on representations whose metric is one of `metrics`."""
    rows = published()
    return rows[(rows["place"] == PLACE) & rows["metric"].isin(list(metrics))]


def comparison(metrics: Sequence[str], tables: Mapping[str, Table], seed: int = 0) -> pd.DataFrame:
    """Return the published numbers of section 4.2 beside the measured ones, in per cent.

    Columns `COMPARED`; `published` is NaN unless the results are Omniglot's, where it was measured,
    `low` and `high` are where there is one model. A row a published number that `tables` (by name,
    one at least) hold a measurement of.
    """
    real = all(table.provenance.data_source == "omniglot" for table in tables.values())
    found = []
    for _, row in published_rows(metrics).iterrows():
        value = measured(row, tables, seed=seed)
        if value is not None:
            found.append(
                {
                    "id": row["id"],
                    "treatment": row["treatment"],
                    "number": row["metric"],
                    "published": float(row["value"]) if real else np.nan,
                    "mean": 100 * value.value,
                    "low": 100 * value.low,
                    "high": 100 * value.high,
                    "models": value.models,
                }
            )
    return pd.DataFrame(found, columns=list(COMPARED))


def comparison_sheet(compared: pd.DataFrame) -> pd.DataFrame:
    """Return `comparison` for reading: text, `mean [low, high]`, a row a number.

    The paper's column is there only beside results on Omniglot.
    """
    values = compared[["mean", "low", "high"]].div(100).itertuples(index=False)
    text = [shown(*value) for value in values]
    sheet = pd.DataFrame({"treatment": compared["treatment"], "%": compared["number"]})
    if compared["published"].notna().all():
        sheet["paper"] = compared["published"].map("{:g}".format)
    return sheet.assign(measured=text, models=compared["models"])


def comparison_glue(compared: pd.DataFrame) -> dict[str, float]:
    """Return the measured numbers that prose cites, in per cent, under the ledger's names."""
    return {name: round(mean, 1) for name, mean in zip(compared.id, compared["mean"], strict=True)}


def pair_tests(
    rows: pd.DataFrame, column: str, pairs: Iterable[tuple[str, str]], words: Mapping[str, str]
) -> pd.DataFrame:
    """Return the paper's comparisons of two layers each, between models.

    `rows`: a value of each model and each layer named in `column`; `words`: the layers' names.
    Columns `TESTED`; `difference` is of the means, in percentage points. A pair with a layer that
    was not probed has no row.
    """
    result = []
    for pair in pairs:
        one, other = (model_means(rows[rows[column] == name]) for name in pair)
        if not (len(one) and len(other)):
            continue
        result.append(
            {
                "of": words[pair[0]],
                "against": words[pair[1]],
                "difference": f"{100 * (one.mean() - other.mean()):+.1f}",
                "test": mann_whitney(one, other).text,
            }
        )
    return pd.DataFrame(result, columns=list(TESTED))


def kept_sheet(
    own: Table, kept: Table, column: str, words: Mapping[str, str], title: str
) -> pd.DataFrame:
    """Return what keeping the redrawn row changed, in per cent and points, for reading.

    `kept`: the table of models that were meta-trained so. Both have one value of a model and of
    what `column` names; `words`: how, and in which order, these are called in the column `title`.
    Over the models that both have: with one seed they start from the same weights and meet the
    same classes.
    """
    keys = ["model_seed", column]
    one, other = (table.frame[[*keys, "value"]] for table in (own, kept))
    pairs = one.merge(other, on=keys, suffixes=("", "_kept"))
    means = 100 * pairs.groupby(column)[["value", "value_kept"]].mean()
    means = means.loc[[name for name in words if name in means.index]]
    ways = {"value": ("in the copy", own), "value_kept": ("kept", kept)}
    sheet = pd.DataFrame({title: [words[name] for name in means.index]})
    for name, (way, table) in ways.items():
        length = table.provenance.profile_values["meta_iterations"]
        sheet[f"{way}, after {length:,}"] = means[name].map("{:.1f}".format).to_list()
    change = (means["value_kept"] - means["value"]).map("{:+.1f}".format)
    return sheet.assign(
        **{"change, points": change.to_list()}, models=pairs["model_seed"].nunique()
    )
