"""Meta-gradients against five independent ways to get them, in float64 on small networks.

Ordinary autograd through unrolled SGD, `higher`, finite differences, a first-order reference by
hand, and single runs in place of replicas. Agreement is to 1e-10 of the largest entry of each
tensor, and every entry is compared.
"""

import copy
from collections.abc import Mapping

import higher
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_networks import (
    FAST,
    networks,
    one_replica,
    random_episode,
    replicas,
    with_batch_norm,
)
from torch import Tensor, nn

from anml import adapt
from anml.adapt import (
    ANML_FAST,
    Episode,
    MetaGradient,
    anml_meta_gradient,
    cross_entropy,
    plain_meta_gradient,
)
from anml.adapt_oml import OML_FAST, oml_meta_gradient
from anml.low_rank import LowRankLinear

OURS = {"anml": anml_meta_gradient, "oml": oml_meta_gradient}
PREFIXES = {"anml": ANML_FAST, "oml": OML_FAST}

RATE = 0.1
KINDS = pytest.mark.parametrize("kind", ["anml", "oml"])
ORDERS = pytest.mark.parametrize("second_order", [True, False], ids=["second", "first"])


def ours(kind: str, model: nn.Module, episode: Episode, second_order: bool = True) -> MetaGradient:
    return OURS[kind](replicas([model]), episode, RATE, second_order)


def assert_same(
    result: Mapping[str, Tensor], expected: Mapping[str, Tensor], tolerance: float = 1e-10
) -> None:
    assert result.keys() == expected.keys()
    scale = max(tensor.abs().max() for tensor in expected.values())
    for name, tensor in expected.items():
        assert result[name].shape == tensor.shape, name
        # Biases in front of a norm: zero here, rounding errors in the references.
        if ".conv.bias" in name:
            assert (result[name] == 0).all(), name
            assert tensor.abs().max() < 1e-12 * scale, name
        else:
            assert tensor.abs().max() > 1e-9 * scale, f"{name}: nothing to compare"
            error = (result[name] - tensor).abs().max()
            assert error <= tolerance * tensor.abs().max(), f"{name}: {error:.1e}"


def inner_and_outer(episode: Episode, r: int = 0) -> tuple[Tensor, Tensor]:
    """Drawings [K + M, 1, 28, 28] and classes [K + M] of one replica."""
    return episode.images[:, r, None], episode.classes[r]


# --- against autograd


@KINDS
@ORDERS
def test_equals_autograd_through_unrolled_sgd(kind: str, second_order: bool) -> None:
    model, _ = networks(kind)
    episode = random_episode()
    result = ours(kind, model, episode, second_order)
    plain = plain_meta_gradient(model, PREFIXES[kind], episode, RATE, second_order)
    assert_same(result.gradients, plain.gradients)
    torch.testing.assert_close(result.loss, plain.loss, rtol=1e-12, atol=0)
    assert torch.equal(result.correct, plain.correct)


@KINDS
@ORDERS
def test_equals_autograd_on_flat_drawings(kind: str, second_order: bool, noise_drawings) -> None:
    """As real drawings are: blank ground, so that maxima under the pool are tied."""
    model, _ = networks(kind)
    drawings = torch.from_numpy(noise_drawings.images[:7, 0] / 255.0).unsqueeze(1)
    episode = Episode(drawings, torch.tensor([[2, 2, 2, 0, 1, 2, 6]]), 3)
    plain = plain_meta_gradient(model, PREFIXES[kind], episode, RATE, second_order)
    assert_same(ours(kind, model, episode, second_order).gradients, plain.gradients)


@KINDS
def test_twenty_steps(kind: str) -> None:
    """As long an inner loop as the paper's."""
    model, _ = networks(kind, 1)
    episode = random_episode(1, steps=20, remember=8)
    plain = plain_meta_gradient(model, PREFIXES[kind], episode, RATE)
    assert_same(ours(kind, model, episode).gradients, plain.gradients)


@pytest.mark.parametrize("kind", ["anml", "oml"])
@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    steps=st.integers(1, 5),
    remember=st.integers(1, 5),
    second_order=st.booleans(),
)
def test_equals_autograd_whatever_is_drawn(
    kind: str, seed: int, steps: int, remember: int, second_order: bool
) -> None:
    model, _ = networks(kind, seed)
    episode = random_episode(seed, steps, remember)
    plain = plain_meta_gradient(model, PREFIXES[kind], episode, RATE, second_order)
    result = ours(kind, model, episode, second_order)
    for name, expected in plain.gradients.items():
        if ".conv.bias" not in name:
            error = (result.gradients[name] - expected).abs().max()
            assert error <= 1e-9 * expected.abs().max().clamp(min=1e-6), name


