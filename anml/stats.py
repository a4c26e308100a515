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
from scipy.stats import PermutationMethod, binom, binomtest, mannwhitneyu, t

LEVEL = 0.95
RESAMPLES = 4000
SIGNIFICANT = 0.05
MAX_PERMUTATIONS = 200_000
"""Of two sides with ties; ten replicates a side have 184,756."""
MIN_STUDENT = 3
"""Replicates of a Student interval: with two it would hang on a single difference."""
CLASS_THRESHOLD = 7.96e-6
"""The paper's bound on p for one class to be above chance (section 4.1, Fig. S9)."""


@dataclass(frozen=True)
class Interval:
    """A mean and its interval, in the units of the values; NaN bounds where there is one value."""

    mean: float
    low: float
    high: float
    models: int
    trajectories: int  # of the model that has most


@dataclass(frozen=True)
class Comparison:
    """A two-sided Mann-Whitney U test; `p` is None where the replicates cannot support one."""

    p: float | None
    text: str


@dataclass(frozen=True)
class ChanceTest:
    """One-sided binomial tests of each class against 1/N, and the share of classes that pass.

    `p` `[N]` in order of learning; `share` and its exact (Clopper-Pearson) interval are fractions,
    which say how much chance lies in the classes met, not how models differ. `share` is None where
    even a class with every drawing right could not pass.
    """

    p: np.ndarray
    share: float | None
    low: float
    high: float
    drawings: int  # held-out drawings of a class, over all models and trajectories
    models: int
    trajectories: int


def replicates(models: int, trajectories: int) -> str:
    """Return replicates in words, in the singular where it is one."""
    return f"{model_words(models)} × {trajectory_words(trajectories)}"


def model_words(models: int) -> str:
    """Return a number of models in words: `4 models`."""
    return f"{models} model{'s' if models != 1 else ''}"


def trajectory_words(trajectories: int) -> str:
    """Return a number of trajectories in words: `10 trajectories`."""
    return f"{trajectories} trajector{'ies' if trajectories != 1 else 'y'}"


