"""Convolutions with 3 x 3 kernels in fewer multiplications: Winograd's filtering, exact.

Two polynomials of degree 2 and 3 have a product of degree 5, which its values at six points fix.
With `V` the six points' powers (the last point is infinity, where only the highest coefficient
counts), `V_3` and `V_4` those for three and four coefficients, and `.` entry by entry,

    g * h = V^-1 [(V_3 g) . (V_4 h)].

Four neighbouring responses `y` of a row of six pixels `d` to a kernel `g` of three are the
transpose of that product in `h`,

    y = V_4^T [(V_3 g) . (V^-T d)]:

six multiplications for twelve. Rows, then columns: a tile of 4 x 4 responses takes 36
multiplications for 144, with every pair of channels, and the transforms before and behind them
belong to one channel each. The derivatives are the transposes once more:
`V^-1 [(V_3 g) . (V_4 u)]` for the pixels, `V_3^T [(V_4 u) . (V^-T d)]` for the kernel.

Maps are position-major, [B, side, side, C].
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from anml.models import KERNEL

TILE = 4
"""Side of a tile's responses."""
POINTS = TILE + KERNEL - 1
"""Points of a row, and pixels that a row of a tile sees."""
FINITE_POINTS = (0.0, 1.0, -1.0, 0.5, -2.0)
"""Of sizes near 1, since rounding grows with their powers: a few times that of a plain sum."""
TILES_AT_ONCE = 192
"""Enough rows for fast products, few enough to stay in a processor's cache from step to step."""
LEAST_CHANNELS, LEAST_SIDE = 100, 8
"""Below, transforms cost more than they save."""


def worth(channels: int, side: int) -> bool:
    """Whether a CPU is faster so, for maps of so many channels and `side` x `side` responses."""
    return channels >= LEAST_CHANNELS and side >= LEAST_SIDE


@dataclass(frozen=True)
class Transforms:
    """To the points of both axes: the Kronecker product of a row's matrix with itself."""

    pixels: Tensor  # [36, 36], of a tile's pixels: V^-T
    kernel: Tensor  # [36, 9], of a kernel: V_3
    responses: Tensor  # [36, 16], of the gradient of a tile's responses: V_4


@cache
def transforms(dtype: torch.dtype) -> Transforms:
    """The three transforms in the maps' precision."""
    powers = torch.tensor(FINITE_POINTS, dtype=torch.float64).unsqueeze(1) ** torch.arange(POINTS)

    def values(terms: int) -> Tensor:
        at_infinity = torch.eye(terms, dtype=torch.float64)[-1:]
        return torch.cat((powers[:, :terms], at_infinity))

    rows = (torch.linalg.inv(values(POINTS)).mT, values(KERNEL), values(TILE))
    return Transforms(*(torch.kron(matrix, matrix).to(dtype) for matrix in rows))


def convolve(maps: Tensor, kernel: Tensor) -> Tensor:
    """Responses [B, S, S, C] of `maps` [B, S + 2, S + 2, C_in] to `kernel` [C, C_in, 3, 3]."""
    count, full, _, _ = maps.shape
    side = full - KERNEL + 1
    known, weights = transforms(maps.dtype), _kernel_values(kernel)
    result = maps.new_empty(count, side, side, len(kernel))
    for part in _parts(count, side):
        values = torch.bmm(_pixel_values(maps[part], side), weights)  # [36, N, C]
        result[part] = _join(_apply(known.responses.mT, values.transpose(0, 1)), side)
    return result


