"""The blocks written by hand against torch's own layers and autograd, in float64.

Scales are negative for some channels, drawings blank in part or whole, and maxima tied: what the
networks meet on real drawings, and what shortcuts in norm and pooling get wrong first.
"""

from collections.abc import Callable, Sequence

import pytest
import torch
import torch.nn.functional as F
from random_tensors import normal
from torch import Tensor

from anml.gradients import first_block, later_block, outer_pass
from anml.gradients.first_block import patches
from anml.gradients.inner_step import fold, from_inner, to_inner, unfold
from anml.gradients.pooling import grid_places, in_grid, pool, window_major
from anml.models import NORM_EPS, POOLED_SIDES, SIDES, anml_tower

C = 4
Block = tuple[Tensor, Tensor, Tensor]


def drawings(count: int, replicas: int = 1) -> Tensor:
    """Strokes on blank paper [count, R, 28, 28]; the first sheet is blank."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(count, replicas, 28, 28, generator=generator, dtype=torch.float64)
    images = images * (images > 0.5)
    images[:, :, :, 12:] = 0
    images[0] = 0
    return images


def affine(replicas: int, seed: int) -> tuple[Tensor, Tensor]:
    """The norm's scale and shift [R, C]: scales of both signs."""
    scale = normal(replicas, C, seed=seed)
    scale[:, 0], scale[:, 1] = -1.3, 0.8
    return scale, 0.5 * normal(replicas, C, seed=seed + 1)


def tower(replicas: int = 1) -> list[Block]:
    """Three blocks' random weights, all requiring gradients."""
    blocks = [
        (normal(replicas, C, c_in, 3, 3, seed=c_in + i), *affine(replicas, 10 * i))
        for i, c_in in enumerate((1, C, C))
    ]
    return [tuple(t.requires_grad_() for t in block) for block in blocks]


def close(ours: Sequence[Tensor], expected: Sequence[Tensor], tolerance: float = 1e-10) -> None:
    for number, (one, other) in enumerate(zip(ours, expected, strict=True)):
        assert one.shape == other.shape, number
        assert other.abs().max() > 0, f"{number}: nothing to compare"
        assert (one - other).abs().max() <= tolerance * other.abs().max(), number


# --- pooling


@pytest.mark.parametrize("side", [11, 26])
def test_pooling_and_its_derivative_are_torchs_with_ties(side: int) -> None:
    """Whole numbers from -2 to 2: most windows have several maxima; the first of them counts."""
    maps = normal(3, C, side, side).mul(2).round().clamp(-2, 2).requires_grad_()
    expected = F.relu(F.max_pool2d(maps, 2))
    u = normal(*expected.shape, seed=1)
    (gradient,) = torch.autograd.grad(expected, maps, u)
    with torch.no_grad():
        y = maps.flatten(2).mT.clone()
        windows = in_grid(y, side)
        out = pool(grid_places(windows))
        assert torch.equal(out.flatten(1, 3), expected.flatten(2).mT)
        spread = torch.zeros_like(y)
        in_grid(spread, side).copy_(windows * u.permute(0, 2, 3, 1)[:, None, :, None, :, None])
        assert torch.equal(spread, gradient.flatten(2).mT)


def test_window_major_maps_pool_the_same() -> None:
    grid = normal(2, 16, C).mul(2).round()
    expected = pool(grid_places(in_grid(grid.clone(), 4))).flatten(1, 3)
    places = torch.stack(grid_places(in_grid(grid, 4)), 1)  # [2, 4, 1, 2, 2, C]
    assert torch.equal(pool(window_major(places.flatten(1, 4)).unbind(-3)), expected)


# --- single blocks


