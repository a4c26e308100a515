"""The workflow: its graph, what it does again and why, and a run that was killed."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import draw_graph
import flow
import pandas as pd
import pytest
import yaml
from estimates import read_estimates
from refusal import refusal
from tiny_profile import TINY

from anml.profiles import find_profile
from anml.running.groups import groups

ROOT = Path(__file__).resolve().parents[1]
SNAKEMAKE = str(Path(sys.executable).with_name("snakemake"))


def as_text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def command(*targets: str, packed: Path, out: Path, dry: bool = False, **changes: object) -> list:
    """A call of the workflow at a tiny size, split into groups, in a folder of its own."""
    values = ";".join(f"{k}={as_text(v)}" for k, v in (TINY | changes).items())
    return [
        *(SNAKEMAKE, *targets, "--snakefile", str(ROOT / "workflow" / "Snakefile")),
        *("--cores", "2"),
        *(["--dry-run"] if dry else []),
        *("--config", "profile=smoke", f"data={packed}", f"out={out}", "split=true"),
        f"set={values}",
    ]


def call(*arguments, **options) -> subprocess.CompletedProcess:
    asked = command(*arguments, **options)
    return subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_memory_and_overrides() -> None:
    assert flow.memory_mb(find_profile("laptop")) < flow.memory_mb(find_profile("paper"))
    assert flow.overrides("a=1; b=2,3;") == {"a": "1", "b": "2,3"}
    assert "NAME=VALUE" in refusal(lambda: flow.overrides("a"))


def test_a_groups_time_is_its_estimate_with_a_margin_else_a_guess() -> None:
    paper, known = find_profile("paper"), groups(find_profile("paper"))
    training, tests = known["meta-train.oml-seed0"], known["meta-test.oml-oracle"]
    estimates = pd.Series({training.name: 30 * 3600.0})
    assert flow.group_hours(paper, training, estimates) == 60
    assert flow.group_hours(paper, tests, estimates) == 8
    assert flow.group_hours(paper, training, pd.Series(dtype=float)) == 24
    assert flow.group_hours(find_profile("laptop"), training, pd.Series(dtype=float)) == 8


def test_what_is_asked_lies_within_the_limits_and_grows_with_each_try() -> None:
    limits = flow.read_limits({})
    assert [flow.minutes(hours, limits) for hours in (0, 5, 1000)] == [60, 300, 72 * 60]
    assert [flow.minutes(30, limits, attempt) for attempt in (1, 2, 3)] == [1800, 3600, 4320]
    own = flow.read_limits({"min_hours": 2, "max_hours": "24"})
    assert [flow.minutes(hours, own) for hours in (0, 1000)] == [120, 24 * 60]
    assert flow.read_limits({"max_hours": 0.5}) == flow.Limits(0.5, 0.5)


@pytest.mark.parametrize(
    "config", [{"max_hours": "long"}, {"max_hours": 0}, {"min_hours": 3, "max_hours": 2}]
)
def test_impossible_limits_are_one_line(config: dict) -> None:
    assert "min_hours <= max_hours" in refusal(lambda: flow.read_limits(config))


@pytest.mark.parametrize("given", [True, "true", "True"])
def test_a_run_is_split_as_asked(given: object) -> None:
    assert flow.read_split({}, otherwise=True)
    assert not flow.read_split({}, otherwise=False)
    assert flow.read_split({"split": given}, otherwise=False)
    assert not flow.read_split({"split": "false"}, otherwise=True)
    message = refusal(lambda: flow.read_split({"split": 1}, otherwise=True))
    assert "split=1: allowed are true and false" in message


def test_groups_with_a_job_that_never_finishes_are_named() -> None:
    paper, known = find_profile("paper"), groups(find_profile("paper"))
    estimates = read_estimates("paper")

    def warning(max_hours: float) -> str:
        limits = flow.read_limits({"max_hours": max_hours})
        return flow.endless_warning(paper, known.values(), estimates, limits)

    assert warning(1000) == ""
    line = warning(24)
    assert line.startswith("warning: ")
    assert "\n" not in line
    assert "meta-test.oml-unlimited-oracle-20-epochs" in line
    assert "meta-train" not in line  # it goes on from its checkpoint
    assert "rates." not in warning(0.5)  # so does the training that is most of a search
    # The group's jobs are of ten N: the longest is that of the largest, 600 of 2,185 classes.
    group = known["meta-test.oml-unlimited-oracle-20-epochs"]
    share = 600 / sum(paper.epochs_network_n_classes) / paper.epochs_network_models
    assert flow.longest_job(paper, group, 1.0) == pytest.approx(share)


@pytest.mark.parametrize("name", ["default", "slurm"])
def test_profiles_go_on_after_a_kill_and_hold_no_machines_names(name: str) -> None:
    text = (ROOT / "workflow" / "profiles" / name / "config.yaml").read_text()
    values = yaml.safe_load(text)
    assert values["rerun-incomplete"] is True
    assert values.get("retries") == {"default": None, "slurm": 3}[name]
    assert "/home" not in text


def test_a_graph_is_read_without_loops_and_detours() -> None:
    text = '0[label = "a"]1[label = "b"]2[label = "c"] 0 -> 1 1 -> 1 1 -> 2 0 -> 2'
    edges = draw_graph.read_edges(text)
    assert edges == {("a", "b"), ("b", "c")}


@pytest.mark.slow
def test_the_drawing_in_the_book_is_the_workflows_graph() -> None:
    edges = draw_graph.rule_edges()
    assert ("meta_train", "meta_test") in edges
    assert ("pages", "site") in edges
    assert draw_graph.DRAWING.read_text() == draw_graph.drawing(edges)


@pytest.mark.slow
def test_pages_of_a_run_with_values_of_its_own_are_refused(
    packed_noise: Path, tmp_path: Path
) -> None:
    done = call("pages", packed=packed_noise, out=tmp_path / "run", dry=True)
    assert done.returncode != 0
    assert "pages show the run of a profile as it is" in done.stdout + done.stderr


@pytest.mark.slow
def test_an_unknown_profile_names_the_known_ones(packed_noise: Path, tmp_path: Path) -> None:
    asked = [*command(packed=packed_noise, out=tmp_path, dry=True), "profile=smok"]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert "unknown profile 'smok': choose one of smoke, quick" in done.stderr + done.stdout


@pytest.mark.slow
def test_a_small_run_has_a_process_a_core(packed_noise: Path, tmp_path: Path) -> None:
    target = f"{tmp_path}/results/meta_test.parquet"
    asked = command(target, packed=packed_noise, out=tmp_path, dry=True)
    words = [*asked, "split=false", "device=cpu", "--printshellcmds"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "--device cpu" in done.stdout
    assert "--workers 2" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("device", "split"), [("cpu", True), ("cuda", False)])
def test_a_large_run_is_split_unless_it_is_on_a_gpu(
    device: str, split: bool, packed_noise: Path, tmp_path: Path
) -> None:
    """There one process does all, and trains the seeds of a meta-training side by side."""
    target = f"{tmp_path}/results/meta_test.parquet"
    asked = command(target, packed=packed_noise, out=tmp_path, dry=True)
    words = [word for word in asked if word != "split=true"]
    words += ["profile=laptop", f"device={device}", "--printshellcmds"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert f"--device {device}" in done.stdout
    assert ("--group meta-train.anml-seed0" in done.stdout) == split
    assert split or "--workers 1" in done.stdout


@pytest.mark.slow
def test_tables_of_a_part_of_a_run_are_not_taken_for_the_whole(
    packed_noise: Path, tmp_path: Path
) -> None:
    """A page's rerun leaves them, outside of the workflow."""
    partial = tmp_path / "results" / "meta_test.parquet"
    partial.parent.mkdir()
    partial.touch()
    asked = [*command("results", packed=packed_noise, out=tmp_path, dry=True), "split=false"]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert f"{tmp_path}/done/tables" in done.stdout
    (tmp_path / "done").mkdir()
    (tmp_path / "done" / "tables").touch()
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert "Nothing to be done" in done.stdout + done.stderr