def gradients(u: Tensor, maps: Tensor, kernel: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of `maps` and of `kernel` from `u` [B, S, S, C], that of the responses."""
    count, side, _, _ = u.shape
    known, weights = transforms(maps.dtype), _kernel_values(kernel)
    maps_gradient, weights_gradient = torch.empty_like(maps), torch.zeros_like(weights)
    for part in _parts(count, side):
        values = _apply(known.responses, _split(u[part], side)).transpose(0, 1)  # [36, N, C]
        weights_gradient.baddbmm_(_pixel_values(maps[part], side).mT, values)
        pixels = torch.bmm(values, weights.mT)  # [36, N, C_in]
        maps_gradient[part] = _overlap(_apply(known.pixels.mT, pixels.transpose(0, 1)), side)
    kernel_gradient = known.kernel.mT @ weights_gradient.flatten(1)
    kernel_gradient = kernel_gradient.view(KERNEL, KERNEL, *weights.shape[1:])
    return maps_gradient, kernel_gradient.permute(3, 2, 0, 1)


def _parts(count: int, side: int) -> Iterator[slice]:
    """Slices of a batch of `count`, about equal, with at most `TILES_AT_ONCE` tiles (or one)."""
    at_once = max(1, TILES_AT_ONCE // tiles_along(side) ** 2)
    at_once = -(-count // -(-count // at_once))
    return (slice(start, start + at_once) for start in range(0, count, at_once))


def tiles_along(side: int) -> int:
    """Tiles along a side of responses; the last one may reach beyond it."""
    return -(-side // TILE)


def _apply(transform: Tensor, tiles: Tensor) -> Tensor:
    """`transform` [n, m] of every tile: `tiles` [N, m, C] to [N, n, C]."""
    return torch.bmm(transform.expand(len(tiles), -1, -1), tiles)


def _kernel_values(kernel: Tensor) -> Tensor:
    """The kernels at the points, [36, C_in, C]."""
    flat = kernel.permute(2, 3, 1, 0).flatten(0, 1)
    values = transforms(kernel.dtype).kernel @ flat.flatten(1)
    return values.view(-1, *flat.shape[1:])


def _pixel_values(maps: Tensor, side: int) -> Tensor:
    """The tiles' pixels at the points, [36, N, C_in], N tiles of all maps."""
    seen = tiles_along(side) * TILE + KERNEL - 1
    tiles = _padded(maps, seen).unfold(1, POINTS, TILE).unfold(2, POINTS, TILE)
    tiles = tiles.permute(0, 1, 2, 4, 5, 3).reshape(-1, POINTS**2, maps.shape[3])
    return _apply(transforms(maps.dtype).pixels, tiles).transpose(0, 1)


def _padded(maps: Tensor, side: int) -> Tensor:
    """`maps` with zeros behind them, to `side`."""
    missing = side - maps.shape[1]
    return F.pad(maps, (0, 0, 0, missing, 0, missing)) if missing else maps


def _split(u: Tensor, side: int) -> Tensor:
    """Tiles [N, 16, C] of `u` [B, side, side, C], zero beyond its side."""
    count = tiles_along(side)
    grid = _padded(u, count * TILE).unflatten(2, (count, TILE)).unflatten(1, (count, TILE))
    return grid.transpose(2, 3).reshape(-1, TILE**2, u.shape[3])


def _join(tiles: Tensor, side: int) -> Tensor:
    """The reverse of `_split`, [B, side, side, C]."""
    count = tiles_along(side)
    grid = tiles.view(-1, count, count, TILE, TILE, tiles.shape[2]).transpose(2, 3)
    return grid.reshape(len(grid), count * TILE, count * TILE, -1)[:, :side, :side]


def _overlap(tiles: Tensor, side: int) -> Tensor:
    """The transpose of taking tiles [N, 36, C] from maps: where they overlap, they add up."""
    count, channels = tiles_along(side), tiles.shape[2]
    pixels = tiles.view(-1, count, count, POINTS, POINTS, channels).transpose(2, 3)
    cells = tiles.new_zeros(len(pixels), count + 1, TILE, count + 1, TILE, channels)
    parts = ((slice(0, count), slice(TILE)), (slice(1, None), slice(TILE, POINTS)))
    for row, in_row in parts:
        for column, in_column in parts:
            added = pixels[:, :, in_row, :, in_column]
            cells[:, row, : added.shape[2], column, : added.shape[4]].add_(added)
    maps = cells.view(len(pixels), (count + 1) * TILE, (count + 1) * TILE, channels)
    return maps[:, : side + KERNEL - 1, : side + KERNEL - 1]
