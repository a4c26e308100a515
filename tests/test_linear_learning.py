"""Training of linear layers against the plain loop: torch.optim and autograd."""

from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise

import meta_test_speed
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from anml.meta_testing import linear_learning
from anml.meta_testing.linear_learning import LEARNERS, Linears, learn_linears, plain_learn
from anml.profiles import Profile

RATES = {"adam": (3e-3, 1e-3, 3e-3), "sgd": (0.3, 0.05, 0.3)}
DRAWINGS, FEATURES, HIDDEN, OUTPUTS, RUNS, STEPS = 12, 9, 7, 11, 3, 80
BOTH = pytest.mark.parametrize("optimizer", LEARNERS)
DEPTHS = pytest.mark.parametrize("sizes", [(FEATURES, OUTPUTS), (FEATURES, HIDDEN, OUTPUTS)])


def draw_layers(sizes: tuple[int, ...], runs: int, dtype: torch.dtype) -> list[Linears]:
    return [
        [
            (torch.randn(o, d, dtype=dtype) * (2 / d) ** 0.5, torch.randn(o, dtype=dtype) * 0.1)
            for d, o in pairwise(sizes)
        ]
        for _ in range(runs)
    ]


def draw_problem(
    sizes: tuple[int, ...], steps: int, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor, Tensor, list[Linears]]:
    """Features with a dead unit and ReLU's zeros, another random order a run, random layers."""
    torch.manual_seed(0)
    features = F.relu(torch.randn(DRAWINGS, sizes[0], dtype=dtype))
    features[:, 2] = 0.0
    drawings = torch.randint(0, DRAWINGS, (RUNS, steps))
    labels = torch.randint(0, OUTPUTS - 3, (RUNS, DRAWINGS)).gather(1, drawings)
    return features, drawings, labels, draw_layers(sizes, RUNS, dtype)


@cache
def plain_runs(sizes: tuple[int, ...], optimizer: str) -> list[Linears]:
    features, drawings, labels, starts = draw_problem(sizes, STEPS)
    runs = zip(drawings, labels, starts, RATES[optimizer], strict=True)
    return [plain_learn(features, *run, optimizer) for run in runs]


def assert_equal_layers(own: Linears, other: Linears, **tolerance: float) -> None:
    for pair, reference in zip(own, other, strict=True):
        for tensor, expected in zip(pair, reference, strict=True):
            torch.testing.assert_close(tensor, expected, **tolerance)


@DEPTHS
@pytest.mark.parametrize("side_by_side", [None, 3])
@pytest.mark.parametrize("steps", [4, STEPS])
@pytest.mark.parametrize("shuffled", [False, True])
def test_held_rows_equal_those_of_the_plain_loop(
    sizes: tuple[int, ...], side_by_side: int | None, steps: int, shuffled: bool
) -> None:
    """Rows of labels that have not come yet stay, those that have come learn, in any order."""
    features, drawings, labels, starts = draw_problem(sizes, steps)
    labels = labels if shuffled else labels.sort(1).values
    rates = RATES["adam"]
    problem = features, drawings, labels
    learned = learn_linears(*problem, starts, rates, side_by_side=side_by_side, hold_unmet=True)
    for own, start, *run in zip(learned, starts, drawings, labels, rates, strict=True):
        chosen, targets, rate = run
        plain = plain_learn(features, chosen, targets, start, rate, hold_unmet=True)
        assert_equal_layers(own, plain, rtol=1e-10, atol=1e-10)
        free = plain_learn(features, chosen, targets, start, rate)
        came = torch.zeros(OUTPUTS, dtype=torch.bool).index_fill_(0, targets, True)
        assert 1 <= came.sum() < OUTPUTS
        assert torch.equal(own[-1][0][~came], start[-1][0][~came])
        assert (own[-1][0][came] != start[-1][0][came]).any(1).all()
        assert (free[-1][0][~came] != start[-1][0][~came]).any(1).all()
        assert not torch.allclose(own[-1][0][came], free[-1][0][came])


def test_rows_are_held_with_adam_alone() -> None:
    *problem, starts = draw_problem((FEATURES, OUTPUTS), STEPS)
    with pytest.raises(ValueError, match="adam alone"):
        list(learn_linears(*problem, starts, RATES["sgd"], "sgd", hold_unmet=True))


