"""What was measured for a row of `published.csv`: one function for each kind of number.

Only values and replicates are found here; what they say about the published number is judged in the
ledger.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd

from anml.drawings.packed import DRAWINGS_PER_CLASS
from anml.meta_testing.trajectories import TRAINING_DRAWINGS
from anml.results import Provenance, Table
from anml.stats import Interval, above_chance, relative_drop, two_level_interval
from anml.store.tables import TESTING, TRAINING

HELD_OUT = DRAWINGS_PER_CLASS - TRAINING_DRAWINGS
DROP = "relative drop"
ABOVE_CHANCE = "share of classes above chance"
# The rows of section 4.2: the treatment's layer in `activity`, and what was counted in it.
ACTIVITY = {
    "units active before the gate": ("latent", "share active"),
    "units active after the gate": ("gated", "share active"),
    "units active in NM's last layer": ("gate", "share active"),
    "units active": ("oml", "share active"),
}
DEAD = "dead units"
DEAD_LAYERS = {"ANML": "gated", "OML": "oml"}
KNN = {
    "kNN accuracy of NM activations": "nm",
    "kNN accuracy of a random-weight NM": "nm random",
    "kNN accuracy of the latent before the gate": "latent",
    "kNN accuracy of the latent after the gate": "gated",
}
KNN_K = 5
PAPER_REPLICATES = 100
"""Ten models with ten trajectories each: the values behind a point in the paper."""


@dataclass(frozen=True)
class Measured:
    """A measured number beside a published one; fractions, NaN bounds where there is one value.

    `n_classes` is the N that it was measured at: the published N, else the longest one below it
    that was run; None for numbers that have no N.
    """

    value: float
    low: float
    high: float
    models: int
    trajectories: int  # a model; 1 for numbers that need no trajectory
    n_classes: int | None


Row = Mapping[str, str] | pd.Series


def measured(
    row: Row, tables: Mapping[str, Table], *, optimizer: str = "adam", seed: int = 0
) -> Measured | None:
    """Return what `tables` hold for one row of `published.csv`, or None if nothing.

    Args:
        row: with the columns `treatment`, `regime`, `n_classes` ('600', '>=50' or '') and `metric`.
        tables: by name, 'meta_test', 'class_accuracy', 'activity' and 'knn'; any may be missing.
        optimizer: at meta-test.
        seed: of the bootstrap intervals.

    Raises:
        ValueError: the row's metric is none that is measured.
    """
    metric = row["metric"]
    for metrics, table, find in _FINDERS:
        if metric in metrics:
            if table not in tables:
                return None
            frame = rows_with(optimizer, table, tables[table])
            return find(row, frame[_of_treatment(row, frame)], seed)
    raise ValueError(f"nothing measures the metric {metric!r}")


def rows_with(optimizer: str, name: str, table: Table) -> pd.DataFrame:
    """Return the rows of the table `name` that hold with `optimizer` at meta-test.

    All of them where nothing is meta-tested.
    """
    frame = table.frame
    if "optimizer" in frame:
        return frame[frame["optimizer"] == optimizer]
    if name == "class_accuracy" and optimizer != class_optimizer(table.provenance):
        return frame.iloc[:0]
    return frame


def class_optimizer(provenance: Provenance) -> str:
    """Return the optimiser at meta-test of a `class_accuracy` table: its profile's first.

    The table has no column that says so (`anml.running.evaluations.keeps_classes`).
    """
    return provenance.profile_values.get("optimizers", ["adam"])[0]


def _of_treatment(row: Row, frame: pd.DataFrame) -> pd.Series:
    """Return which rows of `frame` are the row's treatment; all of them in tables of ANML alone."""
    if "treatment" not in frame:
        return pd.Series(True, index=frame.index)
    return frame["treatment"] == row["treatment"]


