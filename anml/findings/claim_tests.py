"""The tests that decide the paper's claims in words: each finds a margin in result tables.

A margin is the smallest lead, or how far a limit is kept, in fractions; the claim holds where it is
above 0. Every test takes frames by table name and the seed of the bootstrap, which relative drops
alone need, and returns None where the tables do not hold what it needs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import pandas as pd

from anml.stats import Interval, relative_drop, student_interval
from anml.store.tables import TESTING, TRAINING

Side = tuple[str, str]
"""A treatment and a regime."""
Frames = Mapping[str, pd.DataFrame]

LONGEST = 600
"""The paper's longest trajectory."""
GUESSING = 2.0
"""Below so many times 1/N on both sides, a comparison says nothing: neither learned anything."""
PARTS = 5
"""Stretches of the order of learning that are compared with each other."""
REPLICATE = ["model_seed", "trajectory_seed"]
NO_ROWS = pd.DataFrame(columns=["treatment", "regime", "n_classes", *REPLICATE, "metric", "value"])


@dataclass(frozen=True)
class Finding:
    """What one claim's test found.

    `margin`: in fractions, of the hardest case where the claim is about several, with Student's
    bounds, since a bootstrap of few models spans too little to decide by; those of relative drops
    are a bootstrap's, which is wide enough as the two are taken apart. `text`: the values behind
    it, for people. `n_classes`: the longest N that it is about, None for representations; `at`: the
    N of the case that the margin is of, which may be longer. `models`: the fewest of any case.
    """

    margin: Interval
    text: str
    n_classes: int | None
    at: int | None
    models: int


def leads(
    frames: Frames,
    seed: int,
    *,
    first: Side,
    others: Sequence[Side],
    every: bool = False,
    least: int = 2,
) -> Finding | None:
    """By how much `first` leads each of `others` in testing accuracy, where that is least sure.

    Each at the longest N that it and `first` were run at, or at `every` such N from `least` on;
    without the comparisons in which both do no better than guessing. None if one of them was not
    run at all.
    """
    own = _accuracy(frames, first)
    found: list[Finding] = []
    reached: dict[Side, int] = {}  # the longest N that was compared
    for side in others:
        other = _accuracy(frames, side)
        numbers = _shared_numbers([own, other], least)
        if not numbers:
            return None
        for n in numbers if every else numbers[-1:]:
            ours, theirs = _at(own, n), _at(other, n)
            if max(ours["value"].mean(), theirs["value"].mean()) < GUESSING / n:
                continue
            both = _pairs(ours, theirs)
            if both.empty:
                return None
            theirs = both.assign(value=both["value_theirs"])
            text = f"{_named(both, first)}, {_named(theirs, side)}, N = {n}"
            found.append(_finding(_lead(both), text, n))
            reached[side] = n
    if not found:
        return None
    hardest = _hardest(found)
    return replace(hardest, n_classes=min(reached.values())) if every else hardest


def in_order(frames: Frames, seed: int, *, sides: Sequence[Side]) -> Finding | None:
    """By how much each of `sides` leads the next in testing accuracy, where that is least sure."""
    found = [
        leads(frames, seed, first=better, others=(worse,)) for better, worse in pairwise(sides)
    ]
    return None if None in found else _hardest(found)


def forgets_less(frames: Frames, seed: int, *, first: str, others: Sequence[str]) -> Finding | None:
    """By how much less `first` drops than each of `others`, where that is least sure."""
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
    # The bounds are those of two separate intervals: wider than the difference's own.
    shown = {name: f"{_percent(drops[name].mean)} {name}" for name in names}
    return _hardest(
        [
            _finding(
                _apart(drops[name], drops[first]),
                f"drop: {shown[first]}, {shown[name]}, N = {numbers[-1]}",
                numbers[-1],
            )
            for name in others
        ]
    )


def stays_below(
    frames: Frames, seed: int, *, sides: Sequence[Side], limit: float
) -> Finding | None:
    """By how much the training accuracy of each of `sides` stays below `limit` at the longest N."""
    rows = [_accuracy(frames, side, TRAINING) for side in sides]
    numbers = _shared_numbers(rows)
    if not numbers:
        return None
    rows = [_at(frame, numbers[-1]) for frame in rows]
    margins = [student_interval(limit - frame["value"], frame["model_seed"]) for frame in rows]
    values = ", ".join(_named(*one) for one in zip(rows, sides, strict=True))
    text = f"{values}, N = {numbers[-1]}"
    return _hardest([_finding(margin, text, numbers[-1]) for margin in margins])