@BOTH
@DEPTHS
@pytest.mark.parametrize("block", [1, 7, 64])
@pytest.mark.parametrize("side_by_side", [None, 2, 5])
def test_equals_the_plain_loop(
    optimizer: str,
    sizes: tuple[int, ...],
    block: int,
    side_by_side: int | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Over more than a block, whatever its length, and however the runs are put together."""
    monkeypatch.setattr(linear_learning, "BLOCK", block)
    *problem, starts = draw_problem(sizes, STEPS)
    rates = RATES[optimizer]
    learned = list(learn_linears(*problem, starts, rates, optimizer, side_by_side=side_by_side))
    for k, (own, expected) in enumerate(zip(learned, plain_runs(sizes, optimizer), strict=True)):
        assert_equal_layers(own, expected, rtol=1e-10, atol=1e-10)
        moved = (own[0][0] - starts[k][0][0]).abs()
        assert moved.max() > 1e-2
        assert (moved[:, 2] == 0).all()  # a unit that is never active


@BOTH
@DEPTHS
def test_single_precision_stays_close(optimizer: str, sizes: tuple[int, ...]) -> None:
    *problem, starts = draw_problem(sizes, 40, torch.float32)
    features, drawings, labels = problem
    rates = RATES[optimizer]
    for k, own in enumerate(learn_linears(*problem, starts, rates, optimizer)):
        assert own[0][0].dtype == torch.float32
        expected = plain_learn(features, drawings[k], labels[k], starts[k], rates[k], optimizer)
        # Adam divides by the root of a square, so a gradient near zero keeps its rounding error.
        assert_equal_layers(own, expected, rtol=1e-3, atol=1e-4)


@BOTH
def test_starts_are_left_unchanged(optimizer: str) -> None:
    *problem, starts = draw_problem((FEATURES, HIDDEN, OUTPUTS), 10)
    before = [[(w.clone(), b.clone()) for w, b in layers] for layers in starts]
    list(learn_linears(*problem, starts, RATES[optimizer], optimizer))
    for own, other in zip(starts, before, strict=True):
        assert_equal_layers(own, other, rtol=0, atol=0)


@BOTH
def test_every_drawing_learned_is_heard_of(optimizer: str) -> None:
    heard: list[int] = []
    *problem, starts = draw_problem((FEATURES, OUTPUTS), 70)
    list(learn_linears(*problem, starts, RATES[optimizer], optimizer, heard.append))
    assert sum(heard) == RUNS * 70
    assert len(heard) > RUNS  # while it learns, not at the end


@BOTH
def test_runs_start_when_their_turn_comes(optimizer: str) -> None:
    """A hundred runs' layers need not be in memory at once."""
    *problem, starts = draw_problem((FEATURES, OUTPUTS), 5)
    taken: list[int] = []

    def one_by_one() -> Iterator[Linears]:
        for k, start in enumerate(starts):
            taken.append(k)
            yield start

    learned = learn_linears(*problem, one_by_one(), RATES[optimizer], optimizer)
    for k in range(RUNS):
        next(learned)
        assert taken == list(range(k + 1))


@BOTH
def test_the_loop_never_asks_the_device(optimizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No value of a tensor is read on the host while learning: a GPU would stop at each."""

    def refused(name: str) -> Callable[..., object]:
        def refuse(*_: object) -> object:
            raise AssertionError(f"Tensor.{name} was called")

        return refuse

    *problem, starts = draw_problem((FEATURES, HIDDEN, OUTPUTS), 70)
    for name in ("item", "tolist", "cpu", "numpy", "__bool__", "__int__", "__float__", "nonzero"):
        monkeypatch.setattr(Tensor, name, refused(name))
    list(learn_linears(*problem, starts, RATES[optimizer], optimizer, side_by_side=RUNS))


@BOTH
def test_the_benchmark_times_the_same_work(optimizer: str, tiny: Profile) -> None:
    """Each way learns the same layers; a row each, with times in order."""
    problem = meta_test_speed.draw_problem("OML", tiny, 20)
    features, drawings, labels, start = problem
    rate = meta_test_speed.RATE
    expected = plain_learn(*problem, rate, optimizer)
    fused = plain_learn(*problem, rate, optimizer, fused=True)
    (own,) = learn_linears(features, drawings[None], labels[None], [start], [rate], optimizer)
    for learned in (fused, own):
        assert_equal_layers(learned, expected, rtol=1e-3, atol=1e-5)
    rows = list(meta_test_speed.measure("OML", tiny, optimizer, 1, steps=20, stretches=2))
    assert [row["way"] for row in rows] == list(meta_test_speed.WAYS)
    for row in rows:
        fastest, middle, slowest = (float(row[f"{x}_ms"]) for x in ("fastest", "step", "slowest"))
        assert 0 < fastest <= middle <= slowest
        assert float(row["trajectory_seconds"]) == pytest.approx(9 * middle, rel=0.01)
