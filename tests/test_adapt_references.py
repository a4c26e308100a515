"""Meta-gradients against `higher`, finite differences and a first-order reference by hand.

All three go through torch's own layers, in float64 on small networks.
"""

import copy
from collections.abc import Mapping

import higher
import pytest
import torch
import torch.nn.functional as F
from meta_gradients import KINDS, ORDERS, RATE, assert_same, inner_and_outer, ours
from reference_networks import FAST, networks, random_episode
from torch import Tensor, nn

from anml.adapt import Episode

pytestmark = pytest.mark.usefixtures("_both_convolutions")

# --- against `higher`


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
