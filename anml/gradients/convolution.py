"""Convolutions with 3 x 3 kernels by whichever way is the faster: torch's own, or Winograd's.

On a GPU it is torch's, whose library chooses by itself.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from anml.gradients import winograd
from anml.models import KERNEL


def convolve(maps: Tensor, kernel: Tensor) -> Tensor:
    """Responses [B, S, S, C] of `maps` [B, S + 2, S + 2, C_in] to `kernel` [C, C_in, 3, 3]."""
    if _fast(maps, maps.shape[3], maps.shape[1]):
        return winograd.convolve(maps, kernel)
    # Position-major maps are what torch calls channels-last: it takes them as they are.
    return F.conv2d(maps.permute(0, 3, 1, 2), kernel).permute(0, 2, 3, 1)


def gradients(u: Tensor, maps: Tensor, kernel: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of `maps` and of `kernel` from `u` [B, S, S, C], that of the responses."""
    if _fast(maps, maps.shape[3], maps.shape[1]):
        return winograd.gradients(u, maps, kernel)
    images = (u.permute(0, 3, 1, 2), maps.permute(0, 3, 1, 2))
    of_maps, of_kernel, _ = torch.ops.aten.convolution_backward(
        *(*images, kernel, None),
        *((1, 1), (0, 0), (1, 1), False, (0, 0), 1),
        (True, True, False),
    )
    return of_maps.permute(0, 2, 3, 1), of_kernel


def _fast(maps: Tensor, channels: int, side: int) -> bool:
    """Whether Winograd's way is the faster on the device of `maps`, for maps of such a size."""
    return not maps.is_cuda and winograd.worth(channels, side - KERNEL + 1)


def conv2d(images: Tensor, weight: Tensor, bias: Tensor, stride: int, groups: int) -> Tensor:
    """As `torch.nn.functional.conv2d`, to rounding; differentiable once.

    `images` [B, groups * C_in, side, side], `weight` [groups * C, C_in, 3, 3], `bias` [groups * C].
    """
    channels, channels_in, side = len(weight) // groups, weight.shape[1], images.shape[2]
    if stride == 1 and _fast(images, channels_in, side):
        return _ByWinograd.apply(images, weight, bias, groups)
    if channels_in == 1 and _fast(images, channels, side):
        # Drawings that are said to be channels-last have such responses: position-major maps.
        images = images.clone(memory_format=torch.channels_last)
    return F.conv2d(images, weight, bias, stride=stride, groups=groups)


class _ByWinograd(torch.autograd.Function):
    """`conv2d` for one group after another."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, bias: Tensor, groups: int) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.groups = groups
        each = zip(_grouped(images, groups), weight.chunk(groups), strict=True)
        return _images([winograd.convolve(*one) for one in each]).add_(bias[:, None, None])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, u: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        images, weight = ctx.saved_tensors
        each = (_grouped(u, ctx.groups), _grouped(images, ctx.groups), weight.chunk(ctx.groups))
        found = [winograd.gradients(*one) for one in zip(*each, strict=True)]
        maps, kernels = zip(*found, strict=True)
        return _images(maps), torch.cat(kernels), u.sum((0, 2, 3)), None


def _grouped(images: Tensor, groups: int) -> tuple[Tensor, ...]:
    """Position-major maps [B, side, side, C] of each group of channels of [B, groups * C, ...]."""
    return images.permute(0, 2, 3, 1).chunk(groups, 3)


def _images(maps: Sequence[Tensor]) -> Tensor:
    """The reverse of `_grouped`."""
    return (maps[0] if len(maps) == 1 else torch.cat(maps, 3)).permute(0, 3, 1, 2)
