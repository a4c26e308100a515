"""The towers' passes over the whole outer batch, with their backward pass by hand.

The same function as `models.anml_tower`, faster on a CPU since

- convolution and norm of the first block are one product, whose derivative skips the 26 x 26 maps;
- norm, pooling and ReLU take a few drawings at a time, which stay in the processor's cache, and are
  computed once more in the backward pass instead of being stored;
- maps are position-major, so that pooling is vectorised, and convolutions take them as they are.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from anml import first_block, later_block
from anml.first_block import Patches
from anml.models import KERNEL, POOLED_SIDES, SIDES

CACHED = 1 << 19
"""How many numbers of a map a CPU is given at a time: 2 MiB in float32."""

Block = tuple[Tensor, Tensor, Tensor]
"""A kernel [R, C, C_in, 3, 3] (the first block's: [R, 1, 9, C]), scale and shift [R, 1, 1, C]."""


def outer_tower(patches: Patches, blocks: Sequence[Block]) -> Tensor:
    """Latent [R, B, C * 9] of all drawings; differentiable once, for `blocks`.

    `patches`: of the drawings, [R, G, ...]; `blocks`: as `models.anml_tower` takes them. The norm
    runs over each of the `G` groups of drawings on its own.
    """
    weights = (tensor for block in blocks for tensor in block)
    return _OuterTower.apply(patches.columns, patches.covariance, *weights)


class _OuterTower(torch.autograd.Function):
    """The tower and its gradient for the nine weights of its three blocks."""

    @staticmethod
    def forward(ctx: FunctionCtx, columns: Tensor, covariance: Tensor, *weights: Tensor) -> Tensor:
        first, *later = _blocks(weights)
        maps = [_first(columns, covariance, first)]
        responses = []
        for block, side, pooled_side in zip(later, SIDES[1:], POOLED_SIDES[1:], strict=True):
            responses.append(_convolve(maps[-1], block[0], side))
            maps.append(_later(responses[-1], block, pooled_side))
        ctx.save_for_backward(columns, covariance, *weights, *maps[:-1], *responses)
        cells = maps[-1].unflatten(2, (-1, SIDES[-1] ** 2)).flatten(1, 2)
        return cells.mT.flatten(2)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, latent_gradient: Tensor) -> tuple[Tensor | None, ...]:
        columns, covariance, *saved = ctx.saved_tensors
        first, *later = _blocks(saved[:9])
        maps, responses = saved[9:11], saved[11:]
        u = latent_gradient.unflatten(2, (-1, SIDES[-1] ** 2)).mT.contiguous()
        gradients = []
        for index in (1, 0):
            x, block = responses[index], later[index]
            u = u.view(*x.shape[:2], -1, x.shape[3])
            u, *affine = _later_gradients(u, x, block, POOLED_SIDES[index + 1])
            u, kernel = _convolve_gradients(u, maps[index], block[0], SIDES[index + 1])
            gradients.append((kernel, *affine))
        gradients.append(_first_gradients(u.view_as(maps[0]), columns, covariance, first))
        return None, None, *(tensor for block in reversed(gradients) for tensor in block)


def _blocks(weights: Sequence[Tensor]) -> list[Block]:
    """Three blocks from nine weights, shaped to go with maps [R, G, P, C]."""
    blocks = [
        (kernel, scale[:, None, None], shift[:, None, None])
        for kernel, scale, shift in zip(*[iter(weights)] * 3, strict=True)
    ]
    kernel, *affine = blocks[0]
    return [(kernel.flatten(2).mT.unsqueeze(1), *affine), *blocks[1:]]


