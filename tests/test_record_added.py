"""Whole runs added to what is recorded: rows and models, and what is refused."""

import errno
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import synthetic_lengths as synthetic
import torch
from folders import files
from refusal import refusal

from anml import cli
from anml.data import Drawings
from anml.meta_train import load_model
from anml.profiles import PROFILES, Profile
from anml.recording.record import record
from anml.recording.verify import verify
from anml.results import read_table, write_table
from anml.running.gather import write_tables
from anml.running.jobs import Place, TrainJob
from anml.running.lengths import LengthJob
from anml.running.probe_jobs import ProbeJob
from anml.store.checkpoint import load_checkpoint, read_header


@pytest.fixture(scope="module")
def made_once(
    tiny: Profile, noise_drawings: Drawings, tmp_path_factory: pytest.TempPathFactory
) -> dict[int, Place]:
    """Two runs of a profile, each with lengths of a model of its own."""
    profile = replace(tiny, length_models=2, model_seeds=2)
    found = {}
    for seed in (0, 1):
        place = Place(profile, tmp_path_factory.mktemp(f"run{seed}"))
        jobs = [LengthJob(seed, 4, 0), LengthJob(seed, 12, 4)]
        for job in jobs:
            job.run(place, noise_drawings, lambda n: None)
        write_tables(place, noise_drawings, jobs)
        found[seed] = place
    return found


@pytest.fixture
def runs(made_once: dict[int, Place], tmp_path: Path) -> dict[int, Place]:
    """The two runs, in folders that a test may change."""
    return {
        seed: replace(place, folder=shutil.copytree(place.folder, tmp_path / f"run{seed}"))
        for seed, place in made_once.items()
    }


def of_length(iterations: int, run: Place, drawings: Drawings, folder: Path) -> Place:
    """A run beside `run` that measures its model 0 after so many meta-iterations."""
    profile = replace(run.profile, length_iterations=(iterations,))
    place = replace(run, profile=profile, folder=folder / f"length{iterations}")
    job = LengthJob(0, iterations, 0)
    job.run(place, drawings, lambda n: None)
    write_tables(place, drawings, [job])
    return place


def test_a_second_run_is_added_with_the_furthest_model_of_each(
    runs: dict[int, Place], noise_drawings: Drawings, tmp_path: Path
) -> None:
    folder = tmp_path / "results" / "smoke"
    record(runs[0], folder)
    record(runs[1], folder, add=True, half=True)
    models = [f"lengths/12/checkpoints/anml-seed{seed}.safetensors" for seed in (0, 1)]
    names = ("lengths", "length_rates", "length_activity", "stages")
    assert files(folder) == {*models, *(f"{name}.parquet" for name in names)}
    assert set(read_table(folder / "lengths.parquet").frame["model_seed"]) == {0, 1}
    kinds = [
        {tensor.dtype for tensor in load_checkpoint(folder / model)[0].values()} for model in models
    ]
    assert kinds == [{torch.float32}, {torch.float16}]
    table = read_table(folder / "lengths.parquet")
    told: list[str] = []
    checks = verify(table, folder, noise_drawings, sample=100, longest=3, tell=told.append)
    assert {check.what.rpartition("after ")[2] for check in checks} == {"12 meta-iterations"}
    assert all(check.agrees for check in checks)
    assert any("model 1" in check.what for check in checks)
    assert "left out" in told[0]


def test_nothing_is_written_when_what_is_to_be_added_stands_there(
    runs: dict[int, Place], tmp_path: Path
) -> None:
    folder = tmp_path / "results" / "smoke"
    record(runs[0], folder)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    message = refusal(lambda: record(runs[0], folder, add=True))
    assert "--without-models" in message
    message = refusal(lambda: record(runs[0], folder, add=True, models=False))
    assert "recorded already" in message
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def contents_of(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in files(folder)}