def test_loss_curves_agree_in_float32() -> None:
    """Fifty iterations of Adam, as meta-training runs them (float64: `test_outer_step.py`).

    A maximum that changes sides by rounding moves a weight by a whole step of Adam, on the plain
    path as well; the median does not mind if that happens late.
    """
    curves = []
    for gradient in (
        lambda model, episode: anml_meta_gradient(replicas([model]), episode, RATE),
        lambda model, episode: plain_meta_gradient(model, ANML_FAST, episode, RATE),
    ):
        model = networks("anml", 1)[0].float()
        optimizer = torch.optim.Adam(model.parameters(), 1e-2)
        losses = []
        for iteration in range(50):
            drawn = random_episode(iteration)
            result = gradient(model, Episode(drawn.images.float(), drawn.classes, 3))
            for name, parameter in model.named_parameters():
                # Adam would blow the rounding errors of the plain path's useless biases up.
                used = ".conv.bias" not in name
                parameter.grad = result.gradients[name][0] * used
            optimizer.step()
            losses.append(result.loss)
        curves.append(torch.cat(losses))
    ours, plain = curves
    assert (plain.diff().abs() > 0.05).any()
    assert ((ours - plain).abs() / plain).median() < 1e-5


# --- against `higher`, with torch's own layers


@KINDS
@ORDERS
def test_equals_higher(kind: str, second_order: bool) -> None:
    model, reference = networks(kind)
    episode = random_episode()
    images, classes = inner_and_outer(episode)
    fast = [p for part in FAST[kind] for p in getattr(reference, part).parameters()]
    optimizer = torch.optim.SGD(fast, RATE)
    with higher.innerloop_ctx(
        reference, optimizer, copy_initial_weights=False, track_higher_grads=second_order
    ) as (learner, steps):
        for k in range(episode.inner_steps):
            steps.step(F.cross_entropy(learner(images[k : k + 1]), classes[k : k + 1]))
        loss = F.cross_entropy(learner(images), classes)
        of = reference.parameters() if second_order else learner.parameters()
        gradients = torch.autograd.grad(loss, list(of), materialize_grads=True)
    names = [name for name, _ in model.named_parameters()]
    expected = {n: g.unsqueeze(0) for n, g in zip(names, gradients, strict=True)}
    result = ours(kind, model, episode, second_order)
    assert_same(result.gradients, expected)
    torch.testing.assert_close(result.loss[0], loss.detach(), rtol=1e-12, atol=0)


# --- against finite differences


def meta_loss(kind: str, reference: nn.Module, episode: Episode) -> float:
    """The meta-loss as anybody would compute it: a copy, torch's SGD, a loop."""
    learner = copy.deepcopy(reference)
    images, classes = inner_and_outer(episode)
    fast = [p for part in FAST[kind] for p in getattr(learner, part).parameters()]
    optimizer = torch.optim.SGD(fast, RATE)
    for k in range(episode.inner_steps):
        optimizer.zero_grad()
        F.cross_entropy(learner(images[k : k + 1]), classes[k : k + 1]).backward()
        optimizer.step()
    with torch.no_grad():
        return F.cross_entropy(learner(images), classes).item()


def slope(kind: str, reference: nn.Module, episode: Episode, step: Mapping[str, Tensor]) -> float:
    """Central difference of the meta-loss along `step` (by the reference's parameter names)."""
    values = []
    for sign in (1, -1):
        moved = copy.deepcopy(reference)
        with torch.no_grad():
            for name, parameter in moved.named_parameters():
                if name in step:
                    parameter.add_(step[name], alpha=sign * EPSILON)
        values.append(meta_loss(kind, moved, episode))
    return (values[0] - values[1]) / (2 * EPSILON)


EPSILON = 1e-6
"""The meta-loss has kinks, where a ReLU or a maximum changes sides; a difference across one is no
derivative. There are some ten thousand such switches in an episode of spread-out values, so that
a step of 1e-6 with these seeds crosses none; rounding is then 1e-16 / 1e-6, good for about 1e-8."""


@pytest.mark.slow
@KINDS
def test_equals_finite_differences_in_every_entry_of_the_small_tensors(kind: str) -> None:
    model, reference = networks(kind)
    episode = random_episode(steps=2, remember=3)
    gradients = ours(kind, model, episode).gradients.values()
    compared = 0
    for (name, parameter), gradient in zip(reference.named_parameters(), gradients, strict=True):
        if parameter.numel() > 30:
            continue
        for entry in range(parameter.numel()):
            step = torch.zeros_like(parameter)
            step.view(-1)[entry] = 1.0
            expected = slope(kind, reference, episode, {name: step.detach()})
            assert gradient.flatten()[entry].item() == pytest.approx(
                expected, rel=1e-5, abs=2e-8
            ), f"{name}[{entry}]"
            compared += 1
    assert compared > 50


