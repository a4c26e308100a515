import numpy as np
import pytest

from anml.errors import AnmlError
from anml.meta_testing import nearest
from anml.meta_testing.nearest import drawings_accuracy, knn_accuracy


def test_agrees_with_a_search_row_by_row():
    rng = np.random.default_rng(0)
    train, test = rng.normal(size=(60, 7)), rng.normal(size=(700, 7))  # more than one block
    labels, truth = rng.integers(5, size=60) * 10 + 3, rng.integers(5, size=700) * 10 + 3
    for k in (1, 2, 5):
        hits = 0
        for row, name in zip(test, truth, strict=True):
            near = labels[np.argsort(((train - row) ** 2).sum(axis=1))[:k]].tolist()
            hits += max(near, key=lambda label: (near.count(label), -near.index(label))) == name
        assert knn_accuracy(train, labels, test, truth, k) == pytest.approx(hits / 700)


def test_several_k_in_one_pass():
    rng = np.random.default_rng(1)
    train, test = rng.normal(size=(40, 2, 3)), rng.normal(size=(30, 2, 3))
    labels, truth = rng.integers(3, size=40), rng.integers(3, size=30)
    several = knn_accuracy(train, labels, test, truth, [1, 3, 20])
    one_by_one = [float(knn_accuracy(train, labels, test, truth, k)) for k in (1, 3, 20)]
    assert several.shape == (3,)
    np.testing.assert_array_equal(several, one_by_one)
    assert len(set(one_by_one)) > 1


@pytest.mark.parametrize("values", [1, 2, 30, 10**6])
def test_the_nearest_are_those_of_a_whole_sort(values: int):
    """However many ties there are."""
    distance = np.random.default_rng(values).integers(values, size=(50, 400)).astype(np.float64)
    for k in (1, 2, 20, 400):
        expected = np.argsort(distance, axis=1, kind="stable")[:, :k]
        np.testing.assert_array_equal(nearest._nearest(distance, k), expected)


def test_what_is_no_number_is_nearest_to_nothing():
    distance = np.random.default_rng(0).random((50, 400))
    distance[3, :5] = distance[7] = np.nan
    expected = np.argsort(distance, axis=1, kind="stable")[:, :20]
    np.testing.assert_array_equal(nearest._nearest(distance, 20), expected)


def test_majority_beats_the_nearest_and_a_tie_goes_to_it():
    train, labels = np.array([[0.0], [1.0], [1.1], [9.0]]), np.array([7, 8, 8, 7])
    test = np.array([[0.2]])
    assert knn_accuracy(train, labels, test, np.array([7]), 1) == 1.0
    assert knn_accuracy(train, labels, test, np.array([8]), 3) == 1.0
    assert knn_accuracy(train, labels, test, np.array([7]), 2) == 1.0


def test_uint8_pixels_do_not_overflow():
    train, test = np.array([[0], [255]], np.uint8), np.array([[250], [3]], np.uint8)
    assert knn_accuracy(train, np.array([0, 1]), test, np.array([1, 0])) == 1.0


@pytest.mark.parametrize("k", [0, 5, []])
def test_k_out_of_range(k):
    rows = np.zeros((4, 2))
    with pytest.raises(AnmlError, match="1 to 4"):
        knn_accuracy(rows, np.arange(4), rows, np.arange(4), k)


def test_shapes_that_do_not_fit():
    rows = np.zeros((4, 2))
    with pytest.raises(AnmlError, match="same shape"):
        knn_accuracy(rows, np.arange(4), np.zeros((4, 3)), np.arange(4))
    with pytest.raises(AnmlError, match="one label a row"):
        knn_accuracy(rows, np.arange(3), rows, np.arange(4))


def test_drawings_accuracy_asks_for_the_drawings_it_does_not_know():
    # Writers 1 to 15 draw a class one way, 16 to 20 another: the next class's way.
    images = np.zeros((4, 20, 28, 28), np.uint8)
    for i in range(4):
        images[i, :15, i, :] = 255
        images[i, 15:, (i + 1) % 4, :] = 255
    assert drawings_accuracy(images, how="first") == 0.0
    shuffled = drawings_accuracy(images, how="shuffled", seed=1)
    assert 0.0 < shuffled < 1.0
    assert shuffled == drawings_accuracy(images, how="shuffled", seed=1)
    images[:, 15:] = images[:, :5]
    assert drawings_accuracy(images, how="first") == 1.0
    assert drawings_accuracy(images, n_train=5, how="first", k=3) == 1.0


@pytest.mark.parametrize(("n_train", "how"), [(0, "first"), (20, "first"), (15, "last")])
def test_split_out_of_range(n_train, how):
    with pytest.raises(AnmlError):
        drawings_accuracy(np.zeros((2, 20, 28, 28), np.uint8), n_train=n_train, how=how)
