"""The benchmark: every way computes the same gradient, and its tables hold what was measured."""

import os
import subprocess
import sys
from dataclasses import replace

import beside
import cost
import memory_speed
import network_speed
import pandas as pd
import pytest
import torch
from reference_networks import networks, random_episode
from refusal import refusal
from shares import products_share
from torch.func import functional_call
from ways import WAYS, Way

from anml.adapt import plain_meta_gradient
from anml.results import device_name

EXACT = [name for name, way in WAYS.items() if way.second_order and name != "supervised"]


def same(result: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert result.keys() == expected.keys()
    scale = max(tensor.abs().max() for tensor in expected.values())
    for name, tensor in expected.items():
        assert result[name].shape == tensor.shape, name
        assert (result[name] - tensor).abs().max() < 1e-10 * scale, name


def reference(model: torch.nn.Module, fast: tuple[str, ...], order: bool) -> dict:
    gradients = plain_meta_gradient(model, fast, random_episode(), 0.1, order).gradients
    return {name: tensor[0] for name, tensor in gradients.items()}


@pytest.mark.parametrize("kind", ["anml", "oml"])
@pytest.mark.parametrize("name", EXACT)
def test_exact_ways_agree(name: str, kind: str) -> None:
    if kind == "oml" and "ordinary" in name:
        pytest.skip("written for ANML only")
    if not WAYS[name].installed:
        pytest.skip(f"{WAYS[name].library} is not installed")
    model, _ = networks(kind)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    fast = ("pln.", "head.") if kind == "anml" else ("hidden.", "head.")
    result = WAYS[name].gradient(model, random_episode(), 0.1)
    same(result, reference(model, fast, True))
    # A way must leave the network as it found it, or the next iteration measures another one.
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert all(parameter.is_leaf for parameter in model.parameters())


def test_the_released_algorithm_is_the_first_order_gradient() -> None:
    model, _ = networks("anml")
    result = WAYS["released algorithm"].gradient(model, random_episode(), 0.1)
    same(result, reference(model, ("pln.", "head."), False))
    exact = reference(model, ("pln.", "head."), True)
    assert (result["pln.blocks.1.conv.weight"] - exact["pln.blocks.1.conv.weight"]).abs().max() > 0


def test_a_library_that_is_missing_leaves_its_row_empty(monkeypatch) -> None:
    monkeypatch.setitem(cost.WAYS, "higher", Way(lambda *_: {}, "no_such_library"))
    row = cost.measure(cost.Case("smoke", "anml", "higher"), quick=True)
    assert row["note"] == "not installed"
    assert row["seconds"] == ""


def test_a_case_is_timed_and_counted() -> None:
    row = cost.measure(cost.Case("smoke", "anml", "adjoint"), quick=True)
    assert list(row) == list(cost.COLUMNS)
    assert 0 < float(row["fastest"]) <= float(row["seconds"]) <= float(row["slowest"])
    assert row["multiply_adds"] > 0
    assert row["peak_mb"] > 50
    assert float(row["gflops"]) > 0
    assert 0 < float(row["products"]) < 1


def test_the_exact_and_the_first_order_way_have_counts_of_their_own() -> None:
    exact = cost.counted(cost.Case("paper", "anml", "higher"), cost.PROFILES["paper"])
    first = cost.counted(cost.Case("paper", "anml", "released algorithm"), cost.PROFILES["paper"])
    assert exact > 1.2 * first


def test_a_sweep_changes_one_thing() -> None:
    sizes = [cost.SWEEPS["inner steps"].sized(x, quick=False) for x in (1, 20)]
    assert [(profile.inner_steps, replicas) for profile, replicas in sizes] == [(1, 1), (20, 1)]
    profile, replicas = cost.SWEEPS["replicas"].sized(4, quick=False)
    assert (profile, replicas) == (cost.PROFILES["laptop"], 4)
    profile, _ = cost.SWEEPS["width"].sized(128, quick=False)
    assert (profile.pln_channels, profile.nm_channels) == (128, 56)


def test_every_recorded_case_can_be_expressed() -> None:
    for case in cost.CASES:
        assert case.profile in cost.PROFILES
        assert case.training in cost.TRAININGS
        assert case.way in WAYS
    # What workflow/profile_table.py reads.
    adjoint = {(case.profile, case.training) for case in cost.CASES if case.way == "adjoint"}
    assert adjoint == {(p, t) for p in cost.PROFILES for t in ("anml", "oml", "pretrain")}


def test_rounds_make_one_row() -> None:
    own = {"profile": "paper", "way": "adjoint", "multiply_adds": 7, "note": ""}
    times = [("2", "1.5", "9"), ("1", "0.5", "3"), ("4", "3", "5")]
    rounds = [own | dict(zip(cost.TIMES, each, strict=True)) | {"products": ""} for each in times]
    row = cost.merged(rounds)
    assert row == own | {"seconds": "2", "fastest": "0.5", "slowest": "9", "products": ""}
    assert cost.merged(rounds[:1]) == rounds[0]


@pytest.mark.slow
def test_the_whole_command_at_tiny_sizes(tmp_path) -> None:
    command = [sys.executable, cost.__file__, "--quick", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    costs = pd.read_csv(tmp_path / "cost.csv")
    assert costs.loc[0, "way"] == "adjoint"
    assert costs.loc[0, "seconds"] > 0
    assert set(pd.read_csv(tmp_path / "speed_sweeps.csv")["sweep"]) == {"replicas"}
    machine = pd.read_csv(tmp_path / "speed_machine.csv").set_index("what")["value"]
    assert len(machine["commit"]) >= 7


def test_a_share_is_of_what_multiplies() -> None:
    a = torch.rand(600, 600)
    assert products_share(lambda: a @ a) > 0.5
    assert products_share(lambda: torch.sort(a)) == 0.0


def test_a_busy_machine_is_refused(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (99.0, 0.0, 0.0))
    assert "the machine is busy" in refusal(lambda: cost.run(tmp_path, quick=False))
    assert list(tmp_path.iterdir()) == []


def test_every_part_is_for_one_of_the_three_files() -> None:
    names = [name for name, *_ in cost.parts(quick=False)]
    assert names == ["speed_machine", *["cost"] * len(cost.CASES), *["speed_sweeps"] * 4]
    assert {name for name, *_ in cost.parts(quick=True)} == set(names)


@pytest.mark.parametrize("name", list(cost.SWEEPS))
def test_sweeps_are_timed_and_counted(name: str) -> None:
    rows = cost.measure_sweep(name, quick=True)
    assert [row["x"] for row in rows] == list(cost.SWEEPS[name].values[:2])
    assert 0 < rows[0]["multiply_adds"] < rows[1]["multiply_adds"]
    assert all(float(row["seconds"]) > 0 for row in rows)


def test_a_setting_reaches_the_process_that_is_timed(monkeypatch) -> None:
    seen = {}

    def started(words, env, **_):
        seen.update(words=words, spins=env.get("GOMP_SPINCOUNT"))
        return subprocess.CompletedProcess(words, 0, stdout='{"seconds": "1"}')

    monkeypatch.setattr(subprocess, "run", started)
    row = beside.measure_apart("quick", beside.Setting("x", 3, {"GOMP_SPINCOUNT": "7"}))
    assert row == {"seconds": "1"}
    assert seen["words"][-2:] == ["quick", "3"]
    assert seen["spins"] == "7"


def test_a_setting_is_timed_on_its_threads() -> None:
    row = beside.measure_apart("smoke", beside.Setting("x", threads=1))
    assert row["device"] == "CPU, 1 thread"
    assert 0 < float(row["fastest"]) <= float(row["seconds"]) <= float(row["slowest"])


def test_a_setting_that_fails_writes_nothing(monkeypatch, tmp_path) -> None:
    failed = subprocess.CompletedProcess([], 1, stdout="")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    assert "'as it comes' failed" in refusal(lambda: beside.run(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_busy_process_ends_with_what_it_disturbs() -> None:
    with beside.busy() as process:
        assert process.poll() is None
    assert process.poll() is not None


def test_a_meta_iteration_is_timed_on_the_threads_that_it_has() -> None:
    tiny = replace(cost.PROFILES["quick"], **cost.QUICK)
    row = beside.measure(tiny, quick=True)
    assert float(row["seconds"]) > 0
    assert row["device"] == device_name("cpu")


def test_ways_of_asking_for_memory_are_timed_in_rounds(monkeypatch, tmp_path) -> None:
    seconds = iter([*range(1, 7), *range(3, 9)])

    def measured(profile: str, setting: str) -> dict[str, str]:
        time = next(seconds)
        return {"seconds": f"{time}", "fastest": f"{time - 1}", "slowest": f"{time + 1}"}

    monkeypatch.setattr(memory_speed, "measure_apart", measured)
    memory_speed.run(tmp_path, rounds=2)
    rows = pd.read_csv(tmp_path / "memory_speed.csv")
    assert list(rows["setting"]) == list(memory_speed.SETTINGS) * 2
    assert list(rows["seconds"]) == [2, 3, 4, 5, 6, 7]  # medians of rounds 2 apart
    assert list(rows["fastest"]) == [0, 1, 2, 3, 4, 5]
    assert set(rows["huge_pages"]) <= {"always", "madvise", "never"}


def test_a_way_of_asking_for_memory_is_timed_in_a_process_of_its_own() -> None:
    row = memory_speed.measure_apart("smoke", "kept")
    assert 0 < float(row["fastest"]) <= float(row["seconds"]) <= float(row["slowest"])
    assert row["page_faults"] < 10_000
    assert "'unknown' failed" in refusal(lambda: memory_speed.measure_apart("smoke", "unknown"))


@pytest.mark.parametrize("treatment", network_speed.TREATMENT_NAMES)
def test_steps_of_whole_networks_learn_the_same_by_each_way(treatment, tiny) -> None:
    problem = network_speed.draw_problem(treatment, tiny, 3)
    problem = replace(problem, model=problem.model.double(), images=problem.images.double())
    logits = [
        functional_call(problem.model, way(problem), problem.images)
        for way in network_speed.WAYS.values()
    ]
    for other in logits[1:]:
        torch.testing.assert_close(logits[0], other, rtol=1e-6, atol=1e-8)
    before = problem.model(problem.images)
    assert (logits[0] - before).abs().max() > 1e-3


def test_steps_of_whole_networks_are_timed(tiny) -> None:
    rows = list(network_speed.measure("Scratch", tiny, steps=2, stretches=2))
    assert [row["way"] for row in rows] == list(network_speed.WAYS)
    for row in rows:
        fastest, middle, slowest = (float(row[f"{x}_ms"]) for x in ("fastest", "step", "slowest"))
        assert 0 < fastest <= middle <= slowest
        assert float(row["trajectory_seconds"]) == pytest.approx(9 * middle, rel=0.01)


def test_a_quick_run_never_replaces_recorded_numbers() -> None:
    done = subprocess.run(
        [sys.executable, cost.__file__, "--quick"], capture_output=True, text=True
    )
    assert done.returncode != 0
    assert done.stderr.splitlines() == [
        "error: --quick measures nothing worth keeping: give it a folder with --out"
    ]
