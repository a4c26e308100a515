"""What other ways to learn ANML's head gave: by when a class was learned, what its rows answer
half-way, and in sentences.
"""

from __future__ import annotations

import pandas as pd

from anml.findings.curves import shown
from anml.findings.lengths_found import REPLICATE
from anml.findings.lengths_said import points
from anml.findings.rates_found import edge_of
from anml.meta_testing.head_rules import HEAD_RULES
from anml.results import Table
from anml.stats import replicates, summary, two_level_interval
from anml.store.tables import (
    BELOW,
    LEARNED,
    OF_LEARNED,
    OF_TO_COME,
    OWN,
    TESTING,
    TRAINING,
)

USUAL, HELD, ZERO, SGD = HEAD_RULES
"""The rules' names; the first is how everything else is meta-tested."""
RUN = ["rule", "learning_rate"]
WORDS = {
    HELD: "With the rows of classes that have not come yet held still",
    ZERO: "With a head that starts from zeros",
    SGD: "With SGD",
}
"""The other rules in words."""
OUTPUTS = {
    "class to come: own row": (OF_TO_COME, OWN),
    "class to come: rows learned": (OF_TO_COME, LEARNED),
    "own row above, % of rows learned": (OF_TO_COME, BELOW),
    "learned class: own row": (OF_LEARNED, OWN),
    "learned class: other rows learned": (OF_LEARNED, LEARNED),
}
"""What a table of `head_outputs` shows for reading: column to drawings and metric."""


def part_values(table: Table, seed: int = 0) -> pd.DataFrame:
    """Return the accuracies of a `head_rules` table by rule, rate and tenth of the classes.

    Columns: `rule`, `learning_rate`, `metric`, `part` (from 1), `mean`, `low`, `high` (fractions;
    two-level bootstrap interval, seeded with `seed`), `models`, `trajectories`, `best` (whether the
    rate is its rule's best) and `n_classes` (N). Rules in their order.
    """
    frame = longest(table)
    values = _summary(table, frame, ["part"], seed)
    return values.assign(n_classes=frame["n_classes"].iloc[0])


def whole_values(table: Table, seed: int = 0) -> pd.DataFrame:
    """Return the same over all classes, without `part`."""
    return _summary(table, over_parts(table), [], seed)


def _summary(table: Table, rows: pd.DataFrame, more: list[str], seed: int) -> pd.DataFrame:
    """`rows` of `table` by rule, in the order of `HEAD_RULES`, rate, metric and `more`; `best`."""
    values = summary(rows, [*RUN, "metric", *more], seed=seed)
    values["best"] = values["learning_rate"] == values["rule"].map(best_rates(table))
    places = {rule: place for place, rule in enumerate(HEAD_RULES)}
    # Each rule's rows are in order already.
    return values.sort_values("rule", key=lambda r: r.map(places), kind="stable", ignore_index=True)


def best_rates(table: Table) -> dict[str, float]:
    """Return each rule's rate with the best mean testing accuracy over all classes."""
    rows = over_parts(table)
    means = rows[rows["metric"] == TESTING].groupby(RUN)["value"].mean()
    return {rule: own.idxmax()[1] for rule, own in means.groupby("rule")}


def longest(table: Table) -> pd.DataFrame:
    """Return the rows of such a table after the most classes that it has."""
    frame = table.frame
    return frame[frame["n_classes"] == frame["n_classes"].max()]


def over_parts(table: Table) -> pd.DataFrame:
    """Return one row a run of a `head_rules` table: the mean over the parts of its classes.

    They hold as many classes each, give or take one.
    """
    keys = [*RUN, *REPLICATE, "n_classes", "metric"]
    return longest(table).groupby(keys, as_index=False)["value"].mean()


def rate_sheet(table: Table, seed: int = 0) -> pd.DataFrame:
    """Return every rule and rate for reading, in per cent: all classes, the first and last tenth.

    A star marks each rule's best rate. The last tenth is there on the drawings learned from, too:
    what was never learned is low there as well.
    """
    whole, parts, best = whole_values(table, seed), part_values(table, seed), best_rates(table)
    first, last = (parts[parts["part"] == part] for part in (1, parts["part"].max()))
    columns = {
        "all, testing": (whole, TESTING),
        "all, training": (whole, TRAINING),
        "first tenth, testing": (first, TESTING),
        "last tenth, testing": (last, TESTING),
        "last tenth, training": (last, TRAINING),
    }
    cells = {
        name: values[values["metric"] == metric].set_index(RUN)
        for name, (values, metric) in columns.items()
    }
    return pd.DataFrame(
        {
            "way": rule,
            "rate": _starred(rate, best[rule]),
            **{name: _per_cent(own.loc[rule, rate]) for name, own in cells.items()},
        }
        for rule, rate in cells["all, testing"].index
    )


