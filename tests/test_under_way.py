"""What is begun and not finished: a table of its own, a line and a sheet, and never a result."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import synthetic_learning
import synthetic_table
import torch
from refusal import refusal
from tiny_profile import TINY

from anml import cli
from anml.drawings.packed import Drawings
from anml.meta_train import Job, meta_train
from anml.profiles import Profile
from anml.recording.contents import recorded_tables
from anml.recording.under_way import how_far, under_way_sheet
from anml.results import Table, device_name, read_table, running_commit, write_table
from anml.running import jobs
from anml.running.evaluations import EvaluateJob
from anml.running.gather import UNFINISHED, learning_curve
from anml.running.jobs import Place, TrainJob, write_part
from anml.running.pipeline import gather, run
from anml.running.plan import plan
from anml.running.points import Point
from anml.store.checkpoint import load_checkpoint, save_checkpoint
from anml.store.tables import LOG_METRICS
from anml.treatments import find_training

Begin = Callable[[str, int], TrainJob]


@pytest.fixture
def place(tiny: Profile, tmp_path: Path) -> Place:
    return Place(tiny, tmp_path)


@pytest.fixture
def begin(place: Place, noise_drawings: Drawings) -> Begin:
    """`begin(training, done)` leaves what a meta-training leaves that stops after `done`."""

    def make(training: str, done: int) -> TrainJob:
        job, short = TrainJob(training, 0), replace(place.profile, meta_iterations=done)
        job.run(replace(place, profile=short), noise_drawings, lambda n: None)
        job.result(place).unlink()
        return job

    return make


def table_of(place: Place) -> Table:
    return read_table(place.folder / "results" / f"{UNFINISHED}.parquet")


def names(place: Place) -> set[str]:
    return {path.stem for path in (place.folder / "results").iterdir()}


def test_what_is_begun_is_gathered_alone_with_where_it_comes_from(
    place: Place, noise_drawings: Drawings, begin: Begin
) -> None:
    job = begin("anml", 5)
    _, missing = gather(place, noise_drawings)
    assert missing == len(plan(place.profile))
    assert names(place) == {UNFINISHED}
    tensors, header = load_checkpoint(job.working(place))
    frame, source = table_of(place).frame, table_of(place).provenance
    assert set(zip(frame["done"], frame["asked"], strict=True)) == {(5, 8)}
    expected = pd.DataFrame(learning_curve(job, tensors["log"][:, 0]))
    columns = ["metric", "iteration", "value"]
    found = frame.sort_values(columns)[columns].to_numpy().tolist()
    assert found == expected.sort_values(columns)[columns].to_numpy().tolist()
    assert sorted(set(frame["iteration"])) == [1, 2, 3, 4, 5]
    assert source.seconds == header["seconds"] > 0
    assert set(frame["seconds"]) == {header["seconds"]}
    assert (source.commit, source.device) == (running_commit(), device_name())
    assert set(frame["device"]) == {device_name()}
    assert source.profile_values == place.profile.values()


def test_what_is_finished_is_not_in_it_and_what_is_not_is_in_nothing_else(
    place: Place, noise_drawings: Drawings, begin: Begin
) -> None:
    begin("anml", 3)
    TrainJob("oml", 0).run(place, noise_drawings, lambda n: None)
    _, missing = gather(place, noise_drawings)
    assert missing == len(plan(place.profile)) - 1
    results = place.folder / "results"
    assert set(table_of(place).frame["treatment"]) == {"anml"}
    assert set(read_table(results / "meta_train_log.parquet").frame["treatment"]) == {"oml"}
    stages = read_table(results / "stages.parquet")
    assert set(stages.frame["group"]) == {"meta-train.oml-seed0"}
    oml = load_checkpoint(TrainJob("oml", 0).result(place))[1]
    assert stages.provenance.seconds == oml["seconds"]


def test_the_table_goes_when_the_model_is_finished(
    place: Place, noise_drawings: Drawings, begin: Begin
) -> None:
    job = begin("anml", 5)
    gather(place, noise_drawings)
    job.run(place, noise_drawings, lambda n: None)
    assert job.working(place).is_file()
    gather(place, noise_drawings)
    assert names(place) == {"meta_train_log", "stages"}


def test_a_table_of_what_is_no_longer_finished_goes(
    place: Place, noise_drawings: Drawings, begin: Begin
) -> None:
    """Else what another code made would stand beside, and be recorded."""
    evaluated = EvaluateJob(Point("ANML", 2), 0)
    write_part(evaluated, place, {"odd": [{"x": 1}]}, 1.0)
    begin("anml", 5)
    gather(place, noise_drawings)
    assert names(place) == {"odd", "stages", UNFINISHED}
    evaluated.result(place).unlink()
    gather(place, noise_drawings)
    assert names(place) == {UNFINISHED}


def test_what_other_code_began_is_left_out_unless_it_is_kept(
    place: Place, noise_drawings: Drawings, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin("anml", 5)
    real = jobs.code_state
    monkeypatch.setattr(jobs, "code_state", lambda *made: real(*made) + "!")
    assert "nothing that is finished or under way" in refusal(lambda: gather(place, noise_drawings))
    gather(replace(place, keep=True), noise_drawings)
    assert set(table_of(place).frame["done"]) == {5}


@pytest.mark.parametrize("how", ["damaged", "drawings", "settings", "past the end"])
def test_what_the_job_would_not_go_on_from_is_left_out(
    how: str, place: Place, noise_drawings: Drawings, begin: Begin
) -> None:
    """And does not stand in the way of an ordinary run, which gathers at its end."""
    job = begin("anml", 8)
    path = job.working(place)
    if how == "damaged":
        path.write_bytes(b"nonsense")
    elif how == "drawings":
        noise_drawings = replace(noise_drawings, fingerprint="f" * 16)
    else:
        values = {"settings": {"inner_steps": 2}, "past the end": {"meta_iterations": 7}}
        place = replace(place, profile=replace(place.profile, **values[how]))
    message = refusal(lambda: gather(place, noise_drawings))
    assert "nothing that is finished or under way with these settings" in message
    write_part(EvaluateJob(Point("ANML", 2), 0), place, {"odd": [{"x": 1}]}, 1.0)
    gather(place, noise_drawings)
    assert names(place) == {"odd", "stages"}


def test_an_older_checkpoint_that_does_not_say_its_time_is_gathered(
    place: Place, noise_drawings: Drawings, begin: Begin
) -> None:
    path = begin("anml", 5).working(place)
    tensors, header = load_checkpoint(path)
    del header["seconds"]
    save_checkpoint(path, tensors, header)
    gather(place, noise_drawings)
    assert table_of(place).provenance.seconds == 0


def test_seeds_that_are_trained_side_by_side_are_each_there_with_their_part_of_the_time(
    place: Place, noise_drawings: Drawings, begin: Begin
) -> None:
    several = replace(place, profile=replace(place.profile, model_seeds=3))
    folder = place.folder / "checkpoints"
    shorter = replace(several.profile, meta_iterations=5)
    meta_train(Job(find_training("anml"), shorter, noise_drawings, (0, 2), folder), progress=False)
    for seed in (0, 2):
        TrainJob("anml", seed).result(place).unlink()
    begin("anml", 3)  # seed 0 again by itself, and not so far
    gather(several, noise_drawings)
    frame, path = table_of(place).frame, folder / "anml-seeds0_2.resume.safetensors"
    tensors, header = load_checkpoint(path)
    assert set(zip(frame["model_seed"], frame["done"], strict=True)) == {(0, 5), (2, 5)}
    assert set(frame["seconds"]) == {header["seconds"] / 2}
    for r, seed in enumerate((0, 2)):
        own = frame[(frame["model_seed"] == seed) & (frame["metric"] == LOG_METRICS[0])]
        assert own.sort_values("iteration")["value"].tolist() == tensors["log"][:, r, 0].tolist()


def unfinished_table(data: str = "omniglot") -> Table:
    """Two meta-trainings, half way: the first 200 stretches of 20 iterations."""
    log = synthetic_learning.table(data)
    frame = log.frame[(log.frame["treatment"] == "oml") | (log.frame["model_seed"] == 1)].copy()
    frame = frame.assign(profile="paper", done=2000, asked=20_000, seconds=5400.0, device="a GPU")
    return Table(frame, synthetic_table.provenance(data, profile="paper", channels=256))


def test_how_far_is_a_line() -> None:
    text = how_far(unfinished_table().frame)
    assert text == "anml seed 1: 2,000 of 20,000; oml seed 0: 2,000 of 20,000"


def test_the_sheet_says_how_far_and_how_well_lately() -> None:
    sheet = under_way_sheet({"paper": unfinished_table()})
    assert sheet["training"].tolist() == ["ANML", "OML"]
    last = torch.arange(180, 200).div(200).mean().item()
    first = dict(sheet.iloc[0])
    assert first == {
        "profile": "paper",
        "training": "ANML",
        "seed": "1",
        "iterations done": "2,000",
        "of": "20,000",
        "hours so far": "1.5",
        "meta-loss": f"{0.1 + last:.2f}",
        "remember set": f"{100 * (0.3 + last):.0f}%",
        "device": "a GPU",
    }
    assert under_way_sheet({}).empty


def test_what_is_recorded_says_how_far(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, log = unfinished_table(), synthetic_learning.table()
    write_table(tmp_path / f"{UNFINISHED}.parquet", table.frame, table.provenance)
    write_table(tmp_path / "meta_train_log.parquet", log.frame, log.provenance)
    rows = recorded_tables([tmp_path]).set_index("table")
    assert rows.loc["meta_train_log", "how far"] == ""
    assert rows.loc[UNFINISHED, "how far"] == how_far(table.frame)
    assert cli.main(["results", "show", str(tmp_path)]) == 0
    assert "anml seed 1: 2,000 of 20,000" in capsys.readouterr().out


@pytest.mark.slow
def test_one_finished_model_is_measured_in_a_run_of_its_own(
    place: Place, noise_drawings: Drawings, packed_noise: Path, tmp_path: Path
) -> None:
    """As the page on reruns says: the profile asks for several models, the copy for one."""
    several = replace(place, profile=replace(place.profile, model_seeds=2))
    job = TrainJob("anml", 0)
    job.run(several, noise_drawings, lambda n: None)
    alone = Place(replace(several.profile, model_seeds=1), tmp_path / "alone")
    job.result(alone).parent.mkdir(parents=True)
    shutil.copy(job.result(several), job.result(alone))
    before = job.result(alone).stat().st_mtime_ns
    asked = ["meta-test ANML, sequential"]
    args = (alone.profile, noise_drawings, str(packed_noise), alone.folder)
    results, _ = run(*args, only=asked, workers=1)
    assert job.result(alone).stat().st_mtime_ns == before
    tested = read_table(results / "meta_test.parquet")
    assert set(tested.frame["treatment"]) == {"ANML"}
    assert set(tested.frame["model_seed"]) == {0}
    assert set(tested.frame["n_classes"]) == set(TINY["n_classes"])
    assert tested.provenance.profile_values["model_seeds"] == 1
