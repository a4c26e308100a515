"""k-nearest-neighbour classification: of raw pixels and of a network's activations."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from anml.data import split_drawings
from anml.errors import AnmlError

# Test rows are compared with all training rows in blocks of this many, to bound the memory.
_BLOCK_ROWS = 512


def knn_accuracy(
    train: np.ndarray,
    train_labels: np.ndarray,
    test: np.ndarray,
    test_labels: np.ndarray,
    k: int | Sequence[int] = 1,
) -> np.ndarray:
    """Share of test rows that the majority of their k nearest training rows names correctly.

    Distances are Euclidean, in float64. Of classes with equally many votes, the one whose nearest
    row is nearest wins; of rows at equal distance, the one that stands first in `train`.
    The paper reports K = 5, and K = 1 to 20 (Fig. 6 and its text).

    Args:
        train: `[N, ...]` numbers, one row a drawing; further axes are flattened.
        train_labels: `[N]` integers.
        test: `[M, ...]` numbers, of the same row shape.
        test_labels: `[M]` integers.
        k: how many neighbours vote, 1 to N; or several such numbers, evaluated in one pass.

    Returns:
        float64 `[len(k)]`, fractions in [0, 1]; a 0-d array when `k` is one number.

    Raises:
        AnmlError: when shapes do not agree or k is outside 1 to N.
    """
    train, test = np.asarray(train), np.asarray(test)
    train_labels, test_labels = np.asarray(train_labels), np.asarray(test_labels)
    ks = np.atleast_1d(np.asarray(k, dtype=np.int64))
    if train.shape[1:] != test.shape[1:] or min(len(train), len(test)) == 0:
        raise AnmlError(
            f"training rows {train.shape} and test rows {test.shape} cannot be compared: "
            "both need at least one row, and rows of the same shape"
        )
    if train_labels.shape != train.shape[:1] or test_labels.shape != test.shape[:1]:
        raise AnmlError(
            f"labels {train_labels.shape} and {test_labels.shape} do not fit "
            f"{len(train)} training and {len(test)} test rows: give one label a row"
        )
    if ks.size == 0 or ks.min() < 1 or ks.max() > len(train):
        raise AnmlError(f"k = {k} is out of range: choose from 1 to {len(train)} (training rows)")

    names, labels = np.unique(train_labels, return_inverse=True)
    rows = train.reshape(len(train), -1).astype(np.float64)
    squares = np.square(rows).sum(axis=1)
    hits = np.zeros(ks.size)
    for start in range(0, len(test), _BLOCK_ROWS):
        block = test[start : start + _BLOCK_ROWS].reshape(-1, rows.shape[1]).astype(np.float64)
        # |a - b|^2 without |a|^2, which is the same for every training row.
        distance = squares - 2.0 * (block @ rows.T)
        nearest = _nearest(distance, int(ks.max()))
        truth = test_labels[start : start + _BLOCK_ROWS]
        for i, votes in enumerate(ks):
            hits[i] += np.sum(names[_majority(labels[nearest[:, :votes]])] == truth)
    return (hits / len(test)).reshape(np.shape(k))


def _nearest(distance: np.ndarray, k: int) -> np.ndarray:
    """The columns of the k smallest numbers of each row of `[M, N]`, in order; the first of ties.

    What `argsort(kind="stable")[:, :k]` is, but only what can be among the k is sorted.
    """
    if k == 1:
        return distance.argmin(axis=1)[:, None]
    furthest = np.partition(distance, k - 1, axis=1)[:, k - 1 : k]
    rows, columns = np.nonzero(distance <= furthest)
    # Where most are equal, whole rows are sorted faster; numbers that are none come last in a sort.
    if len(rows) > 4 * k * len(distance) or np.isnan(furthest).any():
        return np.argsort(distance, axis=1, kind="stable")[:, :k]
    columns = columns[np.lexsort((distance[rows, columns], rows))]
    first = np.searchsorted(rows, np.arange(len(distance)))
    return columns[first[:, None] + np.arange(k)]


def _majority(votes: np.ndarray) -> np.ndarray:
    """The most frequent label of each row of `[M, k]`, nearest first; ties to the nearer one."""
    counts = (votes[:, :, None] == votes[:, None, :]).sum(axis=2)
    return votes[np.arange(len(votes)), counts.argmax(axis=1)]


def drawings_accuracy(
    images: np.ndarray,
    *,
    n_train: int = 15,
    how: Literal["first", "shuffled"] = "shuffled",
    seed: int = 0,
    k: int = 1,
) -> float:
    """kNN accuracy on raw pixels: `n_train` drawings of every class known, the others asked.

    Args:
        images: uint8 `[C, 20, 28, 28]`, 20 drawings of each of C classes.
        n_train: drawings of each class that are known, 1 to 19 (the paper: 15).
        how: `first` knows writers 1 to `n_train` (the released code), `shuffled` any of each class.
        seed: of the shuffle.
        k: how many neighbours vote.

    Returns:
        Accuracy on the `C * (20 - n_train)` other drawings, in [0, 1].

    Raises:
        AnmlError: when `n_train`, `how` or `k` is out of range.
    """
    rng = np.random.default_rng(seed)
    splits = [split_drawings(n_train, how=how, rng=rng) for _ in images]
    train = np.stack([drawn[known] for drawn, (known, _) in zip(images, splits, strict=True)])
    test = np.stack([drawn[asked] for drawn, (_, asked) in zip(images, splits, strict=True)])
    labels = np.arange(len(images))
    return float(
        knn_accuracy(
            train.reshape(-1, *images.shape[2:]),
            labels.repeat(train.shape[1]),
            test.reshape(-1, *images.shape[2:]),
            labels.repeat(test.shape[1]),
            k,
        )
    )
