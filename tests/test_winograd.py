"""Convolutions by Winograd's way against torch's own, in float64, and their rounding in float32.

That whole meta-gradients are the same, the tests of `anml.adapt` show, which run with both.
"""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from random_tensors import normal
from torch import Tensor

from anml.gradients import convolution, winograd
from anml.profiles import PROFILES

SIDES = st.integers(1, 13)
"""Of responses: fewer than a tile, a whole number of tiles, and what lies between."""


def by_torch(maps: Tensor, kernel: Tensor, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Responses and gradients of maps and kernel by autograd, position-major."""
    images, kernel = maps.permute(0, 3, 1, 2).requires_grad_(), kernel.clone().requires_grad_()
    responses = F.conv2d(images, kernel)
    gradients = torch.autograd.grad(responses, (images, kernel), u.permute(0, 3, 1, 2))
    return responses.detach().permute(0, 2, 3, 1), gradients[0].permute(0, 2, 3, 1), gradients[1]


def assert_close(ours: Tensor, expected: Tensor) -> None:
    assert ours.shape == expected.shape
    assert expected.abs().max() > 0, "nothing to compare"
    assert (ours - expected).abs().max() <= 1e-12 * expected.abs().max()


@settings(max_examples=40, deadline=None)
@given(
    side=SIDES,
    count=st.integers(1, 7),
    widths=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    at_once=st.sampled_from([1, 5, 192]),
)
def test_responses_and_gradients_are_torchs(
    side: int, count: int, widths: tuple[int, int], at_once: int
) -> None:
    """Whatever the sides, and in however many parts."""
    channels_in, channels = widths
    maps = normal(count, side + 2, side + 2, channels_in)
    kernel, u = normal(channels, channels_in, 3, 3, seed=1), normal(count, side, side, channels)
    expected = by_torch(maps, kernel, u)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winograd, "TILES_AT_ONCE", at_once)
        ours = (winograd.convolve(maps, kernel), *winograd.gradients(u, maps, kernel))
    for one, other in zip(ours, expected, strict=True):
        assert_close(one, other)


@pytest.mark.parametrize("groups", [1, 3])
def test_autograd_goes_through(groups: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images, weights and biases of several replicas' layers, as `models.oml_tower` asks."""
    monkeypatch.setattr(winograd, "worth", lambda channels, side: True)
    images = normal(2, groups * 2, 8, 8).requires_grad_()
    weight = normal(groups * 3, 2, 3, 3, seed=1).requires_grad_()
    bias = normal(groups * 3, seed=2).requires_grad_()

    def convolve(*inputs: Tensor) -> Tensor:
        return convolution.conv2d(*inputs, stride=1, groups=groups)

    torch.testing.assert_close(
        convolve(images, weight, bias), F.conv2d(images, weight, bias, groups=groups)
    )
    assert torch.autograd.gradcheck(convolve, (images, weight, bias))


def test_a_second_derivative_is_refused_not_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "worth", lambda channels, side: True)
    weight = normal(3, 2, 3, 3, seed=1).requires_grad_()
    responses = convolution.conv2d(normal(1, 2, 6, 6), weight, normal(3), stride=1, groups=1)
    (gradient,) = torch.autograd.grad(responses.square().sum(), weight, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_a_stride_is_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "worth", lambda channels, side: True)
    inputs = normal(2, 3, 9, 9), normal(4, 3, 3, 3), normal(4)
    ours = convolution.conv2d(*inputs, stride=2, groups=1)
    assert torch.equal(ours, F.conv2d(*inputs, stride=2))


@pytest.mark.parametrize("side", [11, 24])
def test_rounding_in_float32_is_a_few_times_a_plain_convolutions(side: int) -> None:
    """At the paper's width, on what a ReLU leaves; both against float64."""
    maps, u = normal(2, side + 2, side + 2, 256).relu(), normal(2, side, side, 256, seed=2)
    kernel = normal(256, 256, 3, 3, seed=1) * (2 / 2304) ** 0.5
    exact = by_torch(maps, kernel, u)
    plain = by_torch(maps.float(), kernel.float(), u.float())
    maps, u, kernel = maps.float(), u.float(), kernel.float()
    ours = (winograd.convolve(maps, kernel), *winograd.gradients(u, maps, kernel))
    for one, other, true in zip(ours, plain, exact, strict=True):
        error, usual = ((each.double() - true).norm() / true.norm() for each in (one, other))
        assert 0 < error < 10 * usual
        assert error < 4e-6  # processors add up in different orders: 1e-6 to 2e-6 was seen


def test_the_transforms_are_one_identity() -> None:
    """Multiplying polynomials by their values at points and back is multiplying polynomials."""
    known = winograd.transforms(torch.float64)
    kernel, tile = normal(3, 3), normal(4, 4, seed=1)
    product = F.conv2d(tile[None, None], kernel.flip(0, 1)[None, None], padding=2)[0, 0]
    values = (known.kernel @ kernel.flatten()) * (known.responses @ tile.flatten())
    assert_close((known.pixels.mT @ values).view(6, 6), product)


def test_the_papers_width_goes_this_way_and_narrow_networks_do_not() -> None:
    wide, narrow = PROFILES["paper"], PROFILES["laptop"]
    for channels in (wide.pln_channels, wide.nm_channels, wide.oml_channels):
        assert winograd.worth(channels, 11)
        assert not winograd.worth(channels, 3)
    for channels in (narrow.pln_channels, narrow.nm_channels, narrow.oml_channels):
        assert not winograd.worth(channels, 24)
