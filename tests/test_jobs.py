"""What a job is, its file, and the meta-training of one model."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from refusal import refusal

from anml.drawings.packed import Drawings
from anml.errors import AnmlError
from anml.meta_testing.regimes import ORACLE
from anml.meta_train import initial_model
from anml.meta_training.episodes import Stream
from anml.profiles import Profile
from anml.results import device_name, running_commit
from anml.running.jobs import (
    Place,
    TrainJob,
    make_runs,
    part_path,
    read_part,
    train_jobs,
    treatment_model,
    write_part,
)
from anml.store.checkpoint import load_checkpoint


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
    assert load_checkpoint(job.working(place))[1]["iteration"] == place.profile.meta_iterations
    assert TrainJob("pretrain", 0).steps(replace(place.profile, pretrain_iterations=3)) == 3


def test_scratch_is_the_network_as_meta_training_would_start_it(place: Place) -> None:
    model = treatment_model(place, "scratch", 5)
    expected = initial_model("oml", place.profile, 5).state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items())


def test_a_missing_model_says_what_to_do(place: Place) -> None:
    with pytest.raises(AnmlError, match=r"no checkpoint .*anml-seed0"):
        treatment_model(place, "anml", 0)


def test_a_job_waits_for_the_models_that_it_needs() -> None:
    assert train_jobs("oml", [1, 3]) == [TrainJob("oml", 1), TrainJob("oml", 3)]
    assert train_jobs("scratch", [1, 3]) == []


# --- parts


@dataclass(frozen=True)
class Named:
    """A job as far as its part is concerned."""

    code: ClassVar[str] = "anml.meta_test"
    rows: ClassVar[tuple] = ()
    name: str

    def result(self, place: Place) -> Path:
        return part_path(self, place)


def test_a_part_is_a_file_named_after_its_job_and_reads_back(place: Place) -> None:
    job = Named("Meta-test ANML-FT:PLN+NM out, 5 classes & more")
    tables = {"meta_test": [{"value": 0.1, "learning_rate": 3e-4}], "units": []}
    write_part(job, place, tables, 2.5)
    path = place.folder / "parts" / "meta-test-anml-ft-pln-nm-out-5-classes-more.json"
    assert job.result(place) == path
    assert list(path.parent.iterdir()) == [path]
    part = read_part(job, place)
    assert (part["tables"], part["seconds"]) == (tables, 2.5)
    assert part["commit"] == running_commit()
    assert part["made_on"] == device_name()


@pytest.mark.parametrize("text", ["{", "[]", "1", '{"meta_test": []}', '{"tables": {}}'])
def test_a_damaged_part_is_one_line(text: str, place: Place) -> None:
    job = Named("x")
    write_part(job, place, {}, 0.0)
    job.result(place).write_text(text)
    message = refusal(lambda: read_part(job, place))
    assert str(job.result(place)) in message
    assert "delete it" in message


def test_a_part_that_cannot_be_read_is_not_called_damaged(place: Place) -> None:
    """It may be whole, and hold hours of work."""
    job = Named("x")
    job.result(place).mkdir(parents=True)
    message = refusal(lambda: read_part(job, place))
    assert message == f"cannot read {job.result(place)}: Is a directory"


def test_a_disk_that_is_full_is_one_line_and_leaves_the_old_part(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, text: str) -> None:
        with self.open("w") as file:
            file.write(text[:10])
        raise OSError(28, "No space left on device")

    job = Named("x")
    write_part(job, place, {}, 1.0)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        message = refusal(lambda: write_part(job, place, {"units": []}, 2.0))
    assert "No space left" in message
    assert "free some space" in message
    assert read_part(job, place)["tables"] == {}
    assert json.loads(job.result(place).read_text())["seconds"] == 1.0
    assert list(job.result(place).parent.iterdir()) == [job.result(place)]


# --- runs


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
    assert {r.regime.name for r in runs} == {"sequential"}
    assert {r.regime for r in make_runs(profile, 4, [7], [0.1], Stream.SEARCH, ORACLE)} == {ORACLE}
