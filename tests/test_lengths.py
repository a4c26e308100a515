"""Lengths of meta-training: what is planned, and what a job leaves."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
from length_jobs import iterations
from refusal import refusal

from anml.data import Drawings
from anml.profiles import PROFILES, Profile, find_profile
from anml.running.jobs import Place, TrainJob, read_part
from anml.running.length_names import MEASURED
from anml.running.lengths import LengthJob, plan_lengths
from anml.running.plan import plan
from anml.running.rate_choice import best_rate
from anml.store.tables import checked
from anml.treatments import TRAININGS, find_treatment


def test_each_length_waits_for_the_shorter_and_the_first_beyond_for_the_model_of_the_others() -> (
    None
):
    jobs = plan_lengths(PROFILES["laptop"])
    chain = sorted(jobs, key=lambda job: job.iterations)
    assert [job.iterations for job in chain] == [1250, 2500, 5000, 10_000]
    assert [job.since for job in chain] == [0, 1250, 2500, 5000]
    for shorter, longer in pairwise(chain):
        assert shorter in jobs[longer]
    waits_for_model = [job.iterations for job in chain if TrainJob("anml", 0) in jobs[job]]
    assert waits_for_model == [5000]  # laptop's models have 4,000
    assert set(jobs) <= set(plan(PROFILES["laptop"]))


def test_there_are_no_more_models_than_the_profile_has() -> None:
    profile = replace(PROFILES["laptop"], length_models=9)
    assert {job.seed for job in plan_lengths(profile)} == set(range(4))


def test_another_meta_training_of_the_network_has_lengths_of_its_own() -> None:
    laptop = PROFILES["laptop"]
    usual, other = (
        plan_lengths(replace(laptop, length_training=name)) for name in ("anml", "anml-redraw-kept")
    )
    names = {job.name.replace("ANML (redraw kept)", "ANML") for job in other}
    assert names == {job.name for job in usual}
    assert not set(other) & set(usual)
    assert {TrainJob("anml-redraw-kept", 0)} == {
        waited for waits in other.values() for waited in waits if isinstance(waited, TrainJob)
    }


@pytest.mark.parametrize("name", [n for n, row in TRAININGS.items() if row.procedure != "none"])
def test_what_a_profile_may_ask_for_can_be_measured(name: str) -> None:
    asked = replace(PROFILES["laptop"], length_training=name).length_training
    assert MEASURED[asked]
    assert not any(find_treatment(own).learns_convolutions for own in MEASURED[asked])


def test_a_number_of_classes_that_is_named_twice_is_measured_once() -> None:
    profile = find_profile("laptop", {"length_n_classes": "100,100,50"})
    (job, *_) = plan_lengths(profile)
    named = [piece.name for piece in job.pieces(profile)]
    assert len(named) == len(set(named)) == 4


def test_what_is_not_trained_has_no_lengths() -> None:
    message = refusal(lambda: replace(PROFILES["laptop"], length_training="scratch"))
    assert "length_training = 'scratch' is unknown" in message


def test_a_length_of_pretraining_counts_batches() -> None:
    laptop = replace(PROFILES["laptop"], length_training="pretrain", pretrain_iterations=1000)
    for job, waits in plan_lengths(laptop).items():
        assert (TrainJob("pretrain", 0) in waits) == (job.iterations == 1250)  # the next longer
        own = job.own(Place(laptop, Path("run")))
        assert job.training.steps(own.profile) == job.iterations


@pytest.fixture
def place(tiny: Profile, tmp_path: Path) -> Place:
    return Place(tiny, tmp_path)


def test_a_job_leaves_its_tables(place: Place, noise_drawings: Drawings) -> None:
    job = LengthJob(0, 4, 0)
    heard: list[int] = []
    job.run(place, noise_drawings, heard.append)
    assert sum(heard) == job.steps(place.profile)
    assert iterations(heard) == 4
    tables = read_part(job, place)["tables"]
    for name, rows in tables.items():
        frame = pd.DataFrame(rows).assign(profile="tiny", data="omniglot")
        assert set(checked(name, frame)["iterations"]) == {4}
    assert set(tables) == {"lengths", "length_rates", "length_activity"}
    tested = pd.DataFrame(tables["lengths"])
    assert set(tested["n_classes"]) == set(place.profile.length_n_classes)
    assert set(tested["trajectory_seed"]) == set(range(place.profile.trajectories))
    assert set(tested["regime"]) == {"sequential", "oracle"}
    for (n, regime), rows in tested.groupby(["n_classes", "regime"]):
        searched = [
            row
            for row in tables["length_rates"]
            if (row["n_classes"], row["regime"]) == (n, regime)
        ]
        assert set(rows["learning_rate"]) == {best_rate(searched)}
    activity = pd.DataFrame(tables["length_activity"])
    assert set(activity["layer"]) == {"latent", "gate", "gated"}


@pytest.mark.parametrize(
    ("name", "treatments"),
    [
        ("oml", {"OML", "OML-OLFT"}),
        ("oml-linear", {"OML (linear PLN)"}),
        ("pretrain", {"Pretrain & Transfer"}),
    ],
)
def test_other_models_are_measured_in_every_way_in_which_linear_layers_alone_learn(
    place: Place, noise_drawings: Drawings, name: str, treatments: set[str]
) -> None:
    job = LengthJob(0, 4, 0, name)
    heard: list[int] = []
    job.run(place, noise_drawings, heard.append)
    assert sum(heard) == job.steps(place.profile)
    tables = read_part(job, place)["tables"]
    for table in ("lengths", "length_rates"):
        rows = pd.DataFrame(tables[table])
        measured = rows.groupby(["regime", "n_classes"])["treatment"].agg(set)
        assert all(names == treatments for names in measured)
        assert len(measured) == 2 * len(place.profile.length_n_classes)
    activity = pd.DataFrame(tables["length_activity"])
    assert set(activity["layer"]) == {"oml"}
    checked("length_activity", activity.assign(profile="tiny", data="omniglot"))
