"""Intervals and tests against results that are known without them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from scipy.stats import binom, norm

from anml.stats import (
    above_chance,
    mann_whitney,
    model_means,
    relative_drop,
    replicates,
    smallest_p,
    student_interval,
    two_level_interval,
)


def test_the_mean_weighs_models_alike_however_many_trajectories_they_have():
    interval = two_level_interval([0.0, 1.0, 1.0, 1.0], [0, 1, 1, 1])
    assert interval.mean == pytest.approx(0.5)
    assert (interval.models, interval.trajectories) == (2, 3)
    assert replicates(interval.models, interval.trajectories) == "2 models × 3 trajectories"


def test_of_four_models_students_interval_holds_what_it_says_and_the_bootstraps_less():
    """What the glossary says of them: models and trajectories that differ alike, or otherwise."""
    rng, held = np.random.default_rng(1), []
    for trajectories, noise in ((1, 1), (5, 1), (5, 3)):
        models, inside = np.repeat(np.arange(4), trajectories), []
        for _ in range(400):
            own, others = rng.normal(size=(4, 1)), rng.normal(0, noise, (4, trajectories))
            values = (own + others).ravel()
            found = (
                two_level_interval(values, models, resamples=600),
                student_interval(values, models),
            )
            inside.append([one.low <= 0 <= one.high for one in found])
        held.append(np.mean(inside, axis=0))
    bootstrap, student = np.transpose(held)
    assert (bootstrap < student).all()
    glossary = (Path(__file__).parents[1] / "book" / "glossary.md").read_text(encoding="utf-8")
    stated = re.search(r"true mean in (\d+)% to (\d+)% of the cases", glossary)
    ends = (bootstrap.min(), bootstrap.max())
    assert [round(100 * share) for share in ends] == [int(stated[1]), int(stated[2])]
    assert (abs(student - 0.95) < 0.03).all()


def test_many_models_give_the_normal_interval_of_the_mean():
    values = np.random.default_rng(0).normal(size=400)
    interval = two_level_interval(values, np.arange(400))
    half = norm.ppf(0.975) * values.std() / np.sqrt(400)
    assert interval.low == pytest.approx(values.mean() - half, abs=0.01)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.01)


def test_differences_between_models_widen_the_interval():
    # 10 models that differ by 1 (standard deviation) with trajectories that hardly do: resampling
    # all 1,000 values alike would give an interval ten times narrower.
    rng = np.random.default_rng(0)
    models = np.repeat(np.arange(10), 100)
    values = rng.normal(size=10)[models] + rng.normal(scale=0.01, size=1000)
    interval = two_level_interval(values, models)
    plain = two_level_interval(values, np.arange(1000))
    assert interval.high - interval.low > 5 * (plain.high - plain.low)


def test_one_model_still_varies_over_its_trajectories_and_one_value_not_at_all():
    interval = two_level_interval([0.1, 0.2, 0.3], [7, 7, 7])
    assert 0.1 <= interval.low < 0.2 < interval.high <= 0.3
    assert interval.models == 1
    alone = two_level_interval([0.5], [0])
    assert alone.mean == 0.5
    assert np.isnan(alone.low)
    assert np.isnan(alone.high)


def test_the_seed_and_the_values_decide_the_interval_and_the_order_of_rows_does_not():
    rng = np.random.default_rng(1)
    values, models = rng.random(12), np.repeat([0, 1, 2], 4)
    order = rng.permutation(12)
    first = two_level_interval(values, models, seed=3)
    assert two_level_interval(values[order], models[order], seed=3) == first
    assert two_level_interval(values, models, seed=4) != first


@pytest.mark.parametrize(
    ("values", "models", "options"),
    [
        ([], [], {}),
        ([1.0, 2.0], [0], {}),
        ([1.0, np.nan], [0, 1], {}),
        ([1.0], [0], {"resamples": 0}),
    ],
)
def test_bad_input_is_refused(values, models, options):
    with pytest.raises(ValueError, match="must"):
        two_level_interval(values, models, **options)


def test_few_replicates_give_no_p_value_even_when_they_separate_completely():
    result = mann_whitney([0.9, 0.8, 0.7], [0.1, 0.2, 0.3])
    assert result.p is None
    assert "p =" not in result.text
    assert "3 and 3 replicates are too few" in result.text


def test_four_a_side_are_enough_and_the_exact_p_is_known():
    result = mann_whitney([0.9, 0.8, 0.7, 0.6], [0.1, 0.2, 0.3, 0.4])
    assert result.p == pytest.approx(2 / 70)  # 2 of the 8! / (4! 4!) orders are as extreme
    assert smallest_p(4, 4) == pytest.approx(2 / 70)
    assert "4 and 4 replicates" in result.text


@pytest.mark.parametrize(
    ("a", "b", "p"),
    [
        ([0.9, 0.9, 0.9, 0.9], [0.1, 0.2, 0.3, 0.4], 2 / 70),
        ([0.9, 0.8, 0.7, 0.4], [0.1, 0.2, 0.3, 0.4], 4 / 70),
        ([0.5] * 4, [0.5] * 4, 1.0),
    ],
)
def test_ties_leave_p_exact(a, b, p):
    """The share of the 70 splits whose U lies as far from its mean, counted by hand."""
    result = mann_whitney(a, b)
    assert result.p == pytest.approx(p)
    assert result.p >= smallest_p(4, 4)


def test_a_tiny_p_is_not_shown_as_zero():
    assert "p < 0.001" in mann_whitney(np.arange(10) + 100, np.arange(10)).text


def test_tests_compare_models_and_not_trajectories():
    import synthetic_table

    frame = synthetic_table.frame(models=3, trajectories=5)
    rows = frame[(frame["treatment"] == "ANML") & (frame["n_classes"] == 50)]
    means = model_means(rows)
    assert means.shape == (3,)
    assert means[1] == pytest.approx(rows.loc[rows["model_seed"] == 1, "value"].mean())


def sides(oracle, sequential, trajectories=3):
    """Two frames of one treatment: models times trajectories, values by model."""
    frames = []
    for values in (oracle, sequential):
        rows = [(m, t, v) for m, v in enumerate(values) for t in range(trajectories)]
        frames.append(pd.DataFrame(rows, columns=["model_seed", "trajectory_seed", "value"]))
    return frames


def test_the_papers_own_drop_comes_out():
    drop = relative_drop(*sides([0.71] * 3, [0.638] * 3))
    assert drop.mean == pytest.approx(0.1014, abs=1e-4)
    assert drop.low == pytest.approx(drop.high)
    assert (drop.models, drop.trajectories) == (3, 3)


def test_models_that_are_good_in_both_regimes_are_compared_with_themselves():
    # Each model loses a tenth, however good it is: in pairs the drop is the same in each resample.
    oracle = np.linspace(0.2, 0.8, 6)
    paired = relative_drop(*sides(oracle, 0.9 * oracle))
    assert paired.high - paired.low < 1e-9
    whole, kept = sides(oracle, 0.9 * oracle)
    apart = relative_drop(whole, kept.assign(model_seed=kept["model_seed"] + 100))
    assert apart.mean == pytest.approx(paired.mean)
    assert apart.high - apart.low > 0.1


def test_a_gain_is_a_negative_drop_and_nothing_can_be_lost_of_nothing():
    assert relative_drop(*sides([0.5], [0.6])).mean == pytest.approx(-0.2)
    with pytest.raises(ValueError, match="above 0"):
        relative_drop(*sides([0.0], [0.1]))
    with pytest.raises(ValueError, match="rows"):
        relative_drop(sides([0.5], [0.5])[0], pd.DataFrame())


def test_one_value_a_side_has_no_interval():
    assert np.isnan(relative_drop(*sides([0.5], [0.4], trajectories=1)).low)


def by_class(rights, held_out=5, trajectories=2):
    """A `class_accuracy` frame of one model: how many drawings of each class are right."""
    rows = [
        (0, t, len(rights), place, right / held_out)
        for t in range(trajectories)
        for place, right in enumerate(rights)
    ]
    columns = ["model_seed", "trajectory_seed", "n_classes", "position", "value"]
    return pd.DataFrame(rows, columns=columns)


def test_classes_are_tested_against_chance_by_the_binomial_law():
    rights = [0, 1, 2, 5] + [0] * 46
    test = above_chance(by_class(rights), 5)
    assert test.drawings == 10
    for place in range(4):
        # The chance of at least that many right of 10, each with 1/50.
        chances = binom.pmf(np.arange(2 * rights[place], 11), 10, 1 / 50)
        assert test.p[place] == pytest.approx(chances.sum())
    # 4 of 10 right has p = 3.0e-5 and is not enough; 10 of 10 is.
    assert test.share == pytest.approx(1 / 50)
    assert test.low < 0.02 < test.high
    assert above_chance(by_class(rights), 5, threshold=1e-4).share == pytest.approx(2 / 50)


def test_the_share_of_a_whole_number_of_classes_has_an_exact_interval():
    test = above_chance(by_class([5] * 100), 5)
    assert (test.share, test.high) == (1.0, 1.0)
    assert test.low == pytest.approx(0.025 ** (1 / 100))


def test_too_few_drawings_give_no_share():
    test = above_chance(by_class([5] * 5, trajectories=1), 5)
    assert test.share is None
    assert test.p == pytest.approx([0.2**5] * 5)


def test_a_class_that_is_missing_is_refused():
    frame = by_class([1, 2, 3])
    with pytest.raises(ValueError, match="equally often"):
        above_chance(frame.iloc[:-1], 5)
    with pytest.raises(ValueError, match="one number of classes"):
        above_chance(frame.iloc[:0], 5)


def test_student_interval_covers_what_it_says_where_a_bootstrap_of_three_does_not():
    rng = np.random.default_rng(0)
    inside = {student_interval: 0, two_level_interval: 0}
    for _ in range(400):
        values = rng.normal(0, 1, 3)
        for make in inside:
            found = make(values, np.zeros(3))
            inside[make] += found.low <= 0 <= found.high
    assert 0.92 < inside[student_interval] / 400 < 0.98
    assert inside[two_level_interval] / 400 < 0.85


def test_student_interval_counts_models_where_there_are_several():
    values, models = np.repeat([1.0, 2.0, 6.0], 2), np.repeat([0, 1, 2], 2)
    found = student_interval(values, models)
    low, high = scipy.stats.t.interval(0.95, 2, 3.0, scipy.stats.sem([1.0, 2.0, 6.0]))
    assert (found.mean, found.models, found.trajectories) == (3.0, 3, 2)
    assert np.allclose([found.low, found.high], [low, high])
    assert np.isnan(student_interval(values[:4], models[:4]).low)  # two models
