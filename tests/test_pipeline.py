"""A whole run in worker processes: what it leaves, what it does again, how it stops."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from refusal import refusal

from anml import pipeline as module
from anml.checkpoint import load_checkpoint
from anml.jobs import EvaluateJob, Place, TrainJob
from anml.meta_train import LOG_METRICS
from anml.packed import Drawings
from anml.pipeline import claim, default_folder, learning_curve, plan, run, write_tables
from anml.profiles import Profile, find_profile
from anml.results import read_table
from anml.tables import TESTING, TRAINING
from anml.treatments import TREATMENTS

TABLES = ("meta_test", "learning_rates", "meta_train_log")


# --- the plan


def test_the_plan_of_the_smallest_profile() -> None:
    profile = find_profile("smoke")
    jobs = plan(profile, list(TREATMENTS))
    trained = [job for job in jobs if isinstance(job, TrainJob)]
    assert {job.training for job in trained} == {"anml", "oml", "pretrain"}
    evaluated = [job for job in jobs if isinstance(job, EvaluateJob)]
    assert len(evaluated) == 5 * len(profile.n_classes) * len(profile.optimizers)
    for job in evaluated:
        training = TREATMENTS[job.treatment].training
        assert jobs[job] == [job for job in trained if job.training == training]
    assert all(waits == [] for job, waits in jobs.items() if job in trained)
    costs = [job.weight() * job.steps(profile) for job in jobs]
    assert costs == sorted(costs, reverse=True)


def test_every_model_is_trained_and_waited_for() -> None:
    profile = replace(find_profile("smoke"), model_seeds=3)
    jobs = plan(profile, ["OML", "OML-OLFT"])
    models = [TrainJob("oml", seed) for seed in range(3)]
    assert [job for job in jobs if isinstance(job, TrainJob)] == models
    assert all(waits == models for job, waits in jobs.items() if isinstance(job, EvaluateJob))


def test_default_folders() -> None:
    smoke = find_profile("smoke")
    assert default_folder(smoke, "glyphs", {}) == Path("runs/smoke-glyphs")
    marked = {
        default_folder(find_profile("smoke", one), "glyphs", one)
        for one in ({"meta_iterations": 5}, {"meta_iterations": 6})
    }
    assert len(marked) == 2
    assert all(path.name.startswith("smoke-glyphs-") for path in marked)


# --- the folder


def test_a_folder_belongs_to_one_run(tiny: Profile, noise_drawings: Drawings, tmp_path) -> None:
    claim(Place(tiny, tmp_path), noise_drawings)
    claim(Place(replace(tiny, summary="in other words"), tmp_path), noise_drawings)
    other = replace(tiny, meta_iterations=9)
    assert "--out" in refusal(lambda: claim(Place(other, tmp_path), noise_drawings))
    drawings = replace(noise_drawings, fingerprint="f" * 16)
    assert "--out" in refusal(lambda: claim(Place(tiny, tmp_path), drawings))


def test_a_damaged_mark_and_an_unwritable_folder_are_one_line(
    tiny: Profile, noise_drawings: Drawings, tmp_path: Path
) -> None:
    (tmp_path / "run.json").write_text('{"profile": ')
    assert "damaged" in refusal(lambda: claim(Place(tiny, tmp_path), noise_drawings))
    place = Place(tiny, tmp_path / "run.json" / "x")
    assert "cannot write" in refusal(lambda: claim(place, noise_drawings))


# --- the tables


def test_a_learning_curve_is_means_over_stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOG_POINTS", 3)
    log = torch.arange(21.0, dtype=torch.float64).view(7, 3)
    rows = pd.DataFrame(learning_curve(TrainJob("anml", 4), log))
    assert set(rows["model_seed"]) == {4}
    assert set(rows["treatment"]) == {"anml"}
    one = rows[rows["metric"] == LOG_METRICS[1]]
    assert one["iteration"].tolist() == [3, 6, 7]
    assert one["value"].tolist() == [4.0, 13.0, 19.0]


def test_a_damaged_part_is_one_line(tiny: Profile, noise_drawings: Drawings, tmp_path) -> None:
    place, job = Place(tiny, tmp_path), EvaluateJob("ANML", 2, "adam")
    job.result(place).parent.mkdir()
    job.result(place).write_text("{")
    message = refusal(lambda: write_tables(place, noise_drawings, [job]))
    assert str(job.result(place)) in message
    assert "delete it" in message


# --- a whole run


@pytest.mark.slow
def test_a_whole_run_and_doing_only_what_is_missing(
    tiny: Profile, noise_drawings: Drawings, packed_noise: Path, tmp_path: Path
) -> None:
    """All five treatments from drawings to tables; then with parts of it gone."""

    def everything() -> Path:
        return run(tiny, noise_drawings, str(packed_noise), tmp_path, workers=2)

    results = everything()
    assert results == tmp_path / "results"
    tables = {name: read_table(results / f"{name}.parquet") for name in TABLES}
    for table in tables.values():
        source = table.provenance
        assert source.profile == "smoke"
        assert source.data_source == "omniglot"
        assert source.data_fingerprint == noise_drawings.fingerprint
        assert source.profile_values == tiny.values()
        assert source.seconds > 0
        assert set(table.frame["profile"]) == {"smoke"}
    tested = tables["meta_test"].frame
    assert set(tested["treatment"]) == set(TREATMENTS)
    assert set(tested["metric"]) == {TRAINING, TESTING}
    assert len(tested) == 5 * 2 * 2 * 2
    searched = tables["learning_rates"].frame
    assert len(searched) == 5 * 2 * 2
    used = tested[["treatment", "n_classes", "learning_rate"]].drop_duplicates()
    assert len(used) == 10
    assert set(used["learning_rate"]) <= set(tiny.learning_rates)
    log = tables["meta_train_log"].frame
    assert set(log["treatment"]) == {"anml", "oml", "pretrain"}
    assert set(log["metric"]) == set(LOG_METRICS)
    assert log["iteration"].max() == 8

    place = Place(tiny, tmp_path)
    files = {job.result(place) for job in plan(tiny, list(TREATMENTS))}
    assert all(path.is_file() for path in files)
    gone = {TrainJob("oml", 0).result(place), EvaluateJob("ANML", 3, "adam").result(place)}
    before = {path: path.stat().st_mtime_ns for path in files}
    model = load_checkpoint(TrainJob("oml", 0).result(place))[0]
    for path in gone:
        path.unlink()
    everything()
    assert {path for path in files if path.stat().st_mtime_ns != before[path]} == gone
    again = load_checkpoint(TrainJob("oml", 0).result(place))[0]
    assert all(torch.equal(tensor, model[name]) for name, tensor in again.items())
    pd.testing.assert_frame_equal(read_table(results / "meta_test.parquet").frame, tested)

    other = replace(tiny, meta_iterations=9)
    refusal(lambda: run(other, noise_drawings, str(packed_noise), tmp_path))


def test_a_run_that_is_complete_starts_no_process(
    tiny: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = plan(tiny, ["Scratch"])
    place = Place(tiny, tmp_path)
    for job in jobs:
        job.result(place).parent.mkdir(exist_ok=True)
        job.result(place).write_text("{}")
    monkeypatch.setattr(module, "ProcessPoolExecutor", None)
    module._run_jobs(place, "glyphs", jobs, 1)


LONG = {"meta_iterations": 1_000_000, "pretrain_iterations": 1_000_000}


@pytest.mark.slow
def test_a_failed_job_stops_the_others_and_is_told(
    tiny: Profile, noise_drawings: Drawings, packed_noise: Path, tmp_path: Path
) -> None:
    """A damaged checkpoint of one training; the other one, endless, saves and stops."""
    profile = replace(tiny, **LONG)
    broken = tmp_path / "checkpoints" / "anml-seeds0.resume.safetensors"
    broken.parent.mkdir()
    broken.write_bytes(b"nonsense")
    message = refusal(
        lambda: run(
            profile,
            noise_drawings,
            str(packed_noise),
            tmp_path,
            treatments=["ANML", "OML"],
            workers=2,
        )
    )
    assert str(broken) in message


@pytest.mark.slow
def test_a_killed_worker_is_one_line(
    tiny: Profile, noise_drawings: Drawings, packed_noise: Path, tmp_path: Path
) -> None:
    """As the system does when memory runs out."""
    profile = replace(tiny, **LONG)
    me = os.getpid()

    def kill_workers() -> None:
        while not (workers := worker_processes(me)):
            time.sleep(0.05)
        for worker in workers:
            os.kill(worker, signal.SIGKILL)

    killer = threading.Thread(target=kill_workers)
    killer.start()
    message = refusal(
        lambda: run(
            *(profile, noise_drawings, str(packed_noise), tmp_path),
            treatments=["ANML"],
            workers=1,
        )
    )
    killer.join()
    assert "--workers 1" in message


def worker_processes(parent: int) -> list[int]:
    """Children of `parent` that multiprocessing started for work."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if int(status[1]) == parent and b"spawn_main" in command and status[0] != "Z":
            found.append(int(folder.name))
    return found