@pytest.mark.slow
def test_groups_run_once_and_again_for_a_reason(packed_noise: Path, tmp_path: Path) -> None:
    """And those that never finish are named: of a profile with estimates, on a queue of seconds."""
    run = {"packed": packed_noise, "out": tmp_path / "run"}
    target = f"{run['out']}/done/probe.seed0"

    def ask(*words: str, **options: object) -> subprocess.CompletedProcess:
        asked = [*command(*words, **run, **options), "profile=paper", "max_hours=0.001"]
        return subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, timeout=300)

    first = ask(target)
    assert first.returncode == 0, first.stderr
    (line,) = [line for line in first.stderr.splitlines() if line.startswith("warning: ")]
    assert "meta-test.oml-olft-oracle" in line
    assert "max_hours=0.001" in line
    parts = list((run["out"] / "parts").iterdir())
    assert [path.name for path in parts] == ["probe-representations-seed-0.json"]
    assert len(list((run["out"] / "checkpoints").glob("*-seed0.safetensors"))) == 2

    assert "Nothing to be done" in ask(target).stderr

    # A group whose list of jobs is another one: what it had is kept, the reason is said.
    again = ask(f"{run['out']}/done/meta-train.oml-seed0", dry=True, meta_iterations=9)
    assert "Params have changed" in again.stdout + again.stderr


def slurm_answers() -> bool:
    """Whether this machine belongs to a SLURM cluster that runs."""
    if shutil.which("sinfo") is None:
        return False
    try:
        return subprocess.run(["sinfo"], capture_output=True, timeout=30).returncode == 0
    except subprocess.TimeoutExpired:  # installed, and no controller answers
        return False


@pytest.mark.slow
@pytest.mark.skipif(not slurm_answers(), reason="no SLURM runs here")
def test_a_cluster_does_the_groups(packed_noise: Path) -> None:
    """A single node will do; jobs are really submitted."""
    shared = ROOT / "build" / "slurm-test"  # every node has to see it
    shutil.rmtree(shared, ignore_errors=True)
    data = shutil.copy(packed_noise, shared.parent / "slurm-test.npz")
    run = {"packed": Path(data), "out": shared}
    target = f"{shared}/done/probe.seed0"
    asked = command(target, **run)
    cores = asked.index("--cores")
    asked[cores : cores + 2] = ["--profile", str(ROOT / "workflow" / "profiles" / "slurm")]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("has been submitted with SLURM jobid") == 3
    assert Path(target).is_file()


@pytest.mark.slow
def test_a_killed_workflow_is_finished_by_the_same_command(
    packed_noise: Path, tmp_path: Path
) -> None:
    run = {"packed": packed_noise, "out": tmp_path / "run"}
    target = f"{run['out']}/done/meta-train.oml-seed0"
    process = subprocess.Popen(
        command(target, **run),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    logs = run["out"] / "logs"
    deadline = time.monotonic() + 120
    while not list(logs.glob("*.log")):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not Path(target).exists()
    subprocess.run([*command(target, **run), "--unlock"], cwd=ROOT, capture_output=True)
    done = call(target, **run)
    assert done.returncode == 0, done.stderr
    assert Path(target).is_file()
    assert (run["out"] / "checkpoints" / "oml-seed0.safetensors").is_file()
