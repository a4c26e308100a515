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

from anml import gather as gathering
from anml import workers as module
from anml.checkpoint import load_checkpoint
from anml.disagreements import DisagreementJob
from anml.evaluations import EvaluateJob, SearchJob
from anml.gather import learning_curve, write_tables
from anml.jobs import Place, TrainJob, write_part
from anml.meta_train import LOG_METRICS
from anml.packed import Drawings
from anml.pipeline import claim, default_folder, gather, run
from anml.plan import plan
from anml.points import Point
from anml.probe_jobs import ProbeJob
from anml.profiles import Profile, find_profile
from anml.regimes import REGIMES
from anml.results import device_name, read_table, running_commit
from anml.treatments import TRAININGS, TREATMENTS

TABLES = ("meta_test", "learning_rates", "class_accuracy", "meta_train_log")


# --- the plan


def test_the_plan_holds_every_kind_of_job_and_what_they_wait_for() -> None:
    profile = replace(find_profile("smoke"), model_seeds=2)
    jobs = plan(profile)
    kinds = {type(job) for job in jobs}
    assert {TrainJob, SearchJob, EvaluateJob, ProbeJob, DisagreementJob} <= kinds
    trained = {job.training for job in jobs if isinstance(job, TrainJob)}
    assert trained == set(TRAININGS) - {"scratch"}
    assert all(other in jobs for waits in jobs.values() for other in waits)
    costs = [job.weight() * job.steps(profile) for job in jobs]
    assert costs == sorted(costs, reverse=True)
    assert len({job.name for job in jobs}) == len(jobs)
    assert len({job.result(Place(profile, Path())) for job in jobs}) == len(jobs)


def test_part_of_a_plan_and_what_it_waits_for() -> None:
    profile = find_profile("smoke")
    jobs = plan(profile, ["meta-test oml-olft, SEQUENTIAL, 5 "])
    point = Point("OML-OLFT", 5)
    assert set(jobs) == {EvaluateJob(point, 0), SearchJob(point, 0), TrainJob("oml", 0)}
    both = plan(profile, ["meta-train oml, ", "meta-train anml, "])
    assert set(both) == {TrainJob("oml", 0), TrainJob("anml", 0)}
    message = refusal(lambda: plan(profile, ["nonsense"]))
    assert "'nonsense'" in message
    assert "meta-t" in message


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
    monkeypatch.setattr(gathering, "LOG_POINTS", 3)
    log = torch.arange(21.0, dtype=torch.float64).view(7, 3)
    rows = pd.DataFrame(learning_curve(TrainJob("anml", 4), log))
    assert set(rows["model_seed"]) == {4}
    assert set(rows["treatment"]) == {"anml"}
    one = rows[rows["metric"] == LOG_METRICS[1]]
    assert one["iteration"].tolist() == [3, 6, 7]
    assert one["value"].tolist() == [4.0, 13.0, 19.0]


def test_any_table_that_a_part_names_is_gathered(
    tiny: Profile, noise_drawings: Drawings, tmp_path: Path
) -> None:
    place = Place(tiny, tmp_path)
    first, second = (EvaluateJob(Point("ANML", n), 0) for n in (2, 3))
    write_part(first, place, {"odd": [{"x": 1}], "even": []}, 1.5)
    write_part(second, place, {"odd": [{"x": 3}, {"x": 5}]}, 2.0)
    part = json.loads(second.result(place).read_text())
    second.result(place).write_text(json.dumps(part | {"commit": "other", "made_on": "a GPU"}))
    folder = write_tables(place, noise_drawings, [first, second])
    assert {path.name for path in folder.iterdir()} == {"odd.parquet", "stages.parquet"}
    table = read_table(folder / "odd.parquet")
    assert table.frame["x"].tolist() == [1, 3, 5]
    assert set(table.frame["profile"]) == {"smoke"}
    assert set(table.frame["data"]) == {"omniglot"}
    assert table.provenance.seconds == 3.5
    assert set(table.provenance.commit.split("; ")) == {running_commit(), "other"}
    assert set(table.provenance.device.split("; ")) == {device_name(), "a GPU"}
    stages = read_table(folder / "stages.parquet").frame
    columns = ["stage", "group", "device", "jobs", "seconds"]
    group = ["meta-test", "meta-test.anml-sequential"]
    expected = [[*group, device_name(), 1, 1.5], [*group, "a GPU", 1, 2.0]]
    assert stages[columns].to_numpy().tolist() == expected


