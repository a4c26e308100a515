"""Replicas get the meta-gradients of single runs; parameters, head, gate and loss on the way."""

import pytest
import torch
import torch.nn.functional as F
from meta_gradients import KINDS, ORDERS, OURS, RATE, assert_same, ours
from reference_networks import networks, one_replica, random_episode, replicas

from anml.adapt import cross_entropy
from anml.gradients.first_block import patches
from anml.gradients.low_rank import LowRankLinear
from anml.gradients.outer_pass import gate_forward

pytestmark = pytest.mark.usefixtures("_both_convolutions")


@KINDS
@ORDERS
def test_replicas_equal_single_runs(kind: str, second_order: bool) -> None:
    models = [networks(kind, seed)[0] for seed in range(3)]
    episode = random_episode(count=3)
    together = OURS[kind](replicas(models), episode, RATE, second_order)
    for r, model in enumerate(models):
        alone = ours(kind, model, one_replica(episode, r), second_order)
        assert_same({n: g[r : r + 1] for n, g in together.gradients.items()}, alone.gradients)
        torch.testing.assert_close(together.loss[r : r + 1], alone.loss, rtol=1e-12, atol=0)
        assert torch.equal(together.correct[r : r + 1], alone.correct)


@KINDS
def test_the_parameters_are_left_unchanged(kind: str) -> None:
    model, _ = networks(kind)
    parameters = replicas([model])
    for tensor in parameters.values():
        tensor.requires_grad_()
    result = OURS[kind](parameters, random_episode(), RATE)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameters[name][0], parameter)
        assert parameters[name].grad is None
        assert not result.gradients[name].requires_grad
    assert not result.loss.requires_grad


@KINDS
def test_the_heads_matrix_is_never_written_out_in_the_inner_loop(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty steps keep twenty vectors: every layer of the loop still holds the first matrix."""
    model, _ = networks(kind)
    seen: list[LowRankLinear] = []
    written: list[LowRankLinear] = []
    step, dense = LowRankLinear.sgd_step, LowRankLinear.dense_weight
    monkeypatch.setattr(
        LowRankLinear,
        "sgd_step",
        lambda self, *args: (seen.append(step(self, *args)), seen[-1])[1],
    )
    monkeypatch.setattr(
        LowRankLinear, "dense_weight", lambda self: (written.append(self), dense(self))[1]
    )
    parameters = replicas([model])
    OURS[kind](parameters, random_episode(steps=20), RATE)
    heads = [layer for layer in seen if layer.bias.shape[1] == 7]
    assert [layer.left.shape[1] for layer in heads] == list(range(1, 21))
    start = parameters["head.weight"].data_ptr()
    assert {layer.weight.data_ptr() for layer in heads} == {start}
    # Only the finished gradient is, once, and it has no matrix inside.
    assert [layer.weight for layer in written] == ([None] if kind == "anml" else [])


def test_the_gate_is_computed_by_the_neuromodulatory_network_alone() -> None:
    parameters = replicas([networks("anml", seed)[0] for seed in range(2)])
    nm = {name: tensor for name, tensor in parameters.items() if name.startswith("nm.")}
    gate, _ = gate_forward(nm, patches(random_episode(count=2).images))
    assert gate.shape == (2, 7, 27)
    assert ((gate >= 0) & (gate <= 1)).all()


def test_cross_entropy_by_hand() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 5, 7, generator=generator, dtype=torch.float64, requires_grad=True)
    classes = torch.randint(7, (2, 5), generator=generator)
    expected = [F.cross_entropy(logits[r], classes[r]) for r in range(2)]
    loss, error, correct = cross_entropy(logits.detach(), classes)
    torch.testing.assert_close(loss, torch.stack(expected).detach(), rtol=1e-13, atol=0)
    gradient = torch.autograd.grad(sum(expected), logits)[0]
    torch.testing.assert_close(error, gradient, rtol=1e-12, atol=1e-15)
    assert torch.equal(correct, logits.argmax(2) == classes)