def _in_parts(
    function: Callable[..., tuple[Tensor, ...]], channels: int, *tensors: Tensor
) -> list[Tensor]:
    """`function` of a few groups at a time (axis 1 of `tensors`), its results joined again."""
    replicas, groups, positions = tensors[0].shape[:3]
    step = max(1, CACHED // (replicas * positions * channels))
    if tensors[0].is_cuda or step >= groups:
        return list(function(*tensors))
    results = [
        function(*(tensor[:, start : start + step] for tensor in tensors))
        for start in range(0, groups, step)
    ]
    return [torch.cat(parts, 1) for parts in zip(*results, strict=True)]


def _first(columns: Tensor, covariance: Tensor, block: Block) -> Tensor:
    """Output [R, G, P / 4, C] of the first block."""

    def part(columns: Tensor, covariance: Tensor) -> tuple[Tensor]:
        return (first_block.forward(Patches(columns, covariance), block)[0],)

    return _in_parts(part, block[0].shape[3], columns, covariance)[0]


def _first_gradients(u: Tensor, columns: Tensor, covariance: Tensor, block: Block) -> Block:
    """Gradients of the first block's weights from `u` [R, G, P / 4, C], its output's gradient."""

    def part(columns: Tensor, covariance: Tensor, u: Tensor) -> tuple[Tensor, ...]:
        _, trace = first_block.forward(Patches(columns, covariance), block)
        return first_block.backward(u, trace).weights

    parts = _in_parts(part, block[0].shape[3], columns, covariance, u)
    kernel, scale, shift = (gradient.sum(1) for gradient in parts)
    return kernel.mT.unflatten(2, (1, KERNEL, KERNEL)), scale.squeeze(1), shift.squeeze(1)


def _later(x: Tensor, block: Block, pooled_side: int | None) -> Tensor:
    """Output [R, G, Q, C] of a later block from its convolution's response `x` [R, G, P, C]."""
    _, scale, shift = block

    def part(x: Tensor) -> tuple[Tensor]:
        return (later_block.forward(x, scale, shift, pooled_side)[0],)

    return _in_parts(part, x.shape[3], x)[0]


def _later_gradients(
    u: Tensor, x: Tensor, block: Block, pooled_side: int | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of the response [R, G, P, C], of scale and of shift [R, C] from the output's."""
    _, scale, shift = block

    def part(x: Tensor, u: Tensor) -> tuple[Tensor, ...]:
        _, trace = later_block.forward(x, scale, shift, pooled_side)
        gradient = later_block.backward(u, trace)
        return gradient.x, gradient.scale, gradient.shift

    x_gradient, *affine = _in_parts(part, x.shape[3], x, u)
    return x_gradient, *(gradient.sum((1, 2)) for gradient in affine)


# --- convolutions: position-major maps are what torch calls channels-last


def _images(maps: Tensor, side: int) -> list[Tensor]:
    """Maps [R, G, P, C] as a batch [B, C, side, side] for each replica, without copying."""
    return [one.reshape(-1, side, side, maps.shape[3]).permute(0, 3, 1, 2) for one in maps]


def _maps(images: Sequence[Tensor], groups: int) -> Tensor:
    """The reverse of `_images`: [R, G, P, C]."""
    maps = [one.permute(0, 2, 3, 1).reshape(groups, -1, one.shape[1]) for one in images]
    return maps[0].unsqueeze(0) if len(maps) == 1 else torch.stack(maps)


def _convolve(maps: Tensor, kernel: Tensor, side: int) -> Tensor:
    """Response [R, G, P, C] of `maps` to `kernel` [R, C, C_in, 3, 3]; `side`: of the response."""
    images = _images(maps, side + KERNEL - 1)
    return _maps([F.conv2d(*each) for each in zip(images, kernel, strict=True)], maps.shape[1])


def _convolve_gradients(
    u: Tensor, maps: Tensor, kernel: Tensor, side: int
) -> tuple[Tensor, Tensor]:
    """Gradients of the maps and of the kernel from `u` [R, G, P, C], the response's gradient."""
    gradients = [
        torch.ops.aten.convolution_backward(
            *each, None, (1, 1), (0, 0), (1, 1), False, (0, 0), 1, (True, True, False)
        )
        for each in zip(_images(u, side), _images(maps, side + KERNEL - 1), kernel, strict=True)
    ]
    images, kernels, _ = zip(*gradients, strict=True)
    return _maps(images, maps.shape[1]), torch.stack(kernels)
