"""Meta-gradients equal those of autograd through unrolled SGD, in float64 on small networks."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from meta_gradients import KINDS, ORDERS, PREFIXES, RATE, assert_same, ours
from reference_networks import (
    networks,
    one_replica,
    random_episode,
    replicas,
    with_batch_norm,
    with_channels,
)
from torch import Tensor

from anml.adapt import ANML_FAST, Episode, anml_meta_gradient, plain_meta_gradient

pytestmark = pytest.mark.usefixtures("_both_convolutions")


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


def loss_curves(seed: int) -> tuple[Tensor, Tensor]:
    """Losses of fifty iterations of Adam in float32: ours, the plain path's."""
    curves = []
    for gradient in (
        lambda model, episode: anml_meta_gradient(replicas([model]), episode, RATE),
        lambda model, episode: plain_meta_gradient(model, ANML_FAST, episode, RATE),
    ):
        model = networks("anml", seed)[0].float()
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
    return ours, plain


def test_loss_curves_agree_in_float32() -> None:
    """In float64 they do to the last iteration (`test_outer_step.py`). A maximum that changes sides
    by rounding moves a weight by a whole step of Adam, on the plain path as well; the median does
    not mind if that happens in one of three networks, or late.
    """
    curves = [loss_curves(seed) for seed in range(3)]
    errors = torch.cat([(ours - plain).abs() / plain for ours, plain in curves])
    assert errors.median() < 1e-5


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


# --- a drawing as several equal channels


@ORDERS
@pytest.mark.parametrize("steps", [3, 20])
def test_channels_equal_autograd_through_a_kernel_of_each(second_order: bool, steps: int) -> None:
    model, reference = networks("anml")
    episode = random_episode(steps=steps)
    result = anml_meta_gradient(replicas([model]), episode, RATE, second_order, channels=3)
    copied = with_channels(reference, 3)
    plain = plain_meta_gradient(copied, ANML_FAST, episode, RATE, second_order)
    expected = {}
    for (name, own), gradient in zip(
        model.named_parameters(), plain.gradients.values(), strict=True
    ):
        expected[name] = gradient
        if own.shape != gradient.shape[1:]:  # equal for all channels, whose kernels differ
            torch.testing.assert_close(gradient, gradient[:, :, :1].expand_as(gradient))
            expected[name] = gradient[:, :, :1]
    assert_same(result.gradients, expected)
    torch.testing.assert_close(result.loss, plain.loss, rtol=1e-12, atol=0)
    one = ours("anml", model, episode, second_order)
    assert (result.loss - one.loss).abs() > 1e-3 * one.loss


def test_channels_of_replicas_equal_single_runs() -> None:
    models = [networks("anml", seed)[0] for seed in range(2)]
    episode = random_episode(count=2)
    together = anml_meta_gradient(replicas(models), episode, RATE, channels=3)
    for r, model in enumerate(models):
        alone = anml_meta_gradient(replicas([model]), one_replica(episode, r), RATE, channels=3)
        assert_same({n: g[r : r + 1] for n, g in together.gradients.items()}, alone.gradients)


def test_an_unknown_norm_is_refused() -> None:
    parameters = replicas([networks("anml")[0]])
    with pytest.raises(ValueError, match="one of image, batch"):
        anml_meta_gradient(parameters, random_episode(), RATE, norm="layer")