def _per_cent(row: pd.Series) -> str:
    """A mean with its interval."""
    return shown(row["mean"], row["low"], row["high"])


def output_sheet(outputs: Table, table: Table, seed: int = 0) -> pd.DataFrame:
    """Return `head_outputs` for reading: what rows answer half-way, a row a rule and rate.

    Means over runs, the share of rows in per cent with its interval; a star marks each rule's best
    rate as `table`, of `head_rules`, has it.
    """
    best = best_rates(table)
    found = summary(longest(outputs), [*RUN, "drawings", "metric"], seed=seed)
    cells = found.set_index([*RUN, "drawings", "metric"])
    present = set(found[RUN].itertuples(index=False, name=None))
    rows = []
    for rule, rate in ((name, rate) for name, own in HEAD_RULES.items() for rate in own.rates):
        if (rule, rate) in present:
            own = cells.loc[rule, rate]
            answers = {name: _answer(own, where) for name, where in OUTPUTS.items()}
            rows.append({"way": rule, "rate": _starred(rate, best[rule])} | answers)
    return pd.DataFrame(rows)


def _answer(cells: pd.DataFrame, where: tuple[str, str]) -> str:
    """One mean of `OUTPUTS`; a dash where there was nothing to take it of."""
    if where not in cells.index:
        return "-"
    own = cells.loc[where]
    return _per_cent(own) if where[1] == BELOW else f"{own['mean']:z.1f}"


def half_words(outputs: Table) -> str:
    """Return how many of how many classes `head_outputs` had learned: `300 of 600`."""
    learned, n = longest(outputs)[["learned", "n_classes"]].iloc[0]
    return f"{learned} of {n}"


def _starred(rate: float, best: float) -> str:
    """A rate, with a star where it is its rule's best."""
    return f"{rate:g}" + " *" * bool(rate == best)


def at_best(table: Table) -> pd.DataFrame:
    """Return the testing accuracy of each run at its rule's best rate, over all its classes."""
    rows = over_parts(table)
    best = rows["learning_rate"] == rows["rule"].map(best_rates(table))
    return rows[best & (rows["metric"] == TESTING)]


def lines(table: Table, seed: int = 0) -> list[str]:
    """Return what each rule changed at its best rate, over all classes, a sentence each.

    Over the models and trajectories of both, pair by pair, with a two-level bootstrap interval.
    A best rate that is the smallest or largest of its rule says so.
    """
    runs = dict(list(at_best(table).groupby("rule")))
    rates = {rule: _rate_words(rule, rate) for rule, rate in best_rates(table).items()}
    usual = runs[USUAL]
    own = two_level_interval(usual["value"], usual["model_seed"], seed=seed)
    found = [
        f"{USUAL}, as everywhere else here: {100 * own.mean:.1f}% after "
        f"{usual['n_classes'].iloc[0]} classes ({replicates(own.models, own.trajectories)}), "
        f"at its best rate of these, {rates[USUAL]}."
    ]
    for rule, words in WORDS.items():
        if rule in runs:
            pairs = runs[rule].merge(usual, on=REPLICATE, suffixes=("", "_usual"))
            change = pairs["value"] - pairs["value_usual"]
            gain = two_level_interval(change, pairs["model_seed"], seed=seed)
            found.append(
                f"{words}: {100 * runs[rule]['value'].mean():.1f}% at its best rate, "
                f"{rates[rule]}: {points(gain.mean, gain.low, gain.high)} points."
            )
    return found


def _rate_words(rule: str, rate: float) -> str:
    """A best rate, and whether none was tried beyond it."""
    edge = edge_of(rate, HEAD_RULES[rule].rates)
    return f"{rate:g}" + f" (the {edge} tried)" * bool(edge)