def full_disk(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("add", [True, False])
def test_a_full_disk_leaves_what_is_recorded_and_the_same_command_does_it_again(
    add: bool, runs: dict[int, Place], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The models are what is written last."""
    folder, whole = tmp_path / "results" / "smoke", tmp_path / "whole" / "smoke"
    for one in (folder, whole):
        record(runs[0], one)
    record(runs[1], whole, add=add)
    before = contents_of(folder)
    with monkeypatch.context() as patch:
        patch.setattr("safetensors.torch.save_file", full_disk)
        message = refusal(lambda: record(runs[1], folder, add=add))
    assert "nothing was recorded" in message
    assert "No space left on device; free some space, then run the same command" in message
    assert contents_of(folder) == before
    record(runs[1], folder, add=add)
    assert contents_of(folder) == contents_of(whole)


@pytest.mark.parametrize("add", [True, False])
@pytest.mark.parametrize("moved", [0, 1, 3])
def test_what_stops_between_two_files_is_finished_by_the_same_command(
    moved: int, add: bool, runs: dict[int, Place], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, whole = tmp_path / "results" / "smoke", tmp_path / "whole" / "smoke"
    for one in (folder, whole):
        record(runs[0], one)
    written = record(runs[1], whole, add=add)
    done: list[Path] = []
    replace_file = Path.replace

    def kill(self: Path, target: Path) -> Path:
        if len(done) == moved:
            raise KeyboardInterrupt
        done.append(target)
        return replace_file(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", kill)
        with pytest.raises(KeyboardInterrupt):
            record(runs[1], folder, add=add)
    assert len(done) == moved
    again = record(runs[1], folder, add=add)
    assert [path.relative_to(folder) for path in again] == [p.relative_to(whole) for p in written]
    assert contents_of(folder) == contents_of(whole)
    assert not any(path.name.startswith(".") for path in folder.iterdir())


def test_another_command_finishes_what_was_stopped_and_does_its_own(
    runs: dict[int, Place], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "results" / "smoke"
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full_disk)
        assert "run the same command to finish" in refusal(lambda: record(runs[0], folder))
    record(runs[1], folder, add=True)
    assert set(read_table(folder / "lengths.parquet").frame["model_seed"]) == {0, 1}


def test_a_further_state_of_a_model_takes_the_place_of_a_shorter_one(
    runs: dict[int, Place], noise_drawings: Drawings, tmp_path: Path
) -> None:
    folder = tmp_path / "results" / "smoke"
    for place in runs.values():
        record(place, folder, add=True)
    record(of_length(20, runs[0], noise_drawings, tmp_path), folder, add=True)
    models = {name for name in files(folder) if "checkpoints" in name}
    assert models == {
        "lengths/20/checkpoints/anml-seed0.safetensors",
        "lengths/12/checkpoints/anml-seed1.safetensors",
    }
    frame = read_table(folder / "lengths.parquet").frame
    assert set(frame.loc[frame["model_seed"] == 0, "iterations"]) == {4, 12, 20}


def test_a_recorded_model_may_be_measured_further_by_another_run(
    tiny: Profile, noise_drawings: Drawings, tmp_path: Path
) -> None:
    """Its curve and the time of its meta-training stay recorded once; another model is refused."""
    folder, trained = tmp_path / "results" / "smoke", TrainJob("anml", 0)
    profile = replace(tiny, probed=("anml",))
    first, second = Place(profile, tmp_path / "first"), Place(profile, tmp_path / "second")
    trained.run(first, noise_drawings, lambda n: None)
    write_tables(first, noise_drawings, [trained])
    record(first, folder)
    again = trained.result(second)
    again.parent.mkdir(parents=True)
    again.write_bytes(trained.result(first).read_bytes())
    ProbeJob(0).run(second, noise_drawings, lambda n: None)
    write_tables(second, noise_drawings, [trained, ProbeJob(0)])
    before = read_table(folder / "meta_train_log.parquet")
    record(second, folder, add=True, models=False)
    after = read_table(folder / "meta_train_log.parquet")
    pd.testing.assert_frame_equal(after.frame, before.frame)
    assert after.provenance == before.provenance
    stages = read_table(folder / "stages.parquet")
    assert sorted(stages.frame["group"]) == ["meta-train.anml-seed0", "probe.seed0"]
    assert stages.frame["jobs"].tolist() == [1, 1]
    assert stages.provenance.seconds == pytest.approx(stages.frame["seconds"].sum())
    assert (folder / "knn.parquet").is_file()

    other = Place(replace(profile, anml_outer_rate=2e-3), tmp_path / "other")
    trained.run(other, noise_drawings, lambda n: None)
    write_tables(replace(other, profile=profile), noise_drawings, [trained])
    message = refusal(lambda: record(replace(other, profile=profile), folder, add=True))
    assert "another model" in refusal(
        lambda: record(replace(other, profile=profile), folder, add=True, models=False)
    )
    assert "--without-models" in message


def test_a_run_that_began_with_recorded_models_is_recorded_as_any_other(
    tiny: Profile, noise_drawings: Drawings, tmp_path: Path
) -> None:
    """Its models have no log and no head; recorded again they are the same files."""
    profile = replace(tiny, probed=("anml",))
    trained, probed = TrainJob("anml", 0), ProbeJob(0)
    first, second = Place(profile, tmp_path / "first"), Place(profile, tmp_path / "second")
    trained.run(first, noise_drawings, lambda n: None)
    write_tables(first, noise_drawings, [trained])
    recorded, again = tmp_path / "results" / "smoke", tmp_path / "results" / "again"
    record(first, recorded)
    shutil.copytree(recorded / "checkpoints", second.folder / "checkpoints")
    probed.run(second, noise_drawings, lambda n: None)
    write_tables(second, noise_drawings, [trained, probed])
    record(second, again)
    model = trained.result(replace(first, folder=recorded))
    copied = trained.result(replace(first, folder=again))
    assert read_header(copied)["without"] == ["head.bias", "head.weight"]
    assert copied.read_bytes() == model.read_bytes()
    load_model(copied, "anml", profile)


def test_a_shorter_state_is_not_kept_beside_a_further_one(
    runs: dict[int, Place], noise_drawings: Drawings, tmp_path: Path
) -> None:
    """Its rows are added all the same."""
    folder = tmp_path / "results" / "smoke"
    record(runs[0], folder)
    record(of_length(2, runs[0], noise_drawings, tmp_path), folder, add=True)
    models = {name for name in files(folder) if "checkpoints" in name}
    assert models == {"lengths/12/checkpoints/anml-seed0.safetensors"}
    assert set(read_table(folder / "lengths.parquet").frame["iterations"]) == {2, 4, 12}


def test_a_model_of_the_profiles_own_length_is_recorded_once(
    runs: dict[int, Place], noise_drawings: Drawings, tmp_path: Path
) -> None:
    folder = tmp_path / "results" / "smoke"
    record(runs[0], folder)
    longer = replace(runs[0].profile, meta_iterations=20, length_iterations=(4, 12, 20))
    own = replace(runs[0], profile=longer)
    jobs = [TrainJob("anml", 0), LengthJob(0, 20, 12)]
    for job in jobs:
        job.run(own, noise_drawings, lambda n: None)
    write_tables(own, noise_drawings, jobs)
    record(own, folder)
    models = {name for name in files(folder) if "checkpoints" in name}
    assert models == {"checkpoints/anml-seed0.safetensors"}


def test_a_run_takes_the_place_of_what_stands_there_unless_it_is_added(
    runs: dict[int, Place], tmp_path: Path
) -> None:
    folder = tmp_path / "results" / "smoke"
    record(runs[0], folder)
    record(runs[1], folder)
    assert "lengths/12/checkpoints/anml-seed0.safetensors" not in files(folder)
    assert set(read_table(folder / "lengths.parquet").frame["model_seed"]) == {1}


def test_the_command_adds_more_models_to_a_profile_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
    packed_noise: Path,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setattr("anml.findings.found_tables.repository_root", lambda: tmp_path)
    run, usual = tmp_path / "run", tmp_path / "results" / "laptop"
    own = synthetic.accuracy()
    other = synthetic.of_model(synthetic.accuracy(models=2), 1)
    for folder, table, models in ((usual, own, 1), (run / "results", other, 2)):
        values = replace(PROFILES["laptop"], length_models=models).values()
        made = replace(table.provenance, profile_values=values)
        write_table(folder / "lengths.parquet", table.frame, made)
    command = ["results", "record", "--profile", "laptop", "--data", str(packed_noise)]
    command += ["--out", str(run), "--set", "length_models=2"]
    assert cli.main(command) == 2
    assert "--to" in capsys.readouterr().err
    assert cli.main([*command, "--set", "anml_inner_rate=0.3", "--add"]) == 2
    assert cli.main([*command, "--add"]) == 0
    assert set(read_table(usual / "lengths.parquet").frame["model_seed"]) == {0, 1}
