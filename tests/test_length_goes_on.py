"""Lengths of meta-training: what a job goes on from, and what it counts as its own."""

import errno
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from length_jobs import as_steps, change_header, change_part, iterations, unheard, working
from refusal import refusal

from anml.data import Drawings
from anml.profiles import Profile
from anml.results import read_table
from anml.running.jobs import Place, TrainJob, read_part
from anml.running.lengths import LengthJob
from anml.running.pipeline import gather
from anml.store.checkpoint import load_checkpoint, read_header


@pytest.fixture
def place(tiny: Profile, tmp_path: Path) -> Place:
    return Place(tiny, tmp_path)


def test_going_on_gives_the_bits_of_one_long_meta_training(
    place: Place, noise_drawings: Drawings
) -> None:
    """Neither stopping to be measured nor going on from another's checkpoint may change a model."""
    for job in (LengthJob(0, 4, 0), LengthJob(0, 12, 4)):
        job.run(place, noise_drawings, unheard)
    alone = replace(
        place,
        folder=place.folder / "alone",
        profile=replace(place.profile, meta_iterations=12),
    )
    TrainJob("anml", 0).run(alone, noise_drawings, unheard)
    long, _ = load_checkpoint(TrainJob("anml", 0).result(alone))
    stepwise, header = load_checkpoint(job.training.result(job.own(place)))
    assert header["iteration"] == 12
    for name, tensor in long.items():
        assert tensor.equal(stepwise[name]), name


def test_a_longer_job_goes_on_from_the_furthest_that_is_not_too_long(
    place: Place, noise_drawings: Drawings
) -> None:
    LengthJob(0, 4, 0).run(place, noise_drawings, unheard)
    TrainJob("anml", 0).run(place, noise_drawings, unheard)  # the profile's 8
    heard: list[int] = []
    job = LengthJob(0, 12, 4)
    begun = job.steps_begun(place)
    job.run(place, noise_drawings, heard.append)
    assert iterations(heard) == 4
    assert begun + sum(heard) == job.steps(place.profile)
    heard.clear()
    LengthJob(0, 6, 4).run(place, noise_drawings, heard.append)
    assert iterations(heard) == 2  # the model with 8 is too long


