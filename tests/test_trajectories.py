"""Which classes and drawings a meta-test meets."""

import numpy as np
import pytest

from anml.errors import AnmlError
from anml.meta_testing.trajectories import draw_trajectory
from anml.meta_training.episodes import Stream


def same(a, b) -> bool:
    return all(np.array_equal(getattr(a, n), getattr(b, n)) for n in ("classes", "train", "test"))


@pytest.mark.parametrize("split", ["shuffled", "first"])
def test_different_classes_each_with_15_and_5_drawings(split: str) -> None:
    one = draw_trajectory(3, 600, split=split)
    assert one.seed == 3
    assert one.classes.shape == (600,)
    assert len(set(one.classes.tolist())) == 600
    assert 0 <= one.classes.min() <= one.classes.max() < 659
    assert one.classes.tolist() != sorted(one.classes.tolist())
    assert one.train.shape == (600, 15)
    assert one.test.shape == (600, 5)
    both = np.concatenate((one.train, one.test), 1)
    assert (np.sort(both, 1) == np.arange(20)).all()


def test_the_first_writers_train_in_the_released_codes_split() -> None:
    one = draw_trajectory(0, 10, split="first")
    assert (one.train == np.arange(15)).all()
    assert (one.test == np.arange(15, 20)).all()


def test_shuffled_splits_differ_from_class_to_class() -> None:
    one = draw_trajectory(0, 10)
    assert len({tuple(sorted(row)) for row in one.test.tolist()}) > 5


def test_a_trajectory_is_its_seed() -> None:
    assert same(draw_trajectory(1, 50), draw_trajectory(1, 50))
    assert not same(draw_trajectory(1, 50), draw_trajectory(2, 50))


def test_the_search_has_trajectories_of_its_own() -> None:
    searched, tested = (
        draw_trajectory(0, 50, stream=s) for s in (Stream.SEARCH, Stream.TRAJECTORY)
    )
    assert not same(searched, tested)
    assert set(searched.classes.tolist()) != set(tested.classes.tolist())


def test_all_classes_can_be_drawn_and_no_more() -> None:
    assert sorted(draw_trajectory(0, 659).classes.tolist()) == list(range(659))
    for n in (0, -1, 660):
        with pytest.raises(AnmlError, match="1 to 659"):
            draw_trajectory(0, n)
