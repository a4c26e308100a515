"""Max-pooling with ReLU on position-major maps, and its derivative, in vectorised operations.

Maps are [..., P, C]: P positions, channels last. The largest of four slices is taken, and each of
the four places keeps 1 where the maximum stood and ReLU let it through, else 0. Of equal values the
first wins, as in torch's max-pool. The derivative is then a product with what is kept.
"""

import torch
from torch import Tensor

Places = tuple[Tensor, Tensor, Tensor, Tensor]
"""Of all pooling windows the upper left, upper right, lower left and lower right, as views."""


def window_major(maps: Tensor) -> Tensor:
    """Windows [..., 4, P / 4, C] of maps whose positions have the four places outermost."""
    return maps.unflatten(-2, (4, -1))


def in_grid(maps: Tensor, side: int) -> Tensor:
    """Windows [..., n, h, 2, h, 2, C] of maps [..., side ** 2, C], `h` half the side rounded down.

    An odd side's last row and column drop out; `n` maps may stand one behind the other in P.
    """
    half = side // 2
    grid = maps.unflatten(-2, (-1, side, side))
    if side % 2:
        grid = grid[..., :-1, :-1, :]
    return grid.unflatten(-3, (half, 2)).unflatten(-2, (half, 2))


def grid_places(windows: Tensor) -> Places:
    """The four places of windows [..., n, h, 2, h, 2, C], each [..., n, h, h, C]."""
    upper, lower = windows.unbind(-4)
    return *upper.unbind(-2), *lower.unbind(-2)


def rectify(y: Tensor) -> Tensor:
    """ReLU of `y`; overwrites `y` with 1 where it let through, 0 elsewhere."""
    out = y.clamp_min(0)
    torch.sign(out, out=y)
    return out


def pool(places: Places) -> Tensor:
    """Maximum of the four places, and its ReLU; overwrites the places with what is kept of each."""
    a, b, c, d = places
    top, bottom = torch.maximum(a, b), torch.maximum(c, d)
    out = torch.maximum(top, bottom).clamp_min_(0)
    active = out.sign()  # out is at least 0
    # In-place comparisons leave 0 or 1 in the numbers' own type, which is fast to multiply with.
    lower = bottom.gt_(top).mul_(active)
    upper = active.sub_(lower)
    for left, right, row in ((a, b, upper), (c, d, lower)):
        right.gt_(left).mul_(row)
        torch.sub(row, right, out=left)
    return out
