"""On a GPU: what it computes is what a CPU computes, captured and replayed too. Else skipped."""

import copy
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import network_speed
import numpy as np
import pytest
import torch
from torch.func import functional_call
from training_runs import DOUBLE, WITH_REDRAWS, recorded_models, start, train

from anml.drawings.packed import Drawings
from anml.meta_test import Run, Score, meta_test
from anml.meta_testing.frozen_features import KnownFeatures
from anml.meta_testing.linear_learning import LEARNERS, learn_linears
from anml.meta_testing.trajectories import draw_trajectory
from anml.meta_train import build_model, meta_train
from anml.meta_training.training_job import Job
from anml.meta_training.warm_start import warm_start
from anml.profiles import Profile
from anml.recording.record import record
from anml.recording.verify import verify
from anml.results import read_table
from anml.running.jobs import Place
from anml.running.pipeline import run
from anml.store.checkpoint import load_checkpoint
from anml.treatments import TREATMENTS, find_training, find_treatment

DEVICE = "cuda"

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")


def assert_close(ours: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(ours.cpu(), expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(("training", "redraw"), WITH_REDRAWS)
def test_a_captured_meta_training_is_that_of_a_cpu(
    training: str, redraw: str, job: Callable[..., Job]
) -> None:
    """Two seeds, three iterations between two looks at the log, the last look at fewer."""
    one = job(training, (0, 1), dtype=DOUBLE)
    one = replace(one, training=replace(one.training, redraw=redraw))
    found = []
    for own in (one, replace(one, device=DEVICE)):
        state, loop = start(own, ahead=3)
        rows = []
        while loop.done < one.iterations:
            rows.append(loop.run())
        found.append({**state, "rows": torch.cat(rows)})
    expected, ours = found
    assert ours["head.weight"].device.type == DEVICE
    for name, tensor in expected.items():
        assert_close(ours[name].detach(), tensor.detach())


@pytest.mark.parametrize("training", ["anml", "oml", "pretrain"])
def test_a_meta_training_that_was_stopped_goes_on_as_on_a_cpu(
    training: str, job: Callable[..., Job]
) -> None:
    """From the working checkpoint that the GPU left half-way."""
    one = job(training, (0, 1), dtype=DOUBLE)
    own = replace(one, device=DEVICE, folder=one.folder / "device")
    train(replace(own, profile=own.profile.of_length(one.iterations // 2)))
    for ours, expected in zip(train(own, resume=True), train(one), strict=True):
        for name, tensor in expected.items():
            assert_close(ours[name], tensor)


@pytest.mark.parametrize("training", ["anml", "pretrain"])
def test_a_recorded_model_is_gone_on_from(
    training: str, job: Callable[..., Job], tmp_path: Path
) -> None:
    """After its head has settled, with nothing else changed."""
    short = job(training, dtype=DOUBLE)
    folder = recorded_models(short, tmp_path / "recorded")
    further = short.profile.of_length(short.iterations + 4)
    one = replace(short, profile=further, folder=tmp_path / "further", device=DEVICE)
    warm_start(one, folder, settling=5, progress=False)
    recorded, _ = load_checkpoint(folder / one.model_path(0).name)
    working, _ = load_checkpoint(one.resume_path)
    for name, tensor in recorded.items():
        assert torch.equal(working[f"weights/{name}"][0], tensor), name
    assert all(working[f"exp_avg_sq/{name}"].any() for name in recorded if "weight" in name)
    (path,) = meta_train(one, resume=True, progress=False)
    log = load_checkpoint(path)[0]["log"]
    assert log[: short.iterations].isnan().all()
    assert log[short.iterations :].isfinite().all()


def agree(ours: Score, expected: Score) -> bool:
    """A GPU's mean may be off in the last digit."""
    values = [(one.training, one.testing, *one.per_class) for one in (ours, expected)]
    return ours.run is expected.run and values[0] == pytest.approx(values[1], rel=1e-12)


@pytest.mark.parametrize("treatment", TREATMENTS)
def test_meta_tests_score_as_on_a_cpu(
    treatment: str, tiny: Profile, noise_drawings: Drawings
) -> None:
    """Several side by side, at rates of their own; with the features that the first left, too."""
    row = find_treatment(treatment)
    torch.manual_seed(1)
    model = build_model(find_training(row.training).network, tiny).double()
    runs = [Run(draw_trajectory(seed, 3), rate) for seed in (0, 1) for rate in (1e-3, 1e-2)]
    expected = meta_test(row, model, noise_drawings, runs)
    own = copy.deepcopy(model).to(DEVICE)
    known = None if row.learns_convolutions else KnownFeatures(own)
    for _ in range(2):
        found = meta_test(row, own, noise_drawings, runs, known=known)
        assert all(map(agree, found, expected))
    if known:
        assert known.of(noise_drawings, np.array([0])).device.type == DEVICE


@pytest.mark.slow
def test_a_whole_run_is_verified_by_a_cpu(
    tiny: Profile, noise_drawings: Drawings, packed_noise: Path, tmp_path: Path
) -> None:
    """Every job, and two models of each meta-training side by side."""
    place = Place(replace(tiny, model_seeds=2), tmp_path / "run", DEVICE)
    data = (noise_drawings, str(packed_noise))
    _, missing = run(place.profile, *data, place.folder, device=DEVICE, workers=1)
    assert missing == 0
    recorded = tmp_path / "recorded"
    record(place, recorded)
    table = read_table(recorded / "meta_test.parquet")
    checks = verify(table, recorded, noise_drawings, sample=20, longest=2)
    assert all(check.agrees for check in checks)


@pytest.mark.parametrize("optimizer", LEARNERS)
@pytest.mark.parametrize("widths", [(11, 5), (11, 7, 5)])
def test_linear_layers_learn_as_on_a_cpu(optimizer: str, widths: tuple[int, ...]) -> None:
    """Several runs side by side, each at a rate of its own."""
    random = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=random, dtype=DOUBLE)

    features, rates = normal(9, widths[0]), [1e-2, 3e-3, 1e-3]
    drawings = torch.randint(9, (3, 130), generator=random)
    labels = torch.randint(widths[-1], (3, 130), generator=random)
    layers = [(normal(o, i), normal(o)) for i, o in pairwise(widths)]

    def learned(device: str) -> list[torch.Tensor]:
        starts = [[(w.to(device), b.to(device)) for w, b in layers]] * len(rates)
        problem = (part.to(device) for part in (features, drawings, labels))
        runs = learn_linears(*problem, starts, rates, optimizer)
        return [tensor for run in runs for layer in run for tensor in layer]

    for ours, expected in zip(learned(DEVICE), learned("cpu"), strict=True):
        assert ours.device.type == DEVICE
        assert_close(ours, expected)


@pytest.mark.parametrize("treatment", network_speed.TREATMENT_NAMES)
def test_whole_networks_learn_as_on_a_cpu(treatment: str, tiny: Profile) -> None:
    problem = network_speed.draw_problem(treatment, tiny, 3)
    problem = replace(problem, model=problem.model.double(), images=problem.images.double())

    def logits(device: str) -> torch.Tensor:
        own = replace(problem, model=problem.model.to(device), images=problem.images.to(device))
        weights = network_speed.WAYS["ours"](own)
        return functional_call(own.model, weights, own.images)

    expected = logits("cpu").detach()
    assert_close(logits(DEVICE).detach(), expected)