def first_by_autograd(images: Tensor, together: bool) -> Callable[..., Tensor]:
    """The first block from torch's own layers: kernel [9, C], scale and shift to maps [B, Q, C]."""

    def block(kernel: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        x = F.conv2d(images, kernel.T.reshape(C, 1, 3, 3))
        axes = (0, 2, 3) if together else (2, 3)
        variance, mean = torch.var_mean(x, axes, correction=0, keepdim=True)
        x = (x - mean) * torch.rsqrt(variance + NORM_EPS)
        x = x * scale.reshape(C, 1, 1) + shift.reshape(C, 1, 1)
        return F.relu(F.max_pool2d(x, 2)).flatten(2).mT

    return block


def later_by_autograd(index: int) -> Callable[..., Tensor]:
    """A later block's norm, pooling and ReLU: response [B, P, C], scale, shift to [B, Q, C]."""

    def block(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        x = x.mT.unflatten(2, (SIDES[index], SIDES[index]))
        x = F.instance_norm(x, eps=NORM_EPS)
        x = x * scale.reshape(C, 1, 1) + shift.reshape(C, 1, 1)
        return F.relu(F.max_pool2d(x, 2) if POOLED_SIDES[index] else x).flatten(2).mT

    return block


def with_derivatives(
    block: Callable[..., Tensor], inputs: Sequence[Tensor], along: Sequence[Tensor], u: Tensor
) -> tuple[Tensor, tuple[Tensor, ...], Tensor, tuple[Tensor, ...]]:
    """Output, gradients for `u`, and both their derivatives along `along` with `u` moving on too.

    `u` moves by its own value, which makes its derivative `u`: none is missed behind a zero.
    """

    def both(*inputs: Tensor) -> tuple[Tensor, ...]:
        *inputs, u = inputs
        out, pullback = torch.func.vjp(block, *inputs)
        return out, *pullback(u)

    (out, *gradients), (d_out, *d_gradients) = torch.func.jvp(both, (*inputs, u), (*along, u))
    return out, tuple(gradients), d_out, tuple(d_gradients)


@pytest.mark.parametrize("together", [False, True], ids=["image", "batch"])
def test_first_block_and_its_derivatives(together: bool) -> None:
    images = drawings(5)
    weights = normal(9, C), *affine(1, 2)
    along = tuple(normal(*w.shape, seed=3 + i) for i, w in enumerate(weights))
    u = normal(5, 169, C, seed=9)
    expected = with_derivatives(first_by_autograd(images, together), weights, along, u)

    u = u.view(1, 1 if together else 5, -1, C)
    weights, along = (tuple(t.view(1, 1, -1, C) for t in each) for each in (weights, along))
    out, trace = first_block.forward(patches(images, together), weights)
    gradient = first_block.backward(u, trace)
    tangent = first_block.forward_tangent(trace, along)
    d_weights = first_block.backward_tangent(u, trace, gradient, tangent)
    ours = (
        out.view(5, 169, C),
        *(g.sum((0, 1)) for g in gradient.weights),
        tangent.out.view(5, 169, C),
        *(g.sum((0, 1)) for g in d_weights),
    )
    close(ours, (expected[0], *expected[1], expected[2], *expected[3]))


@pytest.mark.parametrize("index", [1, 2])
def test_later_blocks_and_their_derivatives(index: int) -> None:
    x = normal(5, SIDES[index] ** 2, C)
    x[0] = 0.25  # no variance
    inputs = x, *affine(1, 2)
    along = tuple(normal(*t.shape, seed=3 + i) for i, t in enumerate(inputs))
    block = later_by_autograd(index)
    u = normal(*block(*inputs).shape, seed=9)
    expected = with_derivatives(block, inputs, along, u)

    out, trace = later_block.forward(*inputs, POOLED_SIDES[index])
    gradient = later_block.backward(u, trace)
    tangent = later_block.forward_tangent(*along, trace)
    d_x, *d_affine = later_block.backward_tangent(u, trace, gradient, tangent)
    ours = (
        out,
        gradient.x,
        gradient.scale.sum(0),
        gradient.shift.sum(0),
        tangent.out,
        d_x,
        *(d.sum(0) for d in d_affine),
    )
    close(ours, (expected[0], *expected[1], expected[2], *expected[3]))


def test_patches_are_centred_columns() -> None:
    images = drawings(3, 2)
    whole = patches(images)
    assert whole.columns.shape == (2, 3, 676, 10)
    columns = F.unfold(images[2, 1][None, None], 3)[0].T  # [676, 9], row by row
    columns = columns.reshape(13, 2, 13, 2, 9).permute(1, 3, 0, 2, 4).flatten(0, 3)
    close([whole.columns[1, 2, :, :9]], [columns - columns.mean(0)], 1e-14)
    assert (whole.columns[..., 9] == 1).all()
    close([whole.drawing(2).covariance[1]], [torch.cov(columns.T, correction=0)], 1e-13)


# --- unfolded maps and the layout of weights


@pytest.mark.parametrize("side", [11, 3])
def test_unfold_is_torchs_and_fold_its_transpose(side: int) -> None:
    maps = normal(2, (side + 2) ** 2, C)
    columns = unfold(maps, side)
    grid = maps.mT.unflatten(2, (side + 2, side + 2))
    expected = F.unfold(grid, 3).unflatten(1, (C, 9)).permute(0, 3, 2, 1).flatten(2)
    assert torch.equal(columns, expected)
    other = normal(*columns.shape, seed=1)
    torch.testing.assert_close((columns * other).sum(), (maps * fold(other, side)).sum())


def test_a_product_with_unfolded_maps_is_the_convolution() -> None:
    """And the weights come back from their inner layout as they were."""
    blocks = [tuple(t.detach() for t in block) for block in tower(2)]
    inner = to_inner(blocks)
    maps = normal(2, 169, C)
    product = unfold(maps, 11) @ inner[1][0].mT
    for r in range(2):
        image = maps[r].T.reshape(1, C, 13, 13)
        expected = F.conv2d(image, blocks[1][0][r])[0].flatten(1).T
        torch.testing.assert_close(product[r], expected)
    for block, returned in zip(blocks, from_inner(inner), strict=True):
        for tensor, again in zip(block, returned, strict=True):
            assert torch.equal(tensor, again)


# --- whole towers


@pytest.mark.parametrize("cached", [1, 1 << 30], ids=["in parts", "at once"])
def test_the_tower_and_its_gradient_are_the_plain_ones(
    cached: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several replicas, a drawing at a time or all at once."""
    monkeypatch.setattr(outer_pass, "CACHED", cached)
    images, blocks = drawings(5, 2), tower(2)
    expected = anml_tower(images, blocks)
    u = normal(*expected.shape, seed=5)
    leaves = [t for block in blocks for t in block]
    gradients = torch.autograd.grad(expected, leaves, u)
    with torch.no_grad():
        latent, trace = outer_pass.forward(patches(images), blocks)
        assert len(trace.first) == (5 if cached == 1 else 1)
        ours = [t for block in outer_pass.backward(u, trace) for t in block]
    close([latent, *ours], [expected, *gradients], 1e-9)
