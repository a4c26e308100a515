"""That a meta-iteration can be a CUDA graph, as far as a machine without a GPU can tell.

Capture itself needs one. What it demands does not: the same operations every time, none that reads
data on the host, no tensor of the host among those of the device, and all that changes between
replays in tensors that stay where they are.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from tape import Tape
from training_runs import TRAINED, WITH_REDRAWS, assert_equal_bits, start

from anml.meta_training.graphed import graphed
from anml.meta_training.outer_step import OuterLoop, new_optimizer
from anml.meta_training.precision import choose_float32
from anml.meta_training.training_job import Job, initial_model

TRAININGS = pytest.mark.parametrize("training", TRAINED)


# --- the tape tells what a graph cannot hold


@pytest.mark.parametrize(
    "read",
    [
        lambda x: x.sum().item(),
        lambda x: x[x > 0],
        lambda x: x.nonzero(),
        lambda x: x.unique(),
        lambda x: bool((x > 0).all()),
        lambda x: torch.equal(x, x),
        lambda x: torch.masked_select(x, x > 0),
        lambda x: torch.repeat_interleave(x.abs().long()),
    ],
)
def test_the_tape_hears_every_read_on_the_host(read: Callable[[torch.Tensor], object]) -> None:
    x = torch.arange(-3.0, 3.0)
    with Tape() as tape:
        read(x)
    assert len(tape.host_readers()) == 1


def test_the_tape_replays_into_the_same_memory() -> None:
    x, y = torch.zeros(3), torch.zeros(3)
    with Tape() as tape:
        y.add_((x[1:] * 2).sum())
    x.copy_(torch.tensor([1.0, 2.0, 3.0]))
    tape.replay()
    assert y.tolist() == [10.0] * 3
    assert tape.devices() == {"cpu"}


def test_a_value_read_on_the_host_is_as_old_as_the_tape() -> None:
    """Even one that goes past the tape, as `tolist` does: the replay gives it away."""
    x, y = torch.ones(1), torch.zeros(1)
    with Tape() as tape:
        y.copy_(x * x.tolist()[0])
    x.fill_(3.0)
    tape.replay()
    assert y.item() == 3.0  # 9.0 if it had been read again


# --- a whole meta-iteration


@TRAININGS
def test_a_meta_iteration_reads_nothing_on_the_host(training: str, job: Callable[..., Job]) -> None:
    _, loop = start(job(training, (0, 1)))
    with Tape() as tape:
        loop._iteration()
    assert tape.host_readers() == []
    assert len(tape.calls) > 100


@pytest.mark.parametrize(("training", "redraw"), WITH_REDRAWS)
def test_a_recorded_iteration_replays_to_the_same_bits(
    training: str, redraw: str, job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights and log of eight iterations: all of them replays of one that is thrown away."""
    one = job(training, (0, 3))
    one = replace(one, training=replace(one.training, redraw=redraw))
    state, loop = start(one)
    expected = torch.cat([loop.run() for _ in range(8)])

    def record(work: Callable[[], None], changed: list[torch.Tensor]) -> Callable[[], None]:
        before = [tensor.detach().clone() for tensor in changed]
        with Tape() as tape:
            work()
        with torch.no_grad():
            for tensor, value in zip(changed, before, strict=True):
                tensor.copy_(value)
        return tape.replay

    monkeypatch.setattr("anml.meta_training.outer_step.graphed", record)
    replayed, loop = start(one, ahead=3)
    rows = torch.cat([loop.run() for _ in range(3)])
    assert torch.equal(rows, expected)
    assert_equal_bits(replayed, state)


class NoAdam(torch.optim.Adam):
    """Fused Adam has no kernel for 'meta'; torch promises that it can be captured."""

    def step(self, closure: None = None) -> None:
        assert all(
            p.grad.device == p.device for group in self.param_groups for p in group["params"]
        )


@TRAININGS
def test_no_tensor_of_the_host_is_among_those_of_the_device(
    training: str, job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On torch's 'meta' device, which has shapes and no data: any read or mixture ends there."""
    one = replace(job(training, (0, 1)), device="meta")
    model = initial_model(one.training.network, one.profile, 0)
    state = {
        name: torch.stack([p.detach()] * 2).to("meta").requires_grad_()
        for name, p in model.named_parameters()
    }
    monkeypatch.setattr(torch.optim, "Adam", NoAdam)
    loop = OuterLoop(one, state, new_optimizer(one, state))
    with Tape() as tape:
        loop._iteration()
    assert tape.devices() == {"meta"}


# --- graphed itself


def test_on_a_cpu_the_function_itself_is_called() -> None:
    calls = []

    def work() -> None:
        calls.append(1)

    assert graphed(work, [torch.zeros(1)]) is work
    assert calls == []


@pytest.mark.parametrize(("tf32", "precision"), [(False, "ieee"), (True, "tf32")])
def test_what_float32_means_is_said_aloud(tf32: bool, precision: str) -> None:
    try:
        choose_float32(tf32)
        assert torch.backends.cuda.matmul.fp32_precision == precision
        assert torch.backends.cudnn.conv.fp32_precision == precision
    finally:
        choose_float32(False)
