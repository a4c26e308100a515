"""Which classes a meta-test meets, in which order, and which drawings it learns from."""

from dataclasses import dataclass

import numpy as np

from anml.data import split_drawings
from anml.errors import AnmlError
from anml.meta_training.episodes import Stream, generator
from anml.profiles import MAX_META_TEST_CLASSES

TRAINING_DRAWINGS = 15
"""Drawings of each class that meta-test training learns from; the other 5 are held out."""


@dataclass(frozen=True)
class Trajectory:
    """One meta-test trajectory (paper, Algorithm 2) over `N` classes.

    `seed`: names it in tables; `classes` int [N]: indices of the meta-test classes in the order in
    which they are learned; `train` int [N, 15] and `test` int [N, 5]: drawings of each of them.
    """

    seed: int
    classes: np.ndarray
    train: np.ndarray
    test: np.ndarray


def draw_trajectory(
    seed: int,
    n_classes: int,
    available: int = MAX_META_TEST_CLASSES,
    *,
    split: str = "shuffled",
    stream: Stream = Stream.TRAJECTORY,
) -> Trajectory:
    """The trajectory that `seed` gives: `n_classes` of `available` classes in random order.

    `split`: 'shuffled' draws the 15 training drawings by seed, 'first' takes writers 1 to 15 (the
    released code). `stream`: learning rates are searched on trajectories of `Stream.SEARCH`.

    Raises:
        AnmlError: `n_classes` is not among 1 to `available`, or `split` is unknown.
    """
    if not 1 <= n_classes <= available:
        raise AnmlError(f"{n_classes} classes asked for, allowed is 1 to {available}")
    rng = generator(seed, stream, n_classes)
    classes = rng.permutation(available)[:n_classes]
    parts = [split_drawings(TRAINING_DRAWINGS, how=split, rng=rng) for _ in classes]
    train, test = (np.stack(part) for part in zip(*parts, strict=True))
    return Trajectory(seed, classes, train, test)