@KINDS
@pytest.mark.parametrize("seed", range(3))
def test_equals_finite_differences_along_random_directions(kind: str, seed: int) -> None:
    """All parameters at once: a direction meets every entry of every tensor."""
    model, reference = networks(kind, seed)
    episode = random_episode(seed)
    generator = torch.Generator().manual_seed(seed)
    step = {
        name: torch.randn(p.shape, generator=generator, dtype=p.dtype)
        for name, p in reference.named_parameters()
    }
    gradients = ours(kind, model, episode).gradients.values()
    along = sum((g[0] * d).sum().item() for g, d in zip(gradients, step.values(), strict=True))
    assert along == pytest.approx(slope(kind, reference, episode, step), rel=1e-6)


# --- first order by hand


@KINDS
def test_first_order_is_the_gradient_at_the_adapted_weights(kind: str) -> None:
    """What the released code computes: no derivative goes through the inner loop."""
    model, reference = networks(kind)
    episode = random_episode()
    images, classes = inner_and_outer(episode)
    learner = copy.deepcopy(reference)
    fast = [p for part in FAST[kind] for p in getattr(learner, part).parameters()]
    for k in range(episode.inner_steps):
        loss = F.cross_entropy(learner(images[k : k + 1]), classes[k : k + 1])
        with torch.no_grad():
            for p, g in zip(fast, torch.autograd.grad(loss, fast), strict=True):
                p -= RATE * g
    gradients = torch.autograd.grad(
        F.cross_entropy(learner(images), classes), list(learner.parameters())
    )
    names = [name for name, _ in model.named_parameters()]
    expected = {n: g.unsqueeze(0) for n, g in zip(names, gradients, strict=True)}
    assert_same(ours(kind, model, episode, second_order=False).gradients, expected)


@KINDS
def test_first_and_second_order_differ(kind: str) -> None:
    """Else the tests above could not tell one from the other."""
    model, _ = networks(kind)
    episode = random_episode()
    second, first = (ours(kind, model, episode, order).gradients for order in (True, False))
    assert (second["head.weight"] - first["head.weight"]).abs().max() > 1e-3 * first[
        "head.weight"
    ].abs().max()


# --- the norm over the whole outer batch


@ORDERS
@pytest.mark.parametrize("flat", [False, True], ids=["noise", "flat"])
def test_batch_norm_equals_autograd_through_torchs_batch_norm(
    second_order: bool, flat: bool, noise_drawings
) -> None:
    """In the outer passes of both networks; an inner step's batch is its one drawing."""
    model, reference = networks("anml")
    episode = random_episode()
    if flat:
        drawings = torch.from_numpy(noise_drawings.images[:7, 0] / 255.0).unsqueeze(1)
        episode = Episode(drawings, episode.classes, 3)
    result = anml_meta_gradient(replicas([model]), episode, RATE, second_order, norm="batch")
    plain = plain_meta_gradient(with_batch_norm(reference), ANML_FAST, episode, RATE, second_order)
    names = [name for name, _ in model.named_parameters()]
    expected = dict(zip(names, plain.gradients.values(), strict=True))
    assert_same(result.gradients, expected)
    torch.testing.assert_close(result.loss, plain.loss, rtol=1e-12, atol=0)
    assert torch.equal(result.correct, plain.correct)
    by_image = ours("anml", model, episode, second_order)
    assert (result.loss - by_image.loss).abs() > 1e-3 * by_image.loss


def test_batch_norm_replicas_equal_single_runs() -> None:
    models = [networks("anml", seed)[0] for seed in range(2)]
    episode = random_episode(count=2)
    together = anml_meta_gradient(replicas(models), episode, RATE, norm="batch")
    for r, model in enumerate(models):
        alone = anml_meta_gradient(replicas([model]), one_replica(episode, r), RATE, norm="batch")
        assert_same({n: g[r : r + 1] for n, g in together.gradients.items()}, alone.gradients)


def test_an_unknown_norm_is_refused() -> None:
    parameters = replicas([networks("anml")[0]])
    with pytest.raises(ValueError, match="one of image, batch"):
        anml_meta_gradient(parameters, random_episode(), RATE, norm="layer")


# --- replicas, inputs, the head


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
    gate = adapt.neuromodulate(nm, random_episode(count=2).images)
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
