"""What each meta-iteration sees, drawn from (seed, iteration) alone.

No random state is carried from one iteration to the next: resuming is exact by construction, and a
replica draws the same whether it is trained alone or beside others.
"""

from collections.abc import Sequence
from enum import IntEnum
from math import sqrt

import numpy as np
import torch
from torch import Tensor

from anml.adapt import Episode


class Stream(IntEnum):
    """Independent random streams of one seed."""

    EPISODE = 0
    BATCH = 1
    TRAJECTORY = 2
    SEARCH = 3
    HEAD = 4


def generator(seed: int, stream: Stream, *position: int) -> np.random.Generator:
    """NumPy's generator for one place in one stream of `seed`."""
    return np.random.default_rng((seed, int(stream), *position))


def draw_episode(
    images: Tensor,
    seeds: Sequence[int],
    iteration: int,
    *,
    inner_steps: int,
    remember: int,
    row_inputs: int,
    dtype: torch.dtype = torch.float32,
) -> tuple[Episode, Tensor]:
    """Class, drawings and new head row of one meta-iteration (paper, Algorithm 1) for each seed.

    `images` uint8 [C, 20, 28, 28] on the device to use. Returns the episode (one random class, its
    drawings in random order, `remember` drawings of random classes) and the class's new head row,
    Kaiming normal [R, row_inputs].
    """
    classes, drawings, rows = [], [], []
    for seed in seeds:
        rng = generator(seed, Stream.EPISODE, iteration)
        learned = rng.integers(images.shape[0])
        order = rng.permutation(images.shape[1])[:inner_steps]
        others = rng.integers(images.shape[0], size=remember)
        classes.append(np.concatenate((np.full(inner_steps, learned), others)))
        drawings.append(np.concatenate((order, rng.integers(images.shape[1], size=remember))))
        rows.append(rng.standard_normal(row_inputs) * sqrt(2.0 / row_inputs))
    class_index = torch.from_numpy(np.stack(classes)).to(images.device)
    drawing_index = torch.from_numpy(np.stack(drawings)).to(images.device)
    episode = Episode(
        to_unit(images[class_index.T, drawing_index.T], dtype), class_index, inner_steps
    )
    return episode, torch.from_numpy(np.stack(rows)).to(images.device, dtype)


def draw_batch(
    images: Tensor,
    seeds: Sequence[int],
    iteration: int,
    size: int,
    dtype: torch.dtype = torch.float32,
) -> tuple[Tensor, Tensor]:
    """An i.i.d. batch for supervised training: images [size, R, 28, 28] and classes [R, size]."""
    chosen = np.stack(
        [
            generator(seed, Stream.BATCH, iteration).integers(images[:, :, 0, 0].numel(), size=size)
            for seed in seeds
        ]
    )
    index = torch.from_numpy(chosen).to(images.device)
    return to_unit(images.flatten(0, 1)[index.T], dtype), index // images.shape[1]


def to_unit(images: Tensor, dtype: torch.dtype) -> Tensor:
    """Images uint8 (ink 255 on 0) as floats in [0, 1]."""
    return images.to(dtype) / 255
