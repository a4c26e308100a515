"""In which order a meta-test's drawings are learned, and how often: as data (paper, section 4).

Sequential learning meets class after class. An oracle meets the same drawings shuffled i.i.d.,
which no forgetting can harm; the third regime lets it see them twenty times (Fig. S7).
"""

from dataclasses import dataclass

import numpy as np

from anml.errors import AnmlError
from anml.meta_testing.trajectories import Trajectory
from anml.meta_training.episodes import Stream, generator


@dataclass(frozen=True)
class Regime:
    """One way through a trajectory's training drawings."""

    name: str  # as in published.csv
    shuffled: bool  # all drawings i.i.d., each epoch in an order of its own
    epochs: int


SEQUENTIAL = Regime("sequential", shuffled=False, epochs=1)
ORACLE = Regime("oracle", shuffled=True, epochs=1)
ORACLE_EPOCHS = Regime("oracle 20 epochs", shuffled=True, epochs=20)

REGIMES = {regime.name: regime for regime in (SEQUENTIAL, ORACLE, ORACLE_EPOCHS)}


def find_regime(name: str) -> Regime:
    """The regime called `name`; AnmlError lists the known ones."""
    if name not in REGIMES:
        raise AnmlError(f"unknown regime {name!r}: choose one of {', '.join(REGIMES)}")
    return REGIMES[name]


def learning_order(
    trajectory: Trajectory, regime: Regime = SEQUENTIAL
) -> tuple[np.ndarray, np.ndarray]:
    """Labels and drawings, both int [epochs * N * 15], in the order of learning.

    Sequential: class after class. Shuffled: a permutation by the trajectory's seed for each epoch;
    the first epoch's is the same whatever the number of epochs.
    """
    classes = len(trajectory.classes)
    labels = np.repeat(np.arange(classes), trajectory.train.shape[1])
    drawings = trajectory.train.reshape(-1)
    orders = [np.arange(len(labels))] * regime.epochs
    if regime.shuffled:
        orders = [
            generator(trajectory.seed, Stream.ORDER, classes, epoch).permutation(len(labels))
            for epoch in range(regime.epochs)
        ]
    order = np.concatenate(orders)
    return labels[order], drawings[order]
