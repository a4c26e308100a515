"""Which meta-tests a profile asks for, what each leaves, and the choice of a learning rate."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import pandas as pd
import pytest

from anml.drawings.packed import Drawings
from anml.meta_test import Run, Score
from anml.meta_testing.frozen_features import KnownFeatures
from anml.meta_testing.regimes import REGIMES
from anml.meta_training.episodes import Stream
from anml.profiles import PROFILES, Profile
from anml.running import jobs as jobs_module
from anml.running import points
from anml.running.evaluations import (
    EvaluateJob,
    SearchJob,
    best_rate,
    keeps_classes,
    plan_evaluations,
    search_jobs,
    search_learning_rate,
)
from anml.running.jobs import Place, TrainJob, read_part
from anml.running.points import Extent, Point, extent, rate_grid, searched_for
from anml.store.tables import TESTING, TRAINING, checked
from anml.treatments import TREATMENTS

SMALL = replace(
    PROFILES["laptop"],
    model_seeds=3,
    trajectories=5,
    n_classes=(10, 600),
    network_models=2,
    network_trajectories=4,
    network_n_classes=(100,),
    epochs_models=3,
    epochs_network_models=1,
    epochs_trajectories=2,
    epochs_n_classes=(600,),
    epochs_network_n_classes=(100,),
    search_trajectories=4,
    search_n_classes=(10, 50, 200, 600),
    network_search_n_classes=(50,),
)


@pytest.fixture
def place(tiny: Profile, tmp_path: Path) -> Place:
    profile = replace(
        tiny, model_seeds=2, search_trajectories=3, n_classes=(2, 3), search_n_classes=(2,)
    )
    return Place(profile, tmp_path)


# --- how much


@pytest.mark.parametrize(
    ("treatment", "regime", "expected"),
    [
        ("ANML", "sequential", Extent((10, 600), 3, 5)),
        ("Pretrain & Transfer", "oracle", Extent((10, 600), 3, 5)),
        ("Scratch", "sequential", Extent((100,), 2, 4)),
        ("OML-FT:PLN+RLN final", "oracle", Extent((100,), 2, 4)),
        ("OML-OLFT", "oracle 20 epochs", Extent((600,), 3, 2)),
        ("ANML-Unlimited", "oracle 20 epochs", Extent((100,), 1, 2)),
    ],
)
def test_how_much_is_measured(treatment: str, regime: str, expected: Extent) -> None:
    assert extent(SMALL, treatment, regime) == expected
    fewer = extent(replace(SMALL, model_seeds=1), treatment, regime)
    assert fewer == replace(expected, models=1)


@pytest.mark.parametrize(
    ("models", "searches"),
    [((), [0, 1, 2, 3]), ((0,), [0, 3]), ((1,), [1]), ((1, 2), [1, 2])],
)
def test_a_run_of_some_models_searches_on_their_share_of_the_trajectories(
    models: tuple[int, ...], searches: list[int]
) -> None:
    profile = replace(SMALL, models=models)
    point = Point("ANML", 10)
    assert [job.search for job in search_jobs(profile, point)] == searches
    jobs = plan_evaluations(profile)
    assert {job.search % 3 for job in jobs if isinstance(job, SearchJob)} <= set(models or range(3))
    measured = [job.seed for job in jobs if isinstance(job, EvaluateJob) and job.point == point]
    assert measured == list(models or range(3))
    assert jobs[EvaluateJob(point, 1)] if 1 in measured else EvaluateJob(point, 1) not in jobs


def test_a_model_that_has_no_search_trajectory_gets_one_of_its_own() -> None:
    profile = replace(SMALL, search_trajectories=1, models=(2,))
    assert [job.search for job in search_jobs(profile, Point("ANML", 10))] == [2]


@pytest.mark.parametrize("profile", [PROFILES["paper"]])
def test_the_paper_measures_everything_everywhere(profile: Profile) -> None:
    ways = {extent(profile, t, r) for t, r in product(TREATMENTS, REGIMES)}
    assert ways == {Extent(profile.n_classes, 10, 10)}
    for treatment in TREATMENTS:
        assert len(rate_grid(profile, treatment, "adam")) == 14
        assert max(rate_grid(profile, treatment, "sgd")) == 1.0
        for n in profile.n_classes:
            assert searched_for(profile, Point(treatment, n)) == Point(treatment, n)


@pytest.mark.parametrize(
    ("n", "nearest"), [(10, 10), (20, 10), (25, 50), (75, 50), (110, 200), (300, 200), (400, 600)]
)
def test_a_rate_is_searched_at_the_nearest_number_of_classes_by_ratio(n: int, nearest: int) -> None:
    assert searched_for(SMALL, Point("OML", n, "sgd")) == Point("OML", nearest, "sgd")
    assert searched_for(SMALL, Point("Scratch", n)) == Point("Scratch", 50)


def test_many_epochs_take_the_rate_of_one() -> None:
    many = Point("ANML", 600, regime="oracle 20 epochs")
    assert searched_for(SMALL, many) == Point("ANML", 600, regime="oracle")
    oracle = Point("ANML", 600, regime="oracle")
    assert searched_for(SMALL, oracle) == oracle


# --- the plan


def test_the_plan_has_every_treatment_and_regime_and_waits_for_what_it_needs() -> None:
    jobs = plan_evaluations(SMALL)
    evaluated = [job for job in jobs if isinstance(job, EvaluateJob)]
    assert {(j.point.treatment, j.point.regime) for j in evaluated} == set(
        product(TREATMENTS, REGIMES)
    )
    for treatment, regime in product(TREATMENTS, REGIMES):
        own = [
            (j.point.n_classes, j.seed)
            for j in evaluated
            if (j.point.treatment, j.point.regime) == (treatment, regime)
        ]
        measured = extent(SMALL, treatment, regime)
        assert own == list(product(measured.n_classes, range(measured.models)))
    for job, waits in jobs.items():
        training = TREATMENTS[job.point.treatment].training
        trained = [other for other in waits if isinstance(other, TrainJob)]
        searches = [other for other in waits if isinstance(other, SearchJob)]
        if isinstance(job, EvaluateJob):
            assert searches == search_jobs(SMALL, job.point)
            assert all(search in jobs for search in searches)
            seed = job.seed
        else:
            assert not searches
            seed = job.search % SMALL.model_seeds
        assert trained == ([] if training == "scratch" else [TrainJob(training, seed)])
    assert len({job.name for job in jobs}) == len(jobs)
    place = Place(SMALL, Path())
    assert len({job.result(place) for job in jobs}) == len(jobs)


# --- what a job leaves


def test_a_search_and_an_evaluation_write_their_rows(
    place: Place, noise_drawings: Drawings
) -> None:
    job = EvaluateJob(Point("Scratch", 2, "adam", "oracle"), 1)
    profile = replace(
        place.profile,
        network_trajectories=2,
        network_search_trajectories=3,
        network_learning_rates=(1e-2, 1e-3),
    )
    place = replace(place, profile=profile)
    searches = search_jobs(profile, job.point)
    assert len(searches) == 3
    for search in searches:
        heard = []
        search.run(place, noise_drawings, heard.append)
        assert sum(heard) == search.steps(profile) == 2 * 2 * 15
        part = read_part(search, place)
        tables, seconds = part["tables"], part["seconds"]
        assert seconds > 0
        rows = pd.DataFrame(tables["learning_rates"]).assign(profile="smoke", data="omniglot")
        assert checked("learning_rates", rows)["learning_rate"].tolist() == [1e-3, 1e-2]
        assert set(rows["model_seed"]) == {search.search % 2}
    heard = []
    job.run(place, noise_drawings, heard.append)
    assert sum(heard) == job.steps(profile) == 2 * 2 * 15
    tables = read_part(job, place)["tables"]
    assert list(tables) == ["meta_test"]
    rows = checked(
        "meta_test", pd.DataFrame(tables["meta_test"]).assign(profile="smoke", data="omniglot")
    )
    assert set(rows["regime"]) == {"oracle"}
    assert set(rows["optimizer"]) == {"adam"}
    assert set(zip(rows["trajectory_seed"], rows["metric"], strict=True)) == set(
        product((1000, 1001), (TRAINING, TESTING))
    )
    searched = [row for s in searches for row in read_part(s, place)["tables"]["learning_rates"]]
    assert set(rows["learning_rate"]) == {best_rate(searched)}


def test_many_epochs_are_as_many_steps(place: Place) -> None:
    job = EvaluateJob(Point("Scratch", 3, regime="oracle 20 epochs"), 0)
    assert job.steps(place.profile) == 20 * 3 * 15


def test_the_accuracy_of_each_class_is_kept_at_the_largest_number(
    place: Place, noise_drawings: Drawings
) -> None:
    profile = place.profile
    kept = [Point("ANML", 3), Point("Pretrain & Transfer", 3)]
    left = [
        *(Point("ANML", 2), Point("ANML", 3, "sgd"), Point("Scratch", 3)),
        Point("ANML", 3, regime="oracle"),
    ]
    assert all(keeps_classes(profile, point) for point in kept)
    assert not any(keeps_classes(profile, point) for point in left)

    TrainJob("pretrain", 0).run(place, noise_drawings, lambda _: None)
    TrainJob("pretrain", 1).run(place, noise_drawings, lambda _: None)
    job = EvaluateJob(kept[1], 0)
    for search in search_jobs(profile, job.point):
        search.run(place, noise_drawings, lambda _: None)
    job.run(place, noise_drawings, lambda _: None)
    tables = read_part(job, place)["tables"]
    rows = checked(
        "class_accuracy",
        pd.DataFrame(tables["class_accuracy"]).assign(profile="smoke", data="omniglot"),
    )
    assert set(rows["treatment"]) == {"Pretrain & Transfer"}
    tested = pd.DataFrame(tables["meta_test"])
    tested = tested[tested["metric"] == TESTING].set_index("trajectory_seed")["value"]
    for trajectory, own in rows.groupby("trajectory_seed"):
        assert own["position"].tolist() == [0, 1, 2]
        assert own["value"].mean() == pytest.approx(tested[trajectory])


def test_convolutions_see_a_drawing_once_while_a_few_models_are_meta_tested(
    place: Place, noise_drawings: Drawings, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    points._KNOWN.clear()
    compute = KnownFeatures._computed
    monkeypatch.setattr(
        KnownFeatures, "_computed", lambda own, x: (seen.append(len(x)), compute(own, x))[1]
    )
    for seed in range(4):
        TrainJob("oml", seed).run(place, noise_drawings, lambda _: None)

    def classes_seen(treatment: str, regime: str, seed: int) -> int:
        seen.clear()
        point = Point(treatment, 3, regime=regime)
        runs = point.runs(place.profile, [0], [1e-2, 1e-3], Stream.TRAJECTORY)
        point.scores(place, noise_drawings, seed, runs, lambda _: None)
        return len(seen)

    assert classes_seen("OML", "sequential", 0) == 3
    monkeypatch.setattr(points, "KNOWN_BYTES", 2 * points._KNOWN[0].bytes)
    asked = [("OML-OLFT", "oracle", 0), ("OML", "sequential", 1), ("OML", "sequential", 2)]
    assert [classes_seen(*what) for what in asked] == [0, 3, 3]
    # The one that was asked for last stays longest.
    asked = [("OML", "oracle", 0), ("OML", "sequential", 3), ("OML", "sequential", 0)]
    assert [classes_seen(*what) for what in asked] == [0, 3, 0]
    assert classes_seen("OML", "sequential", 1) == 3
    shutil.copy(TrainJob("oml", 3).result(place), TrainJob("oml", 0).result(place))
    assert classes_seen("OML", "sequential", 0) == 0  # the model of 3 under another name
    held = len(points._KNOWN)
    point = Point("OML-Unlimited", 2)
    runs = point.runs(place.profile, [0], [1e-3], Stream.TRAJECTORY)
    point.scores(place, noise_drawings, 2, runs, lambda _: None)
    assert len(points._KNOWN) == held  # whose convolutions learn


# --- the choice of a learning rate

RATES = (1e-2, 1e-3, 1e-4)


@pytest.mark.parametrize(
    ("accuracies", "chosen"),
    [
        ([[0.1, 0.3, 0.2]], 1e-3),
        # Best most often, though another is better on average.
        ([[0.5, 0.4, 0.0], [0.5, 0.4, 0.0], [0.0, 0.9, 0.0]], 1e-2),
        # Each best once: the best on average.
        ([[0.5, 0.4, 0.0], [0.1, 0.2, 0.6], [0.1, 0.7, 0.6]], 1e-3),
        # All alike.
        ([[0.5, 0.5, 0.5]], 1e-2),
    ],
)
def test_the_learning_rate_most_often_best_wins_then_the_best_on_average(
    accuracies: list[list[float]],
    chosen: float,
    place: Place,
    noise_drawings: Drawings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    searches = len(accuracies)
    profile = replace(place.profile, learning_rates=RATES, search_trajectories=searches)
    asked = []

    def scores(self, place, drawings, seed: int, runs: Sequence[Run], on_step) -> list[Score]:
        search = runs[0].trajectory.seed
        asked.append((seed, search))
        return [
            Score(run, training=1 - v, testing=v, per_class=(), per_class_training=())
            for run, v in zip(runs, accuracies[search], strict=True)
        ]

    drawn = []
    draw = jobs_module.draw_trajectory
    monkeypatch.setattr(
        jobs_module,
        "draw_trajectory",
        lambda *a, **k: (drawn.append(k["stream"]), draw(*a, **k))[1],
    )
    monkeypatch.setattr(Point, "scores", scores)
    point = Point("OML", 3)
    rate, rows = search_learning_rate(point, replace(place, profile=profile), noise_drawings, print)
    assert rate == chosen
    assert best_rate(rows[::-1]) == chosen
    assert [row["value"] for row in rows] == [v for part in accuracies for v in part]
    assert {row["metric"] for row in rows} == {TESTING}
    assert asked == [(search % 2, search) for search in range(searches)]
    assert set(drawn) == {Stream.SEARCH}