def test_gathering_takes_what_is_there_and_says_what_is_not(
    tiny: Profile, noise_drawings: Drawings, tmp_path: Path
) -> None:
    place = Place(tiny, tmp_path / "run")
    assert "nothing that is finished" in refusal(lambda: gather(place, noise_drawings))
    assert not place.folder.exists()
    jobs = plan(tiny)
    (search,) = [job for job in jobs if isinstance(job, SearchJob)][:1]
    write_part(search, place, {"odd": [{"x": 1}]}, 1.0)
    folder, missing = gather(place, noise_drawings)
    assert missing == len(jobs) - 1
    assert read_table(folder / "odd.parquet").frame["x"].tolist() == [1]
    other = Place(replace(tiny, meta_iterations=9), place.folder)
    assert "other settings" in refusal(lambda: gather(other, noise_drawings))


def test_the_bar_counts_what_an_unfinished_training_has_done(
    tiny: Profile, noise_drawings: Drawings, tmp_path: Path
) -> None:
    job, place = TrainJob("oml", 0), Place(tiny, tmp_path)
    assert job.steps_begun(place) == 0
    job.run(
        replace(place, profile=replace(tiny, meta_iterations=5)), noise_drawings, lambda _: None
    )
    job.result(place).unlink()
    assert job.steps_begun(place) == 5
    job.working(place).write_bytes(b"nonsense")
    assert job.steps_begun(place) == 0


def test_a_meta_training_of_several_seeds_is_not_begun_anew_one_by_one(
    tiny: Profile, noise_drawings: Drawings, packed_noise: Path, tmp_path: Path
) -> None:
    shared = tmp_path / "checkpoints" / "anml-first-order-seeds0_1.resume.safetensors"
    shared.parent.mkdir()
    shared.touch()
    args = (tiny, noise_drawings, str(packed_noise), tmp_path)
    text = refusal(lambda: run(*args, only=["first-order, seed 0"]))
    assert "`anml meta-train anml-first-order --seeds 0,1 --resume`" in text


def test_a_run_clears_what_killed_ones_left_half_written(
    tiny: Profile, noise_drawings: Drawings, packed_noise: Path, tmp_path: Path, monkeypatch
) -> None:
    left = tmp_path / "checkpoints" / ".anml-seed0.0123abcd.safetensors"
    mine = tmp_path / "checkpoints" / ".keep.safetensors"
    left.parent.mkdir()
    left.touch()
    mine.touch()
    monkeypatch.setattr("anml.pipeline.run_jobs", lambda *a: None)
    args = (tiny, noise_drawings, str(packed_noise), tmp_path)
    assert "nothing that is finished" in refusal(lambda: run(*args))
    assert not left.exists()
    assert mine.exists()


# --- a whole run


@pytest.mark.slow
def test_a_whole_run_and_doing_only_what_is_missing(
    tiny: Profile, noise_drawings: Drawings, packed_noise: Path, tmp_path: Path
) -> None:
    """Every treatment from drawings to tables; then with parts of it gone."""

    def everything() -> tuple[Path, int]:
        return run(tiny, noise_drawings, str(packed_noise), tmp_path, workers=2)

    results, missing = everything()
    assert (results, missing) == (tmp_path / "results", 0)
    assert {path.stem for path in results.iterdir()} >= set(TABLES)
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
    # Four treatments at two N with two trajectories, six at one with one; 20 epochs once each.
    assert len(tested) == 2 * (2 * (4 * 2 * 2 + 6) + 10)
    points = tested[["treatment", "regime"]].drop_duplicates()
    assert len(points) == len(TREATMENTS) * len(REGIMES)
    searched = tables["learning_rates"].frame
    assert len(searched) == 2 * (4 * 2 + 6)
    rates = tested.groupby(["treatment", "regime", "n_classes"])["learning_rate"].nunique()
    assert set(rates) == {1}
    assert set(tested["learning_rate"]) <= set(tiny.learning_rates)
    assert len(tables["class_accuracy"].frame) == 4 * 2 * 3
    log = tables["meta_train_log"].frame
    assert set(log["treatment"]) == set(TRAININGS) - {"scratch"}
    assert set(log["metric"]) == set(LOG_METRICS)
    assert log["iteration"].max() == 8

    place = Place(tiny, tmp_path)
    files = {job.result(place) for job in plan(tiny)}
    assert all(path.is_file() for path in files)
    gone = {TrainJob("oml", 0).result(place), EvaluateJob(Point("ANML", 3), 0).result(place)}
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
    jobs = plan(tiny, ["search rate Scratch"])
    place = Place(tiny, tmp_path)
    for job in jobs:
        job.result(place).parent.mkdir(exist_ok=True)
        job.result(place).write_text("{}")
    monkeypatch.setattr(module, "ProcessPoolExecutor", None)
    module.run_jobs(place, "glyphs", jobs, 1)


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
            only=["meta-train anml, ", "meta-train oml, "],
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
            only=["meta-train anml, "],
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