def start_run(packed: Path, folder: Path, **popen: object) -> subprocess.Popen[str]:
    """`anml run` that never ends by itself, two workers, in a process group of its own."""
    from conftest import TINY

    values = {**TINY, **LONG}
    options = [f"--set={k}={','.join(map(str, v)) if isinstance(v, tuple) else v}"
               for k, v in values.items()]  # fmt: skip
    arguments = ["run", "--data", str(packed), "--out", str(folder), "--workers", "2", *options]
    code = "import sys; from anml.cli import main; sys.exit(main(sys.argv[1:]))"
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **popen,
    )


def wait_for_work(process: subprocess.Popen[str]) -> list[int]:
    """Until a worker has reported progress: before that the bar names no job."""
    assert process.stderr is not None
    text = ""
    while "meta-train" not in text:
        character = process.stderr.read(1)
        assert character, text
        text += character
    time.sleep(1)
    return worker_processes(process.pid)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")
@pytest.mark.parametrize("how", ["ctrl-c", "terminate"])
def test_a_stopped_run_saves_and_says_how_to_go_on(
    how: str, packed_noise: Path, tmp_path: Path
) -> None:
    """Ctrl-C reaches every process of the terminal's group, `kill` only the first."""
    process = start_run(packed_noise, tmp_path)
    workers = wait_for_work(process)
    assert len(workers) == 2
    if how == "ctrl-c":
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.terminate()
    out, err = process.communicate()
    assert process.returncode == 130
    assert out == ""
    assert "Traceback" not in err
    last = err.strip().splitlines()[-1]
    assert last.startswith("interrupted: stopped;")
    assert "run the same command to go on" in last
    saved = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert saved
    for name in saved:
        assert load_checkpoint(tmp_path / "checkpoints" / name)[1]["iteration"] > 0
    assert json.loads((tmp_path / "run.json").read_text())["profile"]["name"] == "smoke"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")
def test_workers_do_not_outlive_a_run_that_was_killed(packed_noise: Path, tmp_path: Path) -> None:
    process = start_run(packed_noise, tmp_path)
    workers = wait_for_work(process)
    process.kill()
    process.communicate()
    while any(Path(f"/proc/{worker}/cmdline").exists() and is_alive(worker) for worker in workers):
        time.sleep(0.05)  # the test's time limit, if any, is the judge


def is_alive(process: int) -> bool:
    try:
        return (Path(f"/proc/{process}/stat")).read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
