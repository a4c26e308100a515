"""Recorded results: kept with their models, listed, and measured again."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from folders import files
from refusal import refusal
from tiny_profile import TINY

from anml import cli
from anml.drawings.packed import Drawings
from anml.profiles import Profile
from anml.recording import record as module
from anml.recording.contents import recorded_tables
from anml.recording.record import record
from anml.recording.verify import Check, verify
from anml.results import Table, read_table
from anml.running.evaluations import EvaluateJob, search_jobs
from anml.running.gather import write_tables
from anml.running.jobs import Place, TrainJob
from anml.running.lengths import plan_lengths
from anml.running.pipeline import gather
from anml.running.points import Point, searched_for
from anml.store.checkpoint import load_checkpoint


@pytest.fixture(scope="module")
def recorded(tiny: Profile, noise_drawings: Drawings, tmp_path_factory) -> Path:
    """A small run, recorded: three trained models, two meta-tests."""
    place = Place(tiny, tmp_path_factory.mktemp("run"))
    jobs = [TrainJob(name, 0) for name in ("anml", "oml", "pretrain")]
    for point in (Point("ANML", 2), Point("OML", 2)):
        jobs += [*search_jobs(tiny, point), EvaluateJob(point, 0)]
    for job in jobs:
        job.run(place, noise_drawings, lambda n: None)
    write_tables(place, noise_drawings, jobs)
    folder = tmp_path_factory.mktemp("results") / "smoke"
    record(place, folder)
    return folder


def table(recorded: Path) -> Table:
    return read_table(recorded / "meta_test.parquet")


def test_tables_and_models_without_heads_are_kept(recorded: Path) -> None:
    names = {path.name for path in recorded.iterdir()}
    assert {"meta_test.parquet", "meta_train_log.parquet", "checkpoints"} <= names
    models = sorted(path.name for path in (recorded / "checkpoints").iterdir())
    assert models == [f"{name}-seed0.safetensors" for name in ("anml", "oml", "pretrain")]
    tensors, header = load_checkpoint(recorded / "checkpoints" / models[0])
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}
    assert "log" not in tensors
    assert header["without"] == ["head.bias", "head.weight"]
    assert not set(header["without"]) & set(tensors)
    assert header["iteration"] == 8


def test_what_is_recorded_is_listed(recorded: Path) -> None:
    rows = recorded_tables([recorded]).set_index("table")
    assert rows.loc["meta_test", "models"] == 1
    assert rows.loc["meta_test", "trajectories"] == 2
    assert set(rows["data"]) == {"omniglot"}


def test_recorded_meta_tests_come_out_again(recorded: Path, noise_drawings: Drawings) -> None:
    checks = verify(table(recorded), recorded, noise_drawings, sample=10, longest=2)
    assert len(checks) == 2 * 2 * 2  # treatments, trajectories, accuracies
    assert [check.again for check in checks] == [check.recorded for check in checks]
    assert len({check.what for check in checks}) == 4
    few = verify(table(recorded), recorded, noise_drawings, sample=1, longest=2, seed=3)
    assert len(few) == 2


@pytest.mark.parametrize("iterations", [4, 8])
def test_lengths_of_another_meta_training_are_recorded_and_come_out_again(
    iterations: int, tiny: Profile, noise_drawings: Drawings, tmp_path: Path
) -> None:
    """Also at the profile's own length (8), where ANML's model would be one of the compared."""
    profile = replace(tiny, length_training="anml-redraw-kept", length_iterations=(iterations,))
    place = Place(profile, tmp_path / "run")
    (job,) = plan_lengths(profile)
    job.run(place, noise_drawings, lambda n: None)
    write_tables(place, noise_drawings, [job])
    folder = tmp_path / "recorded"
    record(place, folder)
    (model,) = folder.glob("**/*.safetensors")
    assert model.relative_to(folder).parts[:2] == ("lengths", str(iterations))
    found = read_table(folder / "lengths.parquet")
    # As one of an older version would be, whose profiles had a value more.
    found.provenance.profile_values["redraw"] = "copy"
    checks = verify(found, folder, noise_drawings, sample=10, longest=2)
    assert len(checks) == 2 * 2 * 2  # orders, trajectories, accuracies
    assert [check.again for check in checks] == [check.recorded for check in checks]
    assert {"ANML (redraw kept)" in check.what for check in checks} == {True}


def test_a_changed_number_is_found(recorded: Path, noise_drawings: Drawings) -> None:
    found = table(recorded)
    frame = found.frame.assign(value=(found.frame["value"] + 0.5) % 1)
    checks = verify(replace(found, frame=frame), recorded, noise_drawings, sample=10, longest=2)
    assert not any(check.agrees for check in checks)


@pytest.mark.parametrize(
    ("recorded_value", "again", "drawings", "agrees"),
    [
        (0.5, 0.5, 50, True),
        (0.5, 0.54, 50, True),
        (0.5, 0.56, 50, False),
        (0.5, 0.51, 3000, True),
        (0.5, 0.515, 3000, False),
    ],
)
def test_two_drawings_or_one_point_may_differ(recorded_value, again, drawings, agrees) -> None:
    assert Check("x", "y", recorded_value, again, drawings).agrees == agrees


def test_wrong_drawings_and_too_short_are_one_line(
    recorded: Path, noise_drawings: Drawings
) -> None:
    other = replace(noise_drawings, fingerprint="0" * 16)
    assert "--data" in refusal(lambda: verify(table(recorded), recorded, other, 1, 2))
    message = refusal(lambda: verify(table(recorded), recorded, noise_drawings, 1, 1))
    assert "raise --longest" in message


def test_a_run_without_tables_is_not_recorded(tiny: Profile, tmp_path: Path) -> None:
    assert "has no tables" in refusal(lambda: record(Place(tiny, tmp_path), tmp_path / "x"))


# --- what is recorded of a run that is not finished, and what is not


@pytest.fixture
def half(tiny: Profile, noise_drawings: Drawings, tmp_path: Path) -> Place:
    """A run, gathered: OML is finished, ANML has 5 of 8 iterations."""
    place = Place(tiny, tmp_path / "run")
    TrainJob("oml", 0).run(place, noise_drawings, lambda n: None)
    short = replace(place, profile=replace(tiny, meta_iterations=5))
    TrainJob("anml", 0).run(short, noise_drawings, lambda n: None)
    TrainJob("anml", 0).result(place).unlink()
    gather(place, noise_drawings)
    return place


MODEL = "checkpoints/oml-seed0.safetensors"


def test_what_is_finished_is_recorded_and_no_unfinished_weight(half: Place, tmp_path: Path) -> None:
    written = record(half, tmp_path / "results" / "smoke")
    found = files(tmp_path / "results" / "smoke")
    tables = {f"{name}.parquet" for name in ("meta_train_log", "stages", "unfinished_log")}
    assert found == tables | {MODEL}
    assert len(written) == len(found)


def test_what_the_run_no_longer_has_is_removed(
    half: Place, noise_drawings: Drawings, tmp_path: Path
) -> None:
    folder = tmp_path / "results" / "smoke"
    record(half, folder)
    (folder / "notes.txt").touch()
    TrainJob("oml", 0).result(half).unlink()
    TrainJob("anml", 0).run(half, noise_drawings, lambda n: None)
    gather(half, noise_drawings)
    record(half, folder)
    tables = {"meta_train_log.parquet", "stages.parquet", "unfinished_log.parquet"}
    model = MODEL.replace("oml", "anml")
    assert files(folder) == tables | {model, "notes.txt"}
    frame = read_table(folder / "unfinished_log.parquet").frame
    assert set(frame["treatment"]) == {"oml"}
    record(half, folder, models=False)
    assert files(folder) == tables | {"notes.txt"}


@pytest.mark.parametrize(
    ("limit", "what"), [("MOST_TABLE_BYTES", "tables"), ("MOST_MODEL_BYTES", "models")]
)
def test_too_much_in_all_is_refused_before_anything_is_written(
    limit: str, what: str, half: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside, folder = tmp_path / "results" / "quick", tmp_path / "results" / "smoke"
    record(half, beside)
    (beside / "checkpoints" / "oml-seed0.safetensors").write_bytes(bytes(2_000_000))
    (beside / "stages.parquet").write_bytes(bytes(2_000_000))
    monkeypatch.setattr(module, limit, 2_000_100)
    message = refusal(lambda: record(half, folder))
    assert f"has 2.0 MB of {what}" in message
    assert "allowed are 2.0 MB in all" in message
    assert ("--without-models" in message) == (what == "models")
    assert "--to" in message
    assert not folder.exists()
    if what == "models":
        record(half, folder, models=False)
        assert MODEL not in files(folder)
    monkeypatch.setattr(module, limit, 3_000_000)
    record(half, folder)
    record(half, folder)  # what stands there itself is not counted twice


def test_a_runs_own_folder_is_not_recorded_into(half: Place) -> None:
    before = files(half.folder)
    assert "--to" in refusal(lambda: record(half, half.folder))
    assert files(half.folder) == before


def test_what_was_recorded_as_finished_is_not_under_way_again(
    tiny: Profile, noise_drawings: Drawings, tmp_path: Path
) -> None:
    """A copy of the run that was made earlier is added later."""
    place, copy, folder = (Place(tiny, tmp_path / name) for name in ("run", "copy", "recorded"))
    short = replace(place, profile=replace(tiny, meta_iterations=5))
    TrainJob("anml", 0).run(short, noise_drawings, lambda n: None)
    TrainJob("anml", 0).result(place).unlink()
    shutil.copytree(place.folder, copy.folder)
    TrainJob("anml", 0).run(place, noise_drawings, lambda n: None)
    for one in (place, copy):
        gather(one, noise_drawings)
    record(place, folder.folder)
    before = files(folder.folder)
    record(copy, folder.folder, add=True)
    assert files(folder.folder) == before
    log = read_table(folder.folder / "meta_train_log.parquet").frame
    assert log["iteration"].max() == 8


def test_a_run_is_recorded_with_the_values_that_it_was_gathered_with_alone(
    half: Place, tmp_path: Path
) -> None:
    other = replace(half, profile=replace(half.profile, meta_iterations=9))
    message = refusal(lambda: record(other, tmp_path / "x"))
    assert "is of profile smoke, meta_iterations=8: record it with the --profile" in message
    named = replace(half, profile=replace(half.profile, name="quick"))
    assert "is of profile smoke:" in refusal(lambda: record(named, tmp_path / "x"))
    assert not (tmp_path / "x").exists()


def test_models_that_are_newer_than_the_tables_are_refused(
    half: Place, noise_drawings: Drawings, tmp_path: Path
) -> None:
    model = TrainJob("oml", 0).result(half)
    later = model.stat().st_mtime + 1000
    os.utime(model, (later, later))
    assert "--gather" in refusal(lambda: record(half, tmp_path / "x"))
    assert record(half, tmp_path / "x", models=False)


def test_single_values_of_a_profile_are_not_recorded_as_the_profile(
    half: Place, packed_noise: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr("anml.findings.found_tables.repository_root", lambda: tmp_path)
    texts = {k: ",".join(map(str, v)) if isinstance(v, tuple) else v for k, v in TINY.items()}
    values = [f"--set={name}={text}" for name, text in texts.items()]
    command = ["results", "record", "--data", str(packed_noise), "--out", str(half.folder), *values]
    for to in ([], ["--to", str(tmp_path / "results" / "smoke")]):
        assert cli.main([*command, *to]) == 2
        error = capsys.readouterr().err
        assert "--set" in error
        assert "--to" in error
    assert not (tmp_path / "results").exists()
    there = str(tmp_path / "results" / "mine")
    assert cli.main([*command, "--to", there, "--without-models"]) == 0
    assert "unfinished_log.parquet" in capsys.readouterr().out
    assert MODEL not in files(Path(there))


def test_the_commands(
    recorded: Path, packed_noise: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert cli.main(["results", "show", str(recorded)]) == 0
    assert "meta_test" in capsys.readouterr().out
    assert cli.main(["results", "show", str(tmp_path)]) == 2
    assert "no tables or models in" in capsys.readouterr().err
    asked = ["--data", str(packed_noise), "--folder", str(recorded), "--longest", "2"]
    assert cli.main(["results", "verify", *asked]) == 0
    assert "agrees" in capsys.readouterr().out
    changed = pd.read_parquet(recorded / "meta_test.parquet")
    assert set(changed["n_classes"]) == {2}


def without_models(recorded: Path, folder: Path, *missing: str) -> Path:
    """The recorded run as it would be if the models called `missing` were not kept."""
    left_out = [f"{name}-seed0.safetensors" for name in missing]
    return shutil.copytree(recorded, folder, ignore=shutil.ignore_patterns(*left_out))


def test_meta_tests_without_a_model_are_left_out_and_counted(
    recorded: Path, noise_drawings: Drawings, tmp_path: Path
) -> None:
    folder, told = without_models(recorded, tmp_path / "x", "oml"), []
    checks = verify(table(folder), folder, noise_drawings, sample=10, longest=2, tell=told.append)
    assert {check.what.partition(",")[0] for check in checks} == {"ANML"}
    (line,) = told
    assert line.startswith("2 of 4 recorded meta-tests")
    told.clear()
    verify(table(recorded), recorded, noise_drawings, sample=10, longest=2, tell=told.append)
    assert told == []


def test_without_any_model_nothing_can_be_verified(
    recorded: Path, noise_drawings: Drawings, tmp_path: Path
) -> None:
    folder = without_models(recorded, tmp_path / "x", "anml", "oml")
    message = refusal(lambda: verify(table(folder), folder, noise_drawings, sample=1, longest=2))
    assert "no model of the 4 recorded meta-tests" in message


def test_scratch_is_verified_without_a_model(
    tiny: Profile, noise_drawings: Drawings, tmp_path: Path
) -> None:
    place, folder = Place(tiny, tmp_path / "run"), tmp_path / "results"
    jobs = [
        job
        for regime in ("oracle", "oracle 20 epochs")
        for point in [Point("Scratch", 2, regime=regime)]
        for job in (*search_jobs(tiny, searched_for(tiny, point)), EvaluateJob(point, 0))
    ]
    for job in dict.fromkeys(jobs):
        job.run(place, noise_drawings, lambda n: None)
    shutil.copytree(write_tables(place, noise_drawings, list(dict.fromkeys(jobs))), folder)
    checks = verify(table(folder), folder, noise_drawings, sample=10, longest=2)
    assert checks
    assert all(check.agrees for check in checks)
    assert {check.what.split(", ")[1] for check in checks} == {"oracle"}  # one epoch: short


def test_the_command_says_what_it_left_out(
    recorded: Path, packed_noise: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = without_models(recorded, tmp_path / "x", "anml")
    asked = ["--data", str(packed_noise), "--folder", str(folder), "--longest", "2"]
    assert cli.main(["results", "verify", *asked]) == 0
    shown = capsys.readouterr()
    assert "agrees" in shown.out
    assert "2 of 4 recorded meta-tests" in shown.err
