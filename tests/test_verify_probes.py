"""Recorded neighbours are asked for again, and a changed number is found."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from refusal import refusal

from anml import cli
from anml.drawings.packed import Drawings
from anml.profiles import Profile
from anml.recording.record import record
from anml.recording.verify_probes import verify_neighbours
from anml.results import Table, read_table, write_table
from anml.running.gather import write_tables
from anml.running.jobs import Place, TrainJob
from anml.running.length_names import LENGTHS
from anml.running.probe_jobs import ProbeJob


@pytest.fixture(scope="module")
def recorded(tiny: Profile, few: Drawings, tmp_path_factory) -> Path:
    """A small run, recorded: both networks of one seed, probed."""
    place = Place(tiny, tmp_path_factory.mktemp("run"))
    jobs = [TrainJob("anml", 0), TrainJob("oml", 0), ProbeJob(0)]
    for job in jobs:
        job.run(place, few, lambda n: None)
    write_tables(place, few, jobs)
    folder = tmp_path_factory.mktemp("results") / "smoke"
    record(place, folder)
    return folder


def found(folder: Path, name: str = "knn") -> Table:
    return read_table(folder / f"{name}.parquet")


@pytest.mark.parametrize(("name", "layers"), [("knn", 5), ("knn_distances", 10)])
def test_recorded_neighbours_come_out_again(
    name: str, layers: int, recorded: Path, few: Drawings
) -> None:
    checks = verify_neighbours(found(recorded, name), recorded, few, sample=99)
    assert len({check.what for check in checks}) == len(checks) == layers
    assert [check.again for check in checks] == [check.recorded for check in checks]
    assert {check.drawings for check in checks} == {5 * len(few.meta_test)}
    assert len(verify_neighbours(found(recorded, name), recorded, few, sample=2, seed=3)) == 2


def test_models_that_were_measured_after_a_length_are_found(
    tiny: Profile, few: Drawings, tmp_path: Path
) -> None:
    """Models of another meta-training are recorded among the lengths, and probed by its name."""
    model, probe = TrainJob("anml-redraw-kept", 0), ProbeJob(0)
    place = Place(replace(tiny, probed=(model.training,)), tmp_path / "run")
    for job in (model, probe):
        job.run(place, few, lambda n: None)
    folder = shutil.copytree(write_tables(place, few, [probe]), tmp_path / "results")
    among = folder / LENGTHS / str(tiny.meta_iterations)
    shutil.copytree(place.folder / "checkpoints", among / "checkpoints")
    checks = verify_neighbours(found(folder), folder, few, sample=99)
    assert len(checks) == 4
    assert [check.again for check in checks] == [check.recorded for check in checks]


def test_a_changed_number_is_found(recorded: Path, few: Drawings) -> None:
    table = found(recorded)
    frame = table.frame.assign(value=(table.frame["value"] + 0.5) % 1)
    checks = verify_neighbours(replace(table, frame=frame), recorded, few, sample=99)
    assert checks
    assert not any(check.agrees for check in checks)


def test_layers_without_a_model_are_left_out_and_counted(
    recorded: Path, few: Drawings, tmp_path: Path
) -> None:
    told: list[str] = []
    for names, left in ((("oml",), 4), (("oml", "anml"), 0)):
        files = [f"{name}-seed0.safetensors" for name in names]
        folder = tmp_path / "-".join(names)
        shutil.copytree(recorded, folder, ignore=shutil.ignore_patterns(*files))

        def ask(folder: Path = folder) -> list[object]:
            return verify_neighbours(found(folder), folder, few, sample=99, tell=told.append)

        if left:
            assert len(ask()) == left
            assert told[0].startswith("1 of 5 recorded layers are left out")
        else:
            assert "no model of the 5 recorded layers" in refusal(ask)


def test_other_drawings_are_refused(recorded: Path, few: Drawings) -> None:
    other = replace(few, fingerprint="0" * 16)
    assert "--data" in refusal(lambda: verify_neighbours(found(recorded), recorded, other, 1))


def test_the_command(
    recorded: Path,
    few: Drawings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("anml.data.load", lambda data: few)
    asked = ["results", "verify", "--table", "knn", "--sample", "2"]
    assert cli.main([*asked, "--folder", str(recorded)]) == 0
    assert capsys.readouterr().out.count("agrees") == 2
    assert cli.main([*asked, "--folder", str(recorded), "--longest", "2"]) == 2
    assert "--longest is about meta-tests, and knn has none" in capsys.readouterr().err
    changed = shutil.copytree(recorded, tmp_path / "changed")
    table = found(changed)
    write_table(changed / "knn.parquet", table.frame.assign(value=0.0), table.provenance)
    assert cli.main([*asked, "--folder", str(changed)]) == 1
    assert "DIFFERS" in capsys.readouterr().out
