"""The tests that decide the paper's claims in words: each finds a margin in result tables.

A margin is the smallest lead, or how far a limit is kept, in fractions; the claim holds where it is
above 0. Every test takes frames by table name and the bootstrap's seed, and returns None where the
tables do not hold what it needs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import pandas as pd

from anml.stats import Interval, relative_drop, two_level_interval
from anml.tables import TESTING, TRAINING

Side = tuple[str, str]
"""A treatment and a regime."""
Frames = Mapping[str, pd.DataFrame]

LONGEST = 600
"""The paper's longest trajectory."""
REPLICATE = ["model_seed", "trajectory_seed"]
NO_ROWS = pd.DataFrame(columns=["treatment", "regime", "n_classes", *REPLICATE, "metric", "value"])


@dataclass(frozen=True)
class Finding:
    """What one claim's test found.

    `margin`: in fractions, with two-level bootstrap bounds. `text`: the values behind it, for
    people. `n_classes`: the longest N that it is about, None for representations.
    """

    margin: Interval
    text: str
    n_classes: int | None


def leads(
    frames: Frames,
    seed: int,
    *,
    first: Side,
    others: Sequence[Side],
    every: bool = False,
    least: int = 2,
) -> Finding | None:
    """By how much `first` leads each of `others` in testing accuracy, where it leads least.

    At the longest N that all of them were run at, or at `every` such N from `least` on.
    """
    sides = {side: _accuracy(frames, side) for side in (first, *others)}
    numbers = _shared_numbers(sides.values(), least)
    found = []
    for n in numbers if every else numbers[-1:]:
        ours = _at(sides[first], n)
        for side in others:
            theirs = _at(sides[side], n)
            if (margin := _paired(ours, theirs, seed)) is None:
                return None
            values = f"{_named(ours, first)}, {_named(theirs, side)}, N = {n}"
            found.append((margin, values))
    if not found:
        return None
    margin, text = min(found, key=lambda one: one[0].mean)
    return Finding(margin, text, numbers[-1])


def in_order(frames: Frames, seed: int, *, sides: Sequence[Side]) -> Finding | None:
    """By how much each of `sides` leads the next in testing accuracy, where it leads least."""
    found = [
        leads(frames, seed, first=better, others=(worse,)) for better, worse in pairwise(sides)
    ]
    return None if None in found else min(found, key=lambda finding: finding.margin.mean)


def forgets_less(frames: Frames, seed: int, *, first: str, others: Sequence[str]) -> Finding | None:
    """By how much the relative drop of `first` is smaller than the smallest one of `others`."""
    names = (first, *others)
    sides = {
        (name, regime): _accuracy(frames, (name, regime))
        for name in names
        for regime in ("oracle", "sequential")
    }
    numbers = _shared_numbers(sides.values())
    if not numbers:
        return None
    at = {side: _at(frame, numbers[-1]) for side, frame in sides.items()}
    if any(at[name, "oracle"]["value"].max() <= 0 for name in names):
        return None  # of nothing, nothing can be lost
    drops = {n: relative_drop(at[n, "oracle"], at[n, "sequential"], seed=seed) for n in names}
    other = min(others, key=lambda name: drops[name].mean)
    ours, theirs = drops[first], drops[other]
    # The bounds are those of two separate intervals: wider than the difference's own.
    margin = replace(
        ours,
        mean=theirs.mean - ours.mean,
        low=theirs.low - ours.high,
        high=theirs.high - ours.low,
    )
    values = ", ".join(f"{_percent(drops[name].mean)} {name}" for name in (first, other))
    return Finding(margin, f"drop: {values}, N = {numbers[-1]}", numbers[-1])


def stays_below(
    frames: Frames, seed: int, *, sides: Sequence[Side], limit: float
) -> Finding | None:
    """By how much the training accuracy of each of `sides` stays below `limit` at the longest N."""
    rows = [_accuracy(frames, side, TRAINING) for side in sides]
    numbers = _shared_numbers(rows)
    if not numbers:
        return None
    rows = [_at(frame, numbers[-1]) for frame in rows]
    margins = [
        two_level_interval(limit - frame["value"], frame["model_seed"], seed=seed) for frame in rows
    ]
    values = ", ".join(_named(*one) for one in zip(rows, sides, strict=True))
    return Finding(_least(margins), f"{values}, N = {numbers[-1]}", numbers[-1])


def memorises_only(
    frames: Frames, seed: int, *, sides: Sequence[Side], by: float
) -> Finding | None:
    """By how much more than `by` training accuracy exceeds testing accuracy at the longest N."""
    rows = {
        (side, metric): _accuracy(frames, side, metric)
        for side in sides
        for metric in (TRAINING, TESTING)
    }
    numbers = _shared_numbers(rows.values())
    if not numbers:
        return None
    rows = {key: _at(frame, numbers[-1]) for key, frame in rows.items()}
    margins = [_paired(rows[side, TRAINING], rows[side, TESTING], seed) for side in sides]
    if None in margins:
        return None
    values = "; ".join(
        f"{_named(rows[side, TRAINING], side)}, held-out {_mean(rows[side, TESTING])}"
        for side in sides
    )
    return Finding(_beyond(_least(margins), by), f"{values}, N = {numbers[-1]}", numbers[-1])


