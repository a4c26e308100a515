"""A profile's two kinds of work: what each writes, and the choice of a learning rate."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from anml import jobs as module
from anml.checkpoint import load_checkpoint
from anml.episodes import Stream
from anml.errors import AnmlError
from anml.jobs import EvaluateJob, Place, TrainJob, make_runs, search_learning_rate, treatment_model
from anml.meta_test import Run, Score
from anml.meta_train import initial_model
from anml.packed import Drawings
from anml.profiles import Profile
from anml.tables import TESTING, TRAINING
from anml.treatments import TREATMENTS


@pytest.fixture
def place(tiny: Profile, tmp_path: Path) -> Place:
    return Place(tiny, tmp_path)


def test_a_train_job_makes_its_model_and_reports_every_step(
    place: Place, noise_drawings: Drawings
) -> None:
    heard = []
    job = TrainJob("oml", 2)
    job.run(place, noise_drawings, heard.append)
    assert sum(heard) == job.steps(place.profile) == place.profile.meta_iterations
    _, header = load_checkpoint(job.result(place))
    assert (header["training"], header["seed"]) == ("oml", 2)
    model = treatment_model(place, "oml", 2)
    assert torch.equal(model.head.weight, load_checkpoint(job.result(place))[0]["head.weight"])
    assert TrainJob("pretrain", 0).steps(replace(place.profile, pretrain_iterations=3)) == 3


def test_scratch_is_the_network_as_meta_training_would_start_it(place: Place) -> None:
    model = treatment_model(place, "scratch", 5)
    expected = initial_model("oml", place.profile, 5).state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items())


def test_a_missing_model_says_what_to_do(place: Place) -> None:
    with pytest.raises(AnmlError, match=r"no checkpoint .*anml-seed0"):
        treatment_model(place, "anml", 0)


def test_an_evaluation_writes_both_tables_rows(place: Place, noise_drawings: Drawings) -> None:
    profile = replace(place.profile, model_seeds=2, search_trajectories=3)
    place = replace(place, profile=profile)
    heard = []
    job = EvaluateJob("Scratch", 3, "sgd")
    job.run(place, noise_drawings, heard.append)
    assert sum(heard) == job.steps(profile) == (3 * 2 + 2 * 2) * 3 * 15
    part = json.loads(job.result(place).read_text())
    assert part["seconds"] > 0
    assert len(part["learning_rates"]) == 3 * 2
    keys = [(r["model_seed"], r["trajectory_seed"], r["metric"]) for r in part["meta_test"]]
    assert keys == [
        (m, 1000 * m + t, metric) for m in (0, 1) for t in (0, 1) for metric in (TRAINING, TESTING)
    ]
    assert len({r["learning_rate"] for r in part["meta_test"]}) == 1
    for row in part["meta_test"]:
        assert (row["treatment"], row["regime"], row["optimizer"]) == (
            "Scratch",
            "sequential",
            "sgd",
        )
        assert row["n_classes"] == 3
        assert 0 <= row["value"] <= 1


def test_results_of_different_jobs_are_different_files(place: Place) -> None:
    jobs = [EvaluateJob(t, n, o) for t in TREATMENTS for n in (1, 11) for o in ("adam", "sgd")]
    jobs += [TrainJob(t, s) for t in ("anml", "anml-first-order") for s in (1, 11)]
    assert len({job.result(place) for job in jobs}) == len(jobs)
    assert len({job.name for job in jobs}) == len(jobs)


def test_every_trajectory_at_every_rate(tiny: Profile) -> None:
    profile = replace(tiny, drawings_split="first")
    runs = make_runs(profile, 4, [7, 8], [0.1, 0.2], Stream.SEARCH)
    assert [(r.trajectory.seed, r.learning_rate) for r in runs] == [
        (7, 0.1),
        (7, 0.2),
        (8, 0.1),
        (8, 0.2),
    ]
    assert all((r.trajectory.train == range(15)).all() for r in runs)


RATES = (1e-2, 1e-3, 1e-4)


@pytest.mark.parametrize(
    ("accuracies", "chosen"),
    [
        ([[0.1, 0.3, 0.2]], 1e-3),
        # Best most often, though another is better on average.
        ([[0.5, 0.4, 0.0], [0.5, 0.4, 0.0], [0.0, 0.9, 0.0]], 1e-2),
        # Each best once: the best on average.
        ([[0.5, 0.4, 0.0], [0.1, 0.2, 0.6], [0.1, 0.7, 0.6]], 1e-3),
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
    profile = replace(
        place.profile, learning_rates=RATES, search_trajectories=searches, model_seeds=2
    )
    asked = []

    def scores(self, place, drawings, seed: int, runs: Sequence[Run], on_step) -> list[Score]:
        search = runs[0].trajectory.seed
        asked.append((seed, search))
        return [
            Score(run, training=1 - v, testing=v)
            for run, v in zip(runs, accuracies[search], strict=True)
        ]

    drawn = []
    draw = module.draw_trajectory
    monkeypatch.setattr(
        module, "draw_trajectory", lambda *a, **k: (drawn.append(k["stream"]), draw(*a, **k))[1]
    )
    monkeypatch.setattr(EvaluateJob, "scores", scores)
    job = EvaluateJob("OML", 3, "adam")
    rate, rows = search_learning_rate(job, replace(place, profile=profile), noise_drawings, print)
    assert rate == chosen
    assert [row["value"] for row in rows] == [v for part in accuracies for v in part]
    assert {row["metric"] for row in rows} == {TESTING}
    assert asked == [(search % 2, search) for search in range(searches)]
    assert set(drawn) == {Stream.SEARCH}


def test_a_disk_that_is_full_is_one_line_and_leaves_nothing(
    place: Place, noise_drawings: Drawings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, text: str) -> None:
        with self.open("w") as file:
            file.write(text[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    job = EvaluateJob("Scratch", 2, "adam")
    with pytest.raises(AnmlError, match=r"No space left.*free some space"):
        job.run(place, noise_drawings, lambda steps: None)
    assert list(job.result(place).parent.iterdir()) == []