def two_level_interval(
    values: ArrayLike,
    models: ArrayLike,
    *,
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
        resamples: bootstrap resamples, at least 1.
        seed: of the resampling; the same seed gives the same interval.

    Raises:
        ValueError: no values, lengths that differ, a value that is not finite, no `resamples`.
    """
    values, models = np.asarray(values, dtype=np.float64), np.asarray(models)
    if values.ndim != 1 or values.shape != models.shape or not len(values):
        raise ValueError(f"values and models must be [n], n > 0: {values.shape}, {models.shape}")
    if not np.isfinite(values).all():
        raise ValueError("values must be finite")
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1: {resamples}")
    groups = _groups(values[:, None], models)
    mean = float(np.mean([group.mean() for group in groups]))
    low = high = float("nan")
    if len(values) > 1:
        means = _resampled_means(groups, resamples, seed)[:, 0]
        low, high = _percentiles(means)
    sizes = [len(group) for group in groups]
    return Interval(mean, low, high, len(groups), max(sizes))


def student_interval(values: ArrayLike, models: ArrayLike) -> Interval:
    """Return the mean over models and its Student interval, for verdicts on few replicates.

    The replicates are the models' means where there are several models, else the values of the one
    model, which leaves out how models differ. Where a bootstrap of three values spans no more than
    those three, this covers what it says if they are normal. NaN bounds below three replicates.

    Args:
        values: `[n]`, one a (model, trajectory).
        models: `[n]`, the model that each value belongs to.
    """
    frame = pd.DataFrame({"value": np.asarray(values, dtype=np.float64), "model": models})
    grouped = frame.groupby("model")["value"]
    units = grouped.mean().to_numpy() if grouped.ngroups > 1 else frame["value"].to_numpy()
    low = high = float("nan")
    if len(units) >= MIN_STUDENT:
        half = t.ppf((1 + LEVEL) / 2, len(units) - 1) * units.std(ddof=1) / np.sqrt(len(units))
        low, high = float(units.mean() - half), float(units.mean() + half)
    sizes = grouped.size()
    return Interval(float(units.mean()), low, high, len(sizes), int(sizes.max()))


def _groups(values: np.ndarray, models: np.ndarray) -> list[np.ndarray]:
    """Return the rows of `values` `[n, c]` model by model, `[trajectories, c]` each, sorted.

    Sorting makes an interval a property of the observations, not of the order of the rows.
    """
    groups = [values[models == model] for model in np.unique(models)]
    groups = [group[np.lexsort(group.T[::-1])] for group in groups]
    return sorted(groups, key=lambda group: group.tolist())


def _resampled_means(groups: list[np.ndarray], resamples: int, seed: int) -> np.ndarray:
    """Return means over models `[resamples, c]`: models, then their trajectories, drawn anew.

    The `c` columns of a row are drawn together.
    """
    rng = np.random.default_rng(seed)
    sizes = np.array([len(group) for group in groups])
    drawn = rng.integers(len(groups), size=(resamples, len(groups)))
    # [models, most trajectories, c], a model's unused places masked out.
    padded = np.zeros((len(groups), sizes.max(), groups[0].shape[1]))
    for row, group in zip(padded, groups, strict=True):
        row[: len(group)] = group
    counts = sizes[drawn][..., None]
    places = rng.integers(counts, size=(*drawn.shape, sizes.max()))
    used = (np.arange(sizes.max()) < counts)[..., None]
    chosen = padded[drawn[..., None], places]
    return (chosen.sum(-2, where=used) / counts).mean(-2)


def _percentiles(values: np.ndarray) -> tuple[float, float]:
    """Return the bounds between which the middle `LEVEL` of resampled `values` lies."""
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def relative_drop(oracle: pd.DataFrame, sequential: pd.DataFrame, *, seed: int = 0) -> Interval:
    """Return how much of the Oracle's accuracy is lost by learning in sequence (section 4.1).

    The mean is `1 - sequential / oracle`, of the two means over models: 0 is nothing lost, 1 all of
    it, below 0 a gain. Both frames are rows of a `meta_test` table: one treatment, one metric and
    one number of classes. Where both hold the same models and trajectories these are resampled in
    pairs, since what they share cancels; otherwise each side is resampled by itself.

    Raises:
        ValueError: a frame is empty, or the Oracle's mean is 0, of which nothing can be lost.
    """
    keys = ["model_seed", "trajectory_seed"]
    if oracle.empty or sequential.empty:
        raise ValueError("both frames must hold rows")
    sides = [frame.sort_values(keys) for frame in (oracle, sequential)]
    pairs = [side[keys].to_numpy().tolist() for side in sides]
    columns = [side["value"].to_numpy(dtype=np.float64)[:, None] for side in sides]
    models = [side["model_seed"].to_numpy() for side in sides]
    grouped = [_groups(c, m) for c, m in zip(columns, models, strict=True)]
    whole, kept = (np.mean([group.mean() for group in groups]) for groups in grouped)
    if whole <= 0:
        raise ValueError("the Oracle's mean must be above 0")
    low = high = float("nan")
    if min(map(len, columns)) > 1:
        if pairs[0] == pairs[1]:
            means = _resampled_means(_groups(np.hstack(columns), models[0]), RESAMPLES, seed)
        else:
            means = np.hstack(
                [_resampled_means(g, RESAMPLES, seed + place) for place, g in enumerate(grouped)]
            )
        means = means[means[:, 0] > 0]
        low, high = _percentiles(1 - means[:, 1] / means[:, 0])
    fewer = [min(len(groups) for groups in grouped)]
    fewer.append(min(max(map(len, groups)) for groups in grouped))
    return Interval(float(1 - kept / whole), low, high, *fewer)


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

    p is exact for few values, with ties too: what scipy takes for ties is made for many values, and
    can be smaller than the smallest p that few allow. No p-value is given where even complete
    separation could not reach 0.05 (fewer than four values a side when both sides are equally
    many): the text then says how many there are.

    Raises:
        ValueError: a side is empty or holds values that are not finite.
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if not (a.size and b.size and np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("both sides must hold finite values")
    ties = len(np.unique(np.concatenate((a, b)))) < a.size + b.size
    splits = comb(a.size + b.size, a.size)
    few = ties and splits <= MAX_PERMUTATIONS
    method = PermutationMethod(n_resamples=splits) if few else "auto"
    test = mannwhitneyu(a, b, alternative="two-sided", method=method)
    if smallest_p(len(a), len(b)) > SIGNIFICANT:
        text = f"no p-value: {len(a)} and {len(b)} replicates are too few"
        return Comparison(None, text)
    p = float(test.pvalue)
    shown = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    text = f"Mann-Whitney U = {test.statistic:g}, {shown} ({len(a)} and {len(b)} replicates)"
    return Comparison(p, text)


def above_chance(
    frame: pd.DataFrame, held_out: int, threshold: float = CLASS_THRESHOLD
) -> ChanceTest:
    """Test each class learned against chance, 1/N (paper, section 4.1 and Fig. S9).

    A class is the place in the order of learning: its held-out drawings are counted over all models
    and trajectories, which meet other characters at that place.

    Args:
        frame: rows of a `class_accuracy` table, one treatment and number of classes.
        held_out: held-out drawings of a class in one trajectory.
        threshold: a class is above chance where p is below it.

    Raises:
        ValueError: no rows, several numbers of classes, or classes with different replicates.
    """
    if frame.empty or frame["n_classes"].nunique() != 1:
        raise ValueError("the frame must hold rows of one number of classes")
    n_classes = int(frame["n_classes"].iloc[0])
    counts = frame.groupby("position")["value"].agg(["sum", "count"])
    if len(counts) != n_classes or counts["count"].nunique() != 1:
        raise ValueError("every class must be there, and equally often")
    drawings = held_out * int(counts["count"].iloc[0])
    right = (held_out * counts["sum"]).round().to_numpy()
    p = binom.sf(right - 1, drawings, 1 / n_classes)
    models = frame["model_seed"].nunique()
    trajectories = int(frame.groupby("model_seed")["trajectory_seed"].nunique().max())
    if float(n_classes) ** -drawings >= threshold:
        return ChanceTest(p, None, np.nan, np.nan, drawings, models, trajectories)
    passed = int((p < threshold).sum())
    bounds = binomtest(passed, n_classes).proportion_ci(LEVEL, method="exact")
    return ChanceTest(
        p, passed / n_classes, bounds.low, bounds.high, drawings, models, trajectories
    )