def exceeds(
    frames: Frames,
    seed: int,
    *,
    table: str,
    high: dict[str, str | int],
    low: dict[str, str | int],
    by: float = 0.0,
) -> Finding | None:
    """By how much more than `by` the rows `high` of a table of models exceed the rows `low`.

    `high` and `low`: column to value; the last value names the rows in the text.
    """
    if table not in frames:
        return None
    sides = [_where(frames[table], chosen).assign(trajectory_seed=0) for chosen in (high, low)]
    margin = _paired(*sides, seed)
    if margin is None:
        return None
    names = (list(chosen.values())[-1] for chosen in (high, low))
    text = ", ".join(f"{_mean(rows)} {name}" for rows, name in zip(sides, names, strict=True))
    return Finding(_beyond(margin, by), text, None)


def sparse_without_dead(frames: Frames, seed: int) -> Finding | None:
    """By how much the gate lowers the share of ANML's active units, without a single dead one."""
    active = {"treatment": "ANML", "metric": "share active"}
    before, after = (active | {"layer": layer} for layer in ("latent", "gated"))
    sparser = exceeds(frames, seed, table="activity", high=before, low=after)
    if sparser is None:
        return None
    dead = _where(frames["activity"], after | {"metric": "dead units"})
    if dead.empty:
        return None
    text = f"active: {sparser.text}; dead: {_mean(dead)}"
    # A share is at most 1: one dead unit makes the margin negative, whatever the gate does.
    return Finding(_beyond(sparser.margin, float(dead["value"].max() > 0)), text, None)


def order_matters_little(
    frames: Frames, seed: int, *, treatment: str, limit: float
) -> Finding | None:
    """By how much less than `limit` the classes learned first and last (a third each) differ."""
    frame = _where(frames.get("class_accuracy", NO_ROWS), {"treatment": treatment})
    numbers = _shared_numbers([frame])
    if not numbers:
        return None
    n = numbers[-1]
    frame = _at(frame, n)
    first, last = (
        frame[part].groupby(REPLICATE)["value"].mean().reset_index()
        for part in (frame["position"] < n / 3, frame["position"] >= n - n / 3)
    )
    gap = _paired(last, first, seed)
    if gap is None:
        return None
    bounds = sorted((abs(gap.low), abs(gap.high)))
    nearest = 0.0 if gap.low < 0 < gap.high else bounds[0]
    margin = replace(gap, mean=limit - abs(gap.mean), low=limit - bounds[1], high=limit - nearest)
    text = f"{_mean(first)} for the first third, {_mean(last)} for the last, N = {n}"
    return Finding(margin, text, n)


def _accuracy(frames: Frames, side: Side, metric: str = TESTING) -> pd.DataFrame:
    """The rows of one treatment under one regime; none where there is no such table."""
    treatment, regime = side
    wanted = {"treatment": treatment, "regime": regime, "metric": metric}
    return _where(frames.get("meta_test", NO_ROWS), wanted)


def _where(frame: pd.DataFrame, chosen: Mapping[str, str | int]) -> pd.DataFrame:
    """The rows that have these values."""
    for column, value in chosen.items():
        frame = frame[frame[column] == value]
    return frame


def _at(frame: pd.DataFrame, n: int) -> pd.DataFrame:
    return frame[frame["n_classes"] == n]


def _shared_numbers(frames: Sequence[pd.DataFrame], least: int = 2) -> list[int]:
    """Every N, from `least` to the paper's longest, that all of `frames` hold."""
    shared = set.intersection(*(set(frame["n_classes"]) for frame in frames))
    return sorted(int(n) for n in shared if least <= n <= LONGEST)


def _paired(ours: pd.DataFrame, theirs: pd.DataFrame, seed: int) -> Interval | None:
    """The mean of `ours` - `theirs` over the replicates that both have; None if there are none.

    Trajectories are the same for every treatment: what they share cancels.
    """
    both = ours.merge(theirs, on=REPLICATE, suffixes=("", "_theirs"))
    if both.empty:
        return None
    return two_level_interval(both["value"] - both["value_theirs"], both["model_seed"], seed=seed)


def _least(margins: Sequence[Interval]) -> Interval:
    return min(margins, key=lambda margin: margin.mean)


def _beyond(margin: Interval, by: float) -> Interval:
    """The margin over and above `by`."""
    return replace(margin, mean=margin.mean - by, low=margin.low - by, high=margin.high - by)


def _mean(frame: pd.DataFrame) -> str:
    """The mean over models, in per cent."""
    return _percent(frame.groupby("model_seed")["value"].mean().mean())


def _named(frame: pd.DataFrame, side: Side) -> str:
    """The mean with whose it is."""
    treatment, regime = side
    name = treatment if regime == "sequential" else f"{treatment} ({regime})"
    return f"{_mean(frame)} {name}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}%"
