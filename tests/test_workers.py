"""Worker processes: what the bar counts, none without work, how they stop, told to or killed."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from refusal import refusal
from tiny_profile import TINY

from anml.drawings.packed import Drawings
from anml.profiles import Profile
from anml.running import workers as module
from anml.running.jobs import Place, TrainJob
from anml.running.pipeline import run
from anml.running.plan import plan
from anml.store.checkpoint import load_checkpoint, save_checkpoint


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
    tensors, header = load_checkpoint(job.working(place))
    save_checkpoint(job.working(place), tensors, header | {"code": "of another day"})
    assert job.steps_begun(place) == 0
    assert job.steps_begun(replace(place, keep=True)) == 5
    job.working(place).write_bytes(b"nonsense")
    assert job.steps_begun(place) == 0


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


@pytest.mark.slow
def test_a_worker_that_finds_other_code_than_the_run_began_with_refuses(
    tiny: Profile, packed_noise: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers are processes of their own, in which nothing is patched."""
    monkeypatch.setattr(module, "code_state", lambda *names: "that of another tree")
    jobs, place = plan(tiny, ["search rate Scratch"]), Place(tiny, tmp_path)
    message = refusal(lambda: module.run_jobs(place, str(packed_noise), jobs, 1))
    assert "changed while the run was going on: run the same command again" in message
    assert not (tmp_path / "parts").exists()


def test_what_waits_for_a_training_that_diverged_before_starts_no_process(
    tiny: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seeds side by side, say; each of which is told of the same error."""
    monkeypatch.setattr(module, "ProcessPoolExecutor", None)
    jobs = plan(replace(tiny, model_seeds=2), ["meta-train anml, ", "search rate ANML, "])
    diverged = {TrainJob("anml", seed): "seeds 0, 1 diverged" for seed in (0, 1)}
    place = Place(tiny, tmp_path)
    message = refusal(lambda: module.run_jobs(place, "", jobs, 1, diverged=diverged))
    assert message.startswith("seeds 0, 1 diverged; all that does not wait for it is finished")


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
def test_a_training_that_diverges_keeps_back_only_what_waits_for_it(
    tiny: Profile,
    noise_drawings: Drawings,
    packed_noise: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It would diverge again at every start."""
    profile = replace(tiny, anml_outer_rate=10.0, meta_iterations=100)
    only = ["meta-train anml, ", "meta-train oml, ", "search rate ANML, sequential"]
    message = refusal(
        lambda: run(profile, noise_drawings, str(packed_noise), tmp_path, only=only, workers=1)
    )
    assert message.startswith("meta-train anml, seed 0: meta-training anml, seed 0, diverged")
    assert TrainJob("oml", 0).result(Place(profile, tmp_path)).is_file()
    assert not list((tmp_path / "parts").glob("*"))
    (log,) = (tmp_path / "logs").glob("*.log")
    told, _, advice = message.partition("; all that")
    assert "--gather" in advice
    assert f"diverged: {told}\n" in log.read_text()
    assert f"{told} (others go on)\n" in capsys.readouterr().err


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
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{worker}/cmdline").exists() and is_alive(worker) for worker in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_alive(process: int) -> bool:
    try:
        return (Path(f"/proc/{process}/stat")).read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
