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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from math import isqrt

import torch
from torch import Tensor

from anml.models import KERNEL

TILE = 4
"""Side of a tile's responses."""
POINTS = TILE + KERNEL - 1
"""Points of a row, and pixels that a row of a tile sees."""
FINITE_POINTS = (0.0, 1.0, -1.0, 0.5, -2.0)
"""Of sizes near 1, since rounding grows with their powers: a few times that of a plain sum."""
HALO = KERNEL - 1
"""Pixels beyond a tile's responses that it sees, along a row."""
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
        tiles = _apply(known.responses.mT, values.transpose(0, 1))
        for in_tiles, in_maps in _matched(tiles, TILE, result[part], _responses(side)):
            in_maps.copy_(in_tiles)
    return result


def gradients(u: Tensor, maps: Tensor, kernel: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of `maps` and of `kernel` from `u` [B, S, S, C], that of the responses."""
    count, side, _, _ = u.shape
    known, weights = transforms(maps.dtype), _kernel_values(kernel)
    maps_gradient, weights_gradient = torch.empty_like(maps), torch.zeros_like(weights)
    for part in _parts(count, side):
        tiles = _tiles(u[part], TILE, side, _responses(side))
        values = _apply(known.responses, tiles).transpose(0, 1)  # [36, N, C]
        weights_gradient.baddbmm_(_pixel_values(maps[part], side).mT, values)
        pixels = torch.bmm(values, weights.mT)  # [36, N, C_in]
        tiles = _apply(known.pixels.mT, pixels.transpose(0, 1))
        _add_up(tiles, maps_gradient[part], side)
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
    tiles = _tiles(maps, POINTS, side, _pixels(side))
    return _apply(transforms(maps.dtype).pixels, tiles).transpose(0, 1)


@dataclass(frozen=True)
class Span:
    """Along one axis, places that some tiles share with maps: tile `i` of them starts at `4 i`."""

    tiles: slice
    within: slice  # places of each tile
    maps: slice  # from the first of those places to the last


def _spans(side: int, *wholes: tuple[slice, slice], halo: int = 0) -> tuple[Span, ...]:
    """Spans of the whole tiles, and that of a last one that is cut off with its `halo`."""
    whole, rest = divmod(side, TILE)
    spans = [Span(slice(whole), *each) for each in wholes] if whole else []
    if rest:
        last = slice(whole, whole + 1)
        spans.append(Span(last, slice(rest + halo), slice(whole * TILE, side + halo)))
    return tuple(spans)


def _responses(side: int) -> tuple[Span, ...]:
    """Every response once."""
    return _spans(side, (slice(TILE), slice(side // TILE * TILE)))


def _pixels(side: int) -> tuple[Span, ...]:
    """What each tile sees: two pixels beyond its responses, which the next one sees as well."""
    return _spans(side, (slice(POINTS), slice(side // TILE * TILE + HALO)), halo=HALO)


def _pixels_apart(side: int) -> tuple[Span, ...]:
    """The same in spans in which no pixel stands twice; the first has all that it covers alone."""
    end = side // TILE * TILE
    own, beyond = (slice(TILE), slice(end)), (slice(TILE, POINTS), slice(TILE, end + HALO))
    return _spans(side, own, beyond, halo=HALO)


def _matched(
    tiles: Tensor, tile: int, maps: Tensor, spans: Sequence[Span]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Views of `tiles` [N, tile ** 2, C] and `maps` [B, ., ., C] with the same places, for spans of
    rows and of columns: [B, rows of tiles, columns of tiles, rows within, columns within, C]."""
    count = isqrt(len(tiles) // len(maps))
    grid = tiles.view(-1, count, count, tile, tile, tiles.shape[2])
    for row, column in product(spans, repeat=2):
        in_tiles = grid[:, row.tiles, column.tiles, row.within, column.within]
        height, width = in_tiles.shape[3:5]
        in_maps = maps[:, row.maps, column.maps].unfold(1, height, TILE).unfold(2, width, TILE)
        yield in_tiles, in_maps.permute(0, 1, 2, 4, 5, 3)


def _tiles(maps: Tensor, tile: int, side: int, spans: Sequence[Span]) -> Tensor:
    """Tiles [N, tile ** 2, C] of `maps` [B, ., ., C]; what is cut off is zero."""
    shape = (len(maps) * tiles_along(side) ** 2, tile**2, maps.shape[3])
    tiles = maps.new_zeros(shape) if side % TILE else maps.new_empty(shape)
    for in_tiles, in_maps in _matched(tiles, tile, maps, spans):
        in_tiles.copy_(in_maps)
    return tiles


def _add_up(tiles: Tensor, maps: Tensor, side: int) -> None:
    """The transpose of taking tiles' pixels from `maps`, which are overwritten."""
    first, *others = _matched(tiles, POINTS, maps, _pixels_apart(side))
    end = side // TILE * TILE
    maps[:, end:].zero_()
    maps[:, :, end:].zero_()
    first[1].copy_(first[0])
    for in_tiles, in_maps in others:
        in_maps.add_(in_tiles)