def test_a_checkpoint_that_goes_too_far_while_it_is_copied_is_left_out(
    place: Place, noise_drawings: Drawings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The meta-training that it belongs to may be at work beside, and replaces it at any time."""
    LengthJob(0, 4, 0).run(place, noise_drawings, unheard)
    training = TrainJob("anml", 0)
    training.run(
        replace(place, profile=replace(place.profile, meta_iterations=5)), noise_drawings, unheard
    )
    real = shutil.copyfile

    def copy_what_has_moved_on(source: Path, target: Path) -> None:
        if source == training.working(place):
            training.result(place).unlink(missing_ok=True)
            training.run(place, noise_drawings, unheard)  # to the profile's 8
        real(source, target)

    monkeypatch.setattr(shutil, "copyfile", copy_what_has_moved_on)
    heard: list[int] = []
    job = LengthJob(0, 6, 4)
    job.run(place, noise_drawings, heard.append)
    assert iterations(heard) == 2  # from the length before
    assert read_header(working(place, job))["iteration"] == 6
    assert [path.name for path in working(place, job).parent.glob(".*")] == []


def test_a_disk_that_is_full_when_a_checkpoint_is_copied_is_one_line(
    place: Place, noise_drawings: Drawings, monkeypatch: pytest.MonkeyPatch
) -> None:
    LengthJob(0, 4, 0).run(place, noise_drawings, unheard)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    job = LengthJob(0, 6, 4)
    message = refusal(lambda: job.run(place, noise_drawings, unheard))
    assert message.startswith(f"cannot write {working(place, job)}: No space left on device")


def test_checkpoints_that_are_damaged_or_of_other_code_are_left_out(
    place: Place, noise_drawings: Drawings
) -> None:
    first, second = LengthJob(0, 4, 0), LengthJob(0, 12, 4)
    first.run(place, noise_drawings, unheard)
    path = working(place, first)
    change_header(path, code="of another day")
    assert second.steps_begun(place) == 0
    assert second.steps_begun(replace(place, keep=True)) == 0  # 4 are those of the length before
    heard: list[int] = []
    second.run(place, noise_drawings, heard.append)
    assert iterations(heard) == 12
    for file in (working(place, second), second.training.result(second.own(place))):
        file.unlink()
    heard.clear()
    second.run(replace(place, keep=True), noise_drawings, heard.append)
    assert iterations(heard) == 8
    working(place, second).unlink()
    second.training.result(second.own(place)).unlink()
    path.write_bytes(b"half")
    heard.clear()
    second.run(place, noise_drawings, heard.append)
    assert iterations(heard) == 12


def test_the_seconds_of_what_it_went_on_from_are_not_counted_twice(
    place: Place, noise_drawings: Drawings
) -> None:
    first, second = LengthJob(0, 4, 0), LengthJob(0, 12, 4)
    first.run(place, noise_drawings, unheard)
    change_header(working(place, first), seconds=1e6)
    second.run(place, noise_drawings, unheard)
    assert read_header(working(place, second))["seconds"] > 1e6
    assert read_part(second, place)["seconds"] < 1e3


def test_the_seconds_of_a_length_that_was_not_measured_are_counted(
    place: Place, noise_drawings: Drawings
) -> None:
    first, second = LengthJob(0, 4, 0), LengthJob(0, 12, 4)
    first.training.run(first.own(place), noise_drawings, unheard)
    change_header(working(place, first), seconds=1e6)
    second.run(place, noise_drawings, unheard)
    assert read_part(second, place)["seconds"] > 1e6


def test_of_three_lengths_the_one_that_was_measured_counts_its_seconds(
    place: Place, noise_drawings: Drawings
) -> None:
    """The second went on from the first and was not measured, the third goes on from the second."""
    first, second, third = LengthJob(0, 2, 0), LengthJob(0, 4, 2), LengthJob(0, 6, 4)
    first.run(place, noise_drawings, unheard)
    change_header(working(place, first), seconds=1e6)
    second.training.run(second.own(place), noise_drawings, unheard)
    change_header(working(place, second), seconds=3e6)
    third.run(place, noise_drawings, unheard)
    assert read_part(third, place)["seconds"] == pytest.approx(2e6, rel=1e-3)


def test_the_seconds_of_what_it_did_not_go_on_from_are_its_own_affair(
    place: Place, noise_drawings: Drawings
) -> None:
    """A shorter length may have taken longer than the further model had as its part of a GPU."""
    LengthJob(0, 4, 0).run(place, noise_drawings, unheard)
    change_header(working(place, LengthJob(0, 4, 0)), seconds=1e6)
    TrainJob("anml", 0).run(place, noise_drawings, unheard)  # the profile's 8
    change_header(TrainJob("anml", 0).working(place), seconds=1e3)
    job = LengthJob(0, 12, 4)
    job.run(place, noise_drawings, unheard)
    assert 0 < read_part(job, place)["seconds"] < 1e3


def test_a_folder_that_is_no_length_is_left_alone(place: Place, noise_drawings: Drawings) -> None:
    first, second = LengthJob(0, 2, 0), LengthJob(0, 4, 2)
    first.run(place, noise_drawings, unheard)
    folder = first.own(place).folder
    folder.rename(folder.with_name("2-backup"))
    heard: list[int] = []
    second.run(place, noise_drawings, heard.append)
    assert iterations(heard) == 4


@pytest.mark.parametrize("same_code", [True, False])
def test_a_stopped_job_keeps_the_meta_tests_that_are_done(
    place: Place, noise_drawings: Drawings, same_code: bool
) -> None:
    """Those of other code are done anew."""
    job = LengthJob(0, 4, 0)
    heard: list[int] = []

    def stop_at_the_end(steps: int) -> None:
        heard.append(steps)
        if sum(heard) == job.steps(place.profile):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        job.run(place, noise_drawings, stop_at_the_end)
    assert not job.result(place).exists()
    pieces = sorted((job.own(place).folder / "parts").glob("*.json"))
    assert len(pieces) == 2 * len(place.profile.length_n_classes) - 1
    changes = {"seconds": 1e6 / len(pieces)} if same_code else {"code": "of another day"}
    for path in pieces:
        change_part(path, **changes)
    begun = job.steps_begun(place)
    heard.clear()
    job.run(place, noise_drawings, heard.append)
    assert begun + sum(heard) == job.steps(place.profile)
    assert (begun > as_steps(4)) == same_code
    assert (read_part(job, place)["seconds"] > 1e6) == same_code
    whole = replace(place, folder=place.folder / "whole")
    job.run(whole, noise_drawings, unheard)
    assert read_part(job, place)["tables"] == read_part(job, whole)["tables"]


def test_meta_tests_of_a_model_that_is_gone_are_done_anew(
    place: Place, noise_drawings: Drawings
) -> None:
    """Another machine would meta-train another one."""
    job = LengthJob(0, 4, 0)
    job.run(place, noise_drawings, unheard)
    job.result(place).unlink()
    assert job.steps_begun(place) == job.steps(place.profile)
    for path in (working(place, job), job.training.result(job.own(place))):
        path.unlink()
    assert job.steps_begun(place) == 0
    for path in (job.own(place).folder / "parts").glob("*.json"):
        change_part(path, seconds=1e6)
    heard: list[int] = []

    def stop_after_the_model(steps: int) -> None:
        heard.append(steps)
        if iterations(heard) < len(heard):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        job.run(place, noise_drawings, stop_after_the_model)
    assert job.training.result(job.own(place)).is_file()
    job.run(place, noise_drawings, unheard)
    assert read_part(job, place)["seconds"] < 1e6


def test_kept_meta_tests_say_where_they_were_done(place: Place, noise_drawings: Drawings) -> None:
    job = LengthJob(0, 4, 0)
    job.run(place, noise_drawings, unheard)
    here = read_part(job, place)
    job.result(place).unlink()
    path, *_ = (job.own(place).folder / "parts").glob("*.json")
    elsewhere = {"made_on": "a GPU", "commit": "0123456789ab", "code": "of another day"}
    change_part(path, **elsewhere)
    job.run(replace(place, keep=True), noise_drawings, unheard)
    part = read_part(job, place)
    for name in ("made_on", "commit"):
        assert set(part[name].split("; ")) == {here[name], elsewhere[name]}


def test_the_tables_name_who_began_the_model(place: Place, noise_drawings: Drawings) -> None:
    job = LengthJob(0, 4, 0)
    job.run(place, noise_drawings, unheard)
    path = job.training.result(job.own(place))
    begun_by = {"commit": "0123456789ab; abcdef012345", "made_on": "a GPU", "seconds": 1e6}
    change_header(path, **begun_by)
    results, _ = gather(place, noise_drawings)
    source = read_table(results / "lengths.parquet").provenance
    assert set(begun_by["commit"].split("; ")) < {*source.commit.split("; ")}
    assert "a GPU" in source.device
    assert source.seconds == read_part(job, place)["seconds"]
    path.unlink()
    gather(place, noise_drawings)
    assert "a GPU" not in read_table(results / "lengths.parquet").provenance.device
