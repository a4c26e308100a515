"""Intervals and tests that say how many replicates stand behind them.

Replicates come in two levels: meta-trained models, and meta-test trajectories of each model. Two
trajectories of one model share its weights, so they are not independent of each other: intervals
resample both levels, and tests between treatments compare models.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import mannwhitneyu

LEVEL = 0.95
RESAMPLES = 4000
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Interval:
    """A mean and its interval, in the units of the values; NaN bounds where there is one value."""

    mean: float
    low: float
    high: float
    level: float
    models: int
    trajectories: int  # of the model that has most

    @property
    def replicates(self) -> str:
        """The replicates in words: `2 models × 3 trajectories`."""
        return replicates(self.models, self.trajectories)


@dataclass(frozen=True)
class Comparison:
    """A two-sided Mann-Whitney U test; `p` is None where the replicates cannot support one."""

    u: float
    p: float | None
    n_a: int
    n_b: int
    text: str


def replicates(models: int, trajectories: int) -> str:
    """Return replicates in words, in the singular where it is one."""
    return (
        f"{models} model{'s' if models != 1 else ''} × "
        f"{trajectories} trajector{'ies' if trajectories != 1 else 'y'}"
    )


def two_level_interval(
    values: ArrayLike,
    models: ArrayLike,
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Return the mean over models and its two-level bootstrap percentile interval.

    Each resample draws models with replacement and, within each drawn model, its trajectories with
    replacement. With a single model only its trajectories are resampled: the interval then leaves
    out how models differ, and `Interval.models` says so. With a single value there is no interval.

    Args:
        values: `[n]`, one a (model, trajectory).
        models: `[n]`, the model that each value belongs to.
        level: coverage in (0, 1).
        resamples: bootstrap resamples, at least 1.
        seed: of the resampling; the same seed gives the same interval.

    Raises:
        ValueError: no values, lengths that differ, a value that is not finite, `level` or
            `resamples` out of range.
    """
    values, models = np.asarray(values, dtype=np.float64), np.asarray(models)
    if values.ndim != 1 or values.shape != models.shape or not len(values):
        raise ValueError(f"values and models must be [n], n > 0: {values.shape}, {models.shape}")
    if not np.isfinite(values).all():
        raise ValueError("values must be finite")
    if not (0 < level < 1 and resamples >= 1):
        raise ValueError(f"level must be in (0, 1), resamples at least 1: {level}, {resamples}")
    # Sorting makes the interval a property of the observations, not of the order of the rows.
    groups = [np.sort(values[models == model]) for model in np.unique(models)]
    groups.sort(key=lambda group: group.tolist())
    mean = float(np.mean([group.mean() for group in groups]))
    sizes = np.array([len(group) for group in groups])
    low = high = float("nan")
    if len(values) > 1:
        rng = np.random.default_rng(seed)
        drawn = rng.integers(len(groups), size=(resamples, len(groups)))
        # [resamples, models, most trajectories], a model's unused places masked out.
        padded = np.zeros((len(groups), sizes.max()))
        for row, group in zip(padded, groups, strict=True):
            row[: len(group)] = group
        counts = sizes[drawn][..., None]
        places = rng.integers(counts, size=(*drawn.shape, sizes.max()))
        used = np.arange(sizes.max()) < counts
        chosen = padded[drawn[..., None], places]
        means = (chosen.sum(-1, where=used) / counts[..., 0]).mean(-1)
        low, high = (float(q) for q in np.quantile(means, [(1 - level) / 2, (1 + level) / 2]))
    return Interval(mean, low, high, level, len(groups), int(sizes.max()))


def summary(frame: pd.DataFrame, by: list[str], *, seed: int = 0) -> pd.DataFrame:
    """Return one row a group of `by`: `mean`, `low`, `high`, `models`, `trajectories`.

    `frame` is a `meta_test` table; every group is one treatment under one condition.
    """
    rows = []
    for key, group in frame.groupby(by, sort=True):
        interval = two_level_interval(group["value"], group["model_seed"], seed=seed)
        rows.append(
            dict(zip(by, key, strict=True))
            | {
                "mean": interval.mean,
                "low": interval.low,
                "high": interval.high,
                "models": interval.models,
                "trajectories": interval.trajectories,
            }
        )
    return pd.DataFrame(rows)


def model_means(frame: pd.DataFrame) -> np.ndarray:
    """Return each model's mean value, `[models]`: the independent replicates of a treatment."""
    return frame.groupby("model_seed")["value"].mean().to_numpy()


def smallest_p(n_a: int, n_b: int) -> float:
    """Return the smallest two-sided p that an exact Mann-Whitney U test of these sizes can give."""
    return min(1.0, 2 / comb(n_a + n_b, n_a)) if n_a and n_b else 1.0


def mann_whitney(a: ArrayLike, b: ArrayLike) -> Comparison:
    """Compare independent values `a` `[n_a]` and `b` `[n_b]`, two-sided.

    No p-value is given where even complete separation could not reach 0.05 (fewer than four values
    a side when both sides are equally many): the text then says how many there are.

    Raises:
        ValueError: a side is empty or holds values that are not finite.
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if not (a.size and b.size and np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("both sides must hold finite values")
    test = mannwhitneyu(a, b, alternative="two-sided")
    if smallest_p(len(a), len(b)) > SIGNIFICANT:
        text = f"no p-value: {len(a)} and {len(b)} replicates are too few"
        return Comparison(float(test.statistic), None, len(a), len(b), text)
    p = float(test.pvalue)
    shown = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    text = f"Mann-Whitney U = {test.statistic:g}, {shown} ({len(a)} and {len(b)} replicates)"
    return Comparison(float(test.statistic), p, len(a), len(b), text)
