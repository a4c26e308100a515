"""The search of OML's and pretraining's rates: its grid, what a job leaves, what is 'chosen'."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import pandas as pd
import pytest

from anml.data import Drawings
from anml.profiles import PROFILES, Profile
from anml.running.jobs import Place, read_part
from anml.running.rate_search import GRIDS, RateJob, plan_rate_search
from anml.store.tables import checked


def test_the_grid_is_the_one_of_the_specification_and_one_rate_more() -> None:
    jobs = [dict(job.rates) for job in plan_rate_search(PROFILES["paper"])]
    pairs = {(r["oml_inner_rate"], r["oml_outer_rate"]) for r in jobs if "oml_inner_rate" in r}
    assert pairs == set(product((0.01, 0.03, 0.1), (1e-4, 3e-4, 1e-3, 3e-3)))
    assert {r["pretrain_rate"] for r in jobs if "pretrain_rate" in r} == {1e-4, 3e-4, 1e-3, 3e-3}
    assert len(jobs) == 16


def test_a_profile_without_a_budget_searches_nothing() -> None:
    assert plan_rate_search(replace(PROFILES["paper"], rate_search_iterations=0)) == {}


def test_rates_are_judged_at_no_more_classes_than_the_profile_learns() -> None:
    for name, numbers in (("quick", {(50, 200), (10, 50)}), ("smoke", {(20,), (10, 20)})):
        assert {job.n_classes for job in plan_rate_search(PROFILES[name])} == numbers


def test_every_profile_uses_rates_of_the_grid() -> None:
    """What was searched is what is used: no rate comes from elsewhere."""
    for profile, grid in product(PROFILES.values(), GRIDS):
        for name, values in grid.rates.items():
            assert getattr(profile, name) in values, (profile.name, name)


@pytest.mark.parametrize(
    ("training", "treatments", "used", "other"),
    [
        ("oml", ("OML", "OML-OLFT"), {"oml_inner_rate": 0.03, "oml_outer_rate": 1e-3}, 0.1),
        ("pretrain", ("Pretrain & Transfer",), {"pretrain_rate": 1e-3}, 1e-4),
    ],
)
def test_what_a_job_leaves(
    training: str,
    treatments: tuple[str, ...],
    used: dict[str, float],
    other: float,
    tiny: Profile,
    noise_drawings: Drawings,
    tmp_path: Path,
) -> None:
    place = Place(replace(tiny, rate_search_iterations=3, **used), tmp_path)
    heard, steps = [], 0
    rows = []
    for rates in (used, used | {next(iter(used)): other}):
        job = RateJob(training, tuple(rates.items()), treatments, (2,))
        steps += job.steps(place.profile)
        job.run(place, noise_drawings, heard.append)
        rows += read_part(job, place)["tables"]["training_rates"]
    frame = checked("training_rates", pd.DataFrame(rows).assign(profile="tiny", data="omniglot"))
    assert set(frame["treatment"]) == set(treatments)
    assert set(frame["iterations"]) == {3}
    assert sum(heard) == steps
    assert frame["chosen"].sum() == len(treatments)  # only the pair that the profile uses
    assert set(frame["learning_rate"]) <= set(tiny.learning_rates)


def test_rates_at_which_training_diverges_are_a_finding(
    tiny: Profile, noise_drawings: Drawings, tmp_path: Path
) -> None:
    """And no reason for the other pairs never to be tried."""
    place = Place(replace(tiny, rate_search_iterations=100), tmp_path)
    job = RateJob("oml", (("oml_outer_rate", 10.0),), ("OML", "OML-OLFT"), (2, 3))
    job.run(place, noise_drawings, lambda _: None)
    rows = read_part(job, place)["tables"]["training_rates"]
    frame = checked("training_rates", pd.DataFrame(rows).assign(profile="tiny", data="omniglot"))
    assert len(frame) == 4
    assert set(frame["value"]) == set(frame["learning_rate"]) == {0.0}


def test_a_search_that_is_trained_has_its_meta_tests_left(
    tiny: Profile, noise_drawings: Drawings, tmp_path: Path
) -> None:
    place = Place(replace(tiny, rate_search_iterations=3), tmp_path)
    job = RateJob("oml", (("oml_inner_rate", 0.03),), ("OML", "OML-OLFT"), (2,))
    job.training.run(job.own(place), noise_drawings, lambda _: None)
    left = job.steps(place.profile) - job.steps_begun(place)
    assert left == 2 * job.drawings_learned(place.profile) > 0
