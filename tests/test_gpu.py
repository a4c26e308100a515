"""On a GPU: what it computes is what a CPU computes, captured and replayed too. Else skipped."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import network_speed
import pytest
import torch
from torch.func import functional_call
from training_runs import DOUBLE, TRAINED, start

from anml.meta_testing.linear_learning import LEARNERS, learn_linears
from anml.meta_training.training_job import Job
from anml.profiles import Profile

DEVICE = "cuda"

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")


def assert_close(ours: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(ours.cpu(), expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("training", TRAINED)
@pytest.mark.parametrize("redraw", ["copy", "meta"])
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
