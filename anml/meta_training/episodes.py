"""What each meta-iteration sees, drawn from (seed, iteration) alone.

No random state is carried from one iteration to the next: resuming is exact by construction, and a
replica draws the same whether it is trained alone or beside others. All is drawn on the host, as
indices, and possibly ahead of time; the images themselves stay on the device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum
from math import sqrt
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

# Pages that read tables draw trajectories too, and need not wait for torch.
if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Stream(IntEnum):
    """Independent random streams of one seed."""

    EPISODE = 0
    BATCH = 1
    TRAJECTORY = 2
    SEARCH = 3
    HEAD = 4
    ORDER = 5


def generator(seed: int, stream: Stream, *position: int) -> np.random.Generator:
    """NumPy's generator for one place in one stream of `seed`."""
    return np.random.default_rng((seed, int(stream), *position))


class Drawn(NamedTuple):
    """What meta-iterations draw at random: indices and numbers, no image yet.

    Leading axes: none for one seed at one iteration (NumPy), [R] for the seeds of one iteration and
    [N, R] for several iterations (tensors).
    """

    classes: np.ndarray | Tensor  # int64 [..., B]
    drawings: np.ndarray | Tensor  # int64 [..., B]: which of the class's drawings
    row: np.ndarray | Tensor  # [..., D]: the learned class's new head row; D = 0 without one


def draw_episode(
    counts: tuple[int, int],
    seed: int,
    iteration: int,
    *,
    inner_steps: int,
    remember: int,
    row_inputs: int,
) -> Drawn:
    """Draw one meta-iteration of `seed` (paper, Algorithm 1).

    `counts`: how many classes there are, and drawings of each. One random class, `inner_steps` of
    its drawings in random order, then `remember` drawings of random classes; the class's new head
    row is Kaiming normal [row_inputs].
    """
    n_classes, n_drawings = counts
    rng = generator(seed, Stream.EPISODE, iteration)
    learned = rng.integers(n_classes)
    order = rng.permutation(n_drawings)[:inner_steps]
    others = rng.integers(n_classes, size=remember)
    return Drawn(
        np.concatenate((np.full(inner_steps, learned), others)),
        np.concatenate((order, rng.integers(n_drawings, size=remember))),
        rng.standard_normal(row_inputs) * sqrt(2.0 / row_inputs),
    )


def draw_batch(counts: tuple[int, int], seed: int, iteration: int, *, size: int) -> Drawn:
    """Draw the i.i.d. batch of `size` drawings for an iteration of supervised training."""
    n_classes, n_drawings = counts
    rng = generator(seed, Stream.BATCH, iteration)
    classes, drawings = np.divmod(rng.integers(n_classes * n_drawings, size=size), n_drawings)
    return Drawn(classes, drawings, np.empty(0))


def draw_ahead(
    draw: Callable[[int, int], Drawn],
    seeds: Sequence[int],
    iterations: Sequence[int],
    dtype: torch.dtype,
) -> Drawn:
    """`draw(seed, iteration)` of all seeds and iterations as tensors [N, R, ...] on the host."""
    import torch

    parts = zip(*(draw(seed, i) for i in iterations for seed in seeds), strict=True)
    classes, drawings, rows = (
        torch.from_numpy(np.stack(part)).unflatten(0, (len(iterations), len(seeds)))
        for part in parts
    )
    return Drawn(classes, drawings, rows.to(dtype))


def gather(images: Tensor, drawn: Drawn, dtype: torch.dtype) -> Tensor:
    """The drawings [B, R, 28, 28] in [0, 1] that `drawn` [R, ...] names.

    `images` uint8 [C, 20, 28, 28], on the device to use.
    """
    return to_unit(images[drawn.classes.mT, drawn.drawings.mT], dtype)


def to_unit(images: Tensor, dtype: torch.dtype) -> Tensor:
    """Images uint8 (ink 255 on 0) as floats in [0, 1]."""
    return images.to(dtype) / 255
