"""Intervals and tests against results that are known without them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from anml.stats import mann_whitney, model_means, smallest_p, two_level_interval


def test_the_mean_weighs_models_alike_however_many_trajectories_they_have():
    interval = two_level_interval([0.0, 1.0, 1.0, 1.0], [0, 1, 1, 1])
    assert interval.mean == pytest.approx(0.5)
    assert (interval.models, interval.trajectories) == (2, 3)
    assert interval.replicates == "2 models × 3 trajectories"


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
        ([1.0], [0], {"level": 1.0}),
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


def test_a_tiny_p_is_not_shown_as_zero():
    assert "p < 0.001" in mann_whitney(np.arange(10) + 100, np.arange(10)).text


def test_tests_compare_models_and_not_trajectories():
    import synthetic_table

    frame = synthetic_table.frame(models=3, trajectories=5)
    rows = frame[(frame["treatment"] == "ANML") & (frame["n_classes"] == 50)]
    means = model_means(rows)
    assert means.shape == (3,)
    assert means[1] == pytest.approx(rows.loc[rows["model_seed"] == 1, "value"].mean())