def memorises_more(
    frames: Frames, seed: int, *, sides: Sequence[Side], than: Side
) -> Finding | None:
    """By how much training exceeds testing accuracy more for each of `sides` than for `than`.

    Each at the longest N that it and `than` were run at.
    """
    own, found = _gap(frames, than), []
    for side in sides:
        other = _gap(frames, side)
        numbers = _shared_numbers([own, other])
        both = _pairs(*(_at(gap, numbers[-1]) for gap in (other, own))) if numbers else NO_ROWS
        if both.empty:
            return None
        theirs = both.assign(value=both["value_theirs"])
        text = f"gap: {_named(both, side)}, {_named(theirs, than)}, N = {numbers[-1]}"
        found.append(_finding(_lead(both), text, numbers[-1]))
    return _hardest(found)


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
    margin = _paired(*sides)
    if margin is None:
        return None
    names = (list(chosen.values())[-1] for chosen in (high, low))
    text = ", ".join(f"{_mean(rows)} {name}" for rows, name in zip(sides, names, strict=True))
    return _finding(_beyond(margin, by), text, None)


def gate_sparsifies(frames: Frames, seed: int) -> Finding | None:
    """By how much fewer than half of ANML's active units the gate leaves.

    That the gate leaves fewer is no finding: it multiplies by at most 1.
    """
    if "activity" not in frames:
        return None
    active = _where(frames["activity"], {"treatment": "ANML", "metric": "share active"})
    before, after = (
        _where(active, {"layer": layer}).assign(trajectory_seed=0) for layer in ("latent", "gated")
    )
    margin = _paired(before.assign(value=before["value"] / 2), after)
    if margin is None:
        return None
    return _finding(margin, f"active: {_mean(before)} before, {_mean(after)} after", None)


def order_matters_little(
    frames: Frames, seed: int, *, treatment: str, limit: float
) -> Finding | None:
    """By how much less than `limit` fifths of the order of learning differ, best and worst."""
    frame = _where(frames.get("class_accuracy", NO_ROWS), {"treatment": treatment})
    numbers = _shared_numbers([frame])
    if not numbers:
        return None
    n = numbers[-1]
    frame = _at(frame, n)
    part = (frame["position"] * PARTS // n).rename("part")
    means = frame.groupby([part, *REPLICATE])["value"].mean().reset_index()
    level = means.groupby("part")["value"].mean()
    best, worst = (means[means["part"] == which] for which in (level.idxmax(), level.idxmin()))
    gap = _paired(best, worst)
    if gap is None:
        return None
    margin = replace(gap, mean=limit - gap.mean, low=limit - gap.high, high=limit - gap.low)
    shown = (f"{_mean(rows)} for fifth {rows['part'].iloc[0] + 1}" for rows in (best, worst))
    return _finding(margin, f"{', '.join(shown)}, N = {n}", n)


def _accuracy(frames: Frames, side: Side, metric: str = TESTING) -> pd.DataFrame:
    """The rows of one treatment under one regime; none where there is no such table."""
    treatment, regime = side
    wanted = {"treatment": treatment, "regime": regime, "metric": metric}
    return _where(frames.get("meta_test", NO_ROWS), wanted)


def _gap(frames: Frames, side: Side) -> pd.DataFrame:
    """By how much training exceeds testing accuracy, a row a replicate and N."""
    training, testing = (_accuracy(frames, side, metric) for metric in (TRAINING, TESTING))
    keys = [*REPLICATE, "n_classes"]
    both = training.merge(testing[[*keys, "value"]], on=keys, suffixes=("", "_testing"))
    return both.assign(value=both["value"] - both.pop("value_testing"))


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


def _pairs(ours: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    """The replicates that both have: `value` and `value_theirs`.

    Trajectories are the same for every treatment: what they share cancels in the difference.
    """
    return ours.merge(theirs, on=REPLICATE, suffixes=("", "_theirs"))


def _paired(ours: pd.DataFrame, theirs: pd.DataFrame) -> Interval | None:
    """The mean of `ours` - `theirs` over the replicates that both have; None if there are none."""
    both = _pairs(ours, theirs)
    return None if both.empty else _lead(both)


def _lead(both: pd.DataFrame) -> Interval:
    """The mean difference of `_pairs`."""
    return student_interval(both["value"] - both["value_theirs"], both["model_seed"])


def _finding(margin: Interval, text: str, n_classes: int | None) -> Finding:
    """What a single case shows."""
    return Finding(margin, text, n_classes, n_classes, margin.models)


def _hardest(found: Sequence[Finding]) -> Finding:
    """The case that a claim about all of `found` rests on.

    One whose margin is not above 0 if there is such, which alone refutes the claim; else the one
    with the lowest lower bound (where there is an interval): the claim then reaches no further than
    the shortest of the cases does.
    """

    def certainty(one: Finding) -> tuple[bool, float]:
        margin = one.margin
        return margin.mean > 0, margin.mean if math.isnan(margin.low) else margin.low

    hardest = min(found, key=certainty)
    numbers = [one.n_classes for one in found if one.n_classes is not None]
    reach = min(numbers) if numbers and hardest.margin.mean > 0 else hardest.n_classes
    return replace(hardest, n_classes=reach, models=min(one.models for one in found))


def _apart(above: Interval, below: Interval) -> Interval:
    """The difference of two means with bounds that hold whatever the two share."""
    return replace(
        above,
        mean=above.mean - below.mean,
        low=above.low - below.high,
        high=above.high - below.low,
        models=min(above.models, below.models),
        trajectories=min(above.trajectories, below.trajectories),
    )


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
