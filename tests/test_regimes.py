"""In which order drawings are learned: class after class, shuffled, shuffled twenty times."""

import numpy as np
import pytest

from anml.errors import AnmlError
from anml.meta_testing.regimes import (
    ORACLE,
    ORACLE_EPOCHS,
    REGIMES,
    SEQUENTIAL,
    find_regime,
    learning_order,
)
from anml.meta_testing.trajectories import draw_trajectory
from anml.store.tables import TABLES


def pairs(*order: np.ndarray) -> list[tuple[int, int]]:
    return list(zip(*(part.tolist() for part in order), strict=True))


def test_the_three_regimes_are_those_of_the_tables() -> None:
    assert {r.name: (r.shuffled, r.epochs) for r in REGIMES.values()} == {
        "sequential": (False, 1),
        "oracle": (True, 1),
        "oracle 20 epochs": (True, 20),
    }
    assert set(REGIMES) == set(TABLES["meta_test"]["regime"].allowed)
    assert list(REGIMES) == [find_regime(name).name for name in REGIMES]
    with pytest.raises(AnmlError, match="sequential, oracle, oracle 20 epochs"):
        find_regime("nonsense")


def test_labels_and_drawings_class_after_class() -> None:
    """One pass, one drawing a step, N x 15 steps; the i-th class learned has label i."""
    one = draw_trajectory(0, 4)
    labels, drawings = learning_order(one)
    assert labels.tolist() == [0] * 15 + [1] * 15 + [2] * 15 + [3] * 15
    assert drawings.tolist() == [d for row in one.train.tolist() for d in row]


def test_an_oracle_meets_the_same_drawings_shuffled() -> None:
    one = draw_trajectory(0, 30)
    learned, shuffled = (pairs(*learning_order(one, r)) for r in (SEQUENTIAL, ORACLE))
    assert sorted(shuffled) == sorted(learned)
    same = sum(a == b for a, b in zip(shuffled, learned, strict=True))
    assert same < 10  # of 450, one is expected
    # Not merely the classes in another order, nor the drawings within their class.
    assert np.mean(np.diff([label for label, _ in shuffled]) == 0) < 0.1


def test_an_order_is_the_trajectorys_own() -> None:
    first, second = (draw_trajectory(seed, 30) for seed in (0, 1))
    assert pairs(*learning_order(first, ORACLE)) == pairs(*learning_order(first, ORACLE))
    labels = [learning_order(t, ORACLE)[0].tolist() for t in (first, second)]
    assert labels[0] != labels[1]


def test_twenty_epochs_each_in_an_order_of_its_own() -> None:
    one = draw_trajectory(2, 5)
    epochs = np.array(pairs(*learning_order(one, ORACLE_EPOCHS))).reshape(20, 75, 2).tolist()
    learned = sorted(map(list, pairs(*learning_order(one))))
    assert all(sorted(epoch) == learned for epoch in epochs)
    assert len({str(epoch) for epoch in epochs}) == 20
    assert epochs[0] == list(map(list, pairs(*learning_order(one, ORACLE))))
