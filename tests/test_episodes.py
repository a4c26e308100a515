"""What a meta-iteration sees, from seed and iteration alone."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from anml.meta_training.episodes import (
    Drawn,
    Stream,
    draw_ahead,
    draw_batch,
    draw_episode,
    gather,
    generator,
    to_unit,
)

CLASSES = 50


@pytest.fixture
def images() -> torch.Tensor:
    """Drawing d of class c is filled with 5 c + ... so that each can be told: [50, 20, 28, 28]."""
    flat = torch.arange(CLASSES * 20, dtype=torch.int32)
    pixels = torch.stack((flat // 20, flat % 20), 1).to(torch.uint8)
    out = torch.zeros(CLASSES * 20, 28, 28, dtype=torch.uint8)
    out[:, 0, :2] = pixels
    return out.unflatten(0, (CLASSES, 20))


def draw(seed: int, iteration: int, **changes: int) -> Drawn:
    sizes = {"inner_steps": 20, "remember": 64, "row_inputs": 27} | changes
    return draw_episode((CLASSES, 20), seed, iteration, **sizes)


def ahead(seeds: tuple[int, ...], iterations: Sequence[int]) -> Drawn:
    return draw_ahead(draw, seeds, iterations, torch.float64)


def at(drawn: Drawn, n: int) -> Drawn:
    return Drawn(*(part[n] for part in drawn))


def identity(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Class and drawing, [R, B] each, as written into the corner pixels of [B, R, 28, 28]."""
    marks = (images[:, :, 0, :2] * 255).round().long().transpose(0, 1)
    return marks[..., 0], marks[..., 1]


def test_one_class_in_the_inner_loop_then_the_remember_set(images: torch.Tensor) -> None:
    drawn = ahead((3, 4), [7])
    assert drawn.classes.shape == drawn.drawings.shape == (1, 2, 84)
    assert drawn.row.shape == (1, 2, 27)
    classes, drawings = identity(gather(images, at(drawn, 0), torch.float64))
    assert torch.equal(classes, drawn.classes[0])
    assert torch.equal(drawings, drawn.drawings[0])
    for r in range(2):
        assert len(classes[r, :20].unique()) == 1
        assert sorted(drawings[r, :20].tolist()) == list(range(20))
        assert len(classes[r, 20:].unique()) > 20
    assert drawings[0, :20].tolist() != sorted(drawings[0, :20].tolist())


def test_the_remember_set_reaches_every_class_and_drawing() -> None:
    parts = [draw(0, i) for i in range(60)]
    assert {c for part in parts for c in part.classes[20:]} == set(range(CLASSES))
    assert {d for part in parts for d in part.drawings[20:]} == set(range(20))
    assert len({part.classes[0] for part in parts}) > 25


def test_a_replica_draws_the_same_alone_and_beside_others() -> None:
    together, alone = ahead((0, 5, 9), [3]), ahead((5,), [3])
    for beside, own in zip(together, alone, strict=True):
        assert torch.equal(beside[:, 1:2], own)


def test_an_iteration_draws_the_same_alone_and_ahead_of_time() -> None:
    together = ahead((0, 5), [3, 4, 5])
    for n, iteration in enumerate((3, 4, 5)):
        for beside, own in zip(together, ahead((0, 5), [iteration]), strict=True):
            assert torch.equal(beside[n], own[0])


def test_seeds_iterations_and_streams_differ() -> None:
    first, again = draw(0, 0), draw(0, 0)
    for one, other in zip(first, again, strict=True):
        assert np.array_equal(one, other)
    for seed, iteration in ((0, 1), (1, 0)):
        assert not np.array_equal(first.classes, draw(seed, iteration).classes)
    starts = {generator(0, stream, 0).integers(2**62) for stream in Stream}
    assert len(starts) == len(Stream)


def test_new_head_rows_are_kaiming_normal() -> None:
    rows = np.concatenate([draw(0, i, row_inputs=400).row for i in range(50)])
    std = np.sqrt(2 / 400)
    assert abs(rows.mean()) < 5 * std / np.sqrt(rows.size)
    assert rows.std() == pytest.approx(std, rel=5 / np.sqrt(2 * rows.size))


def test_rows_are_rounded_once() -> None:
    rows = draw_ahead(draw, (1,), [0], torch.float32).row
    assert rows.dtype == torch.float32
    assert torch.equal(rows[0, 0], torch.from_numpy(draw(1, 0).row).float())


def test_a_batch_is_drawn_from_all_classes_with_its_labels(images: torch.Tensor) -> None:
    def batch(seed: int, iteration: int) -> Drawn:
        return draw_batch((CLASSES, 20), seed, iteration, size=500)

    drawn = draw_ahead(batch, (1, 2), [0], torch.float64)
    assert drawn.row.shape == (1, 2, 0)
    gathered = gather(images, at(drawn, 0), torch.float64)
    assert gathered.shape == (500, 2, 28, 28)
    told, drawings = identity(gathered)
    assert torch.equal(told, drawn.classes[0])
    assert len(told.unique()) == CLASSES
    assert len(drawings.unique()) == 20
    alone = draw_ahead(batch, (2,), [0], torch.float64)
    assert torch.equal(drawn.classes[:, 1:], alone.classes)
    assert not torch.equal(drawn.classes[:, :1], drawn.classes[:, 1:])


def test_images_become_0_to_1() -> None:
    unit = to_unit(torch.tensor([0, 51, 255], dtype=torch.uint8), torch.float64)
    assert unit.tolist() == [0.0, 0.2, 1.0]