def as_many_drawings(row: Row, found: Measured) -> bool:
    """Return whether a number that depends on how many drawings stand behind it has the paper's.

    The fewer drawings of a class, the larger the share of them that it takes to be above chance.
    """
    return row["metric"] != ABOVE_CHANCE or found.models * found.trajectories >= PAPER_REPLICATES


def _accuracy(row: Row, frame: pd.DataFrame, seed: int) -> Measured | None:
    """The mean at one N; for a range of N (a bound that holds from there on), the largest mean."""
    frame = frame[(frame["metric"] == row["metric"]) & (frame["regime"] == row["regime"])]
    number = int(re.sub(r"\D", "", row["n_classes"]))
    if row["n_classes"].startswith(">="):
        means = {
            n: _of(two_level_interval(group["value"], group["model_seed"], seed=seed), int(n))
            for n, group in frame[frame["n_classes"] >= number].groupby("n_classes")
        }
        return max(means.values(), key=lambda one: one.value, default=None)
    n = _longest(number, set(frame["n_classes"]))
    if n is None:
        return None
    at = frame[frame["n_classes"] == n]
    return _of(two_level_interval(at["value"], at["model_seed"], seed=seed), n)


def _drop(row: Row, frame: pd.DataFrame, seed: int) -> Measured | None:
    """The relative drop of testing accuracy from the Oracle to one class after another."""
    frame = frame[frame["metric"] == TESTING]
    oracle, sequential = (frame[frame["regime"] == name] for name in ("oracle", "sequential"))
    n = _longest(int(row["n_classes"]), {*oracle["n_classes"]} & {*sequential["n_classes"]})
    if n is None:
        return None
    oracle, sequential = (side[side["n_classes"] == n] for side in (oracle, sequential))
    if not (oracle["value"] > 0).any():
        return None  # of nothing, nothing can be lost
    return _of(relative_drop(oracle, sequential, seed=seed), n)


def _share(row: Row, frame: pd.DataFrame, seed: int) -> Measured | None:
    """The share of classes above chance, at the longest N of the table that is not beyond it."""
    frame = frame[frame["metric"] == TESTING]
    n = _longest(int(row["n_classes"]), set(frame["n_classes"]))
    if n is None:
        return None
    test = above_chance(frame[frame["n_classes"] == n], HELD_OUT)
    if test.share is None:
        return None
    return Measured(test.share, test.low, test.high, test.models, test.trajectories, n)


def _activity(row: Row, frame: pd.DataFrame, seed: int) -> Measured | None:
    layer, metric = ACTIVITY.get(row["metric"], (DEAD_LAYERS.get(row["treatment"]), DEAD))
    return _over_models(frame[(frame["layer"] == layer) & (frame["metric"] == metric)], seed)


def _knn(row: Row, frame: pd.DataFrame, seed: int) -> Measured | None:
    chosen = (frame["representation"] == KNN[row["metric"]]) & (frame["k"] == KNN_K)
    return _over_models(frame[chosen], seed)


_FINDERS: tuple[tuple[tuple[str, ...], str, Callable[..., Measured | None]], ...] = (
    ((TRAINING, TESTING), "meta_test", _accuracy),
    ((DROP,), "meta_test", _drop),
    ((ABOVE_CHANCE,), "class_accuracy", _share),
    ((*ACTIVITY, DEAD), "activity", _activity),
    (tuple(KNN), "knn", _knn),
)


def _longest(wanted: int, run: set[int]) -> int | None:
    """Return the N of `run` to show beside a number published at `wanted`."""
    return max((int(n) for n in run if n <= wanted), default=None)


def _over_models(frame: pd.DataFrame, seed: int) -> Measured | None:
    """The mean over models of a number that needs no trajectory."""
    if frame.empty:
        return None
    return _of(two_level_interval(frame["value"], frame["model_seed"], seed=seed), None)


def _of(interval: Interval, n_classes: int | None) -> Measured:
    return Measured(
        interval.mean,
        interval.low,
        interval.high,
        interval.models,
        interval.trajectories,
        n_classes,
    )
