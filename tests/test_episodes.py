"""What a meta-iteration sees, from seed and iteration alone."""

import numpy as np
import pytest
import torch

from anml.episodes import Stream, draw_batch, draw_episode, generator, to_unit

CLASSES = 50


@pytest.fixture
def images() -> torch.Tensor:
    """Drawing d of class c is filled with 5 c + ... so that each can be told: [50, 20, 28, 28]."""
    flat = torch.arange(CLASSES * 20, dtype=torch.int32)
    pixels = torch.stack((flat // 20, flat % 20), 1).to(torch.uint8)
    out = torch.zeros(CLASSES * 20, 28, 28, dtype=torch.uint8)
    out[:, 0, :2] = pixels
    return out.unflatten(0, (CLASSES, 20))


def draw(images: torch.Tensor, seeds: tuple[int, ...], iteration: int, **changes: int):
    sizes = {"inner_steps": 20, "remember": 64, "row_inputs": 27} | changes
    return draw_episode(images, seeds, iteration, dtype=torch.float64, **sizes)


def identity(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Class and drawing, [R, B] each, as written into the corner pixels of [B, R, 28, 28]."""
    marks = (images[:, :, 0, :2] * 255).round().long().transpose(0, 1)
    return marks[..., 0], marks[..., 1]


def test_one_class_in_the_inner_loop_then_the_remember_set(images: torch.Tensor) -> None:
    episode, rows = draw(images, (3, 4), 7)
    assert episode.images.shape == (84, 2, 28, 28)
    assert episode.classes.shape == (2, 84)
    assert episode.inner_steps == 20
    assert rows.shape == (2, 27)
    classes, drawings = identity(episode.images)
    assert torch.equal(classes, episode.classes)
    for r in range(2):
        assert len(classes[r, :20].unique()) == 1
        assert sorted(drawings[r, :20].tolist()) == list(range(20))
        assert len(classes[r, 20:].unique()) > 20
    assert drawings[0, :20].tolist() != sorted(drawings[0, :20].tolist())


def test_the_remember_set_reaches_every_class_and_drawing(images: torch.Tensor) -> None:
    parts = [draw(images, (0,), i)[0] for i in range(60)]
    remembered = torch.cat([identity(e.images[20:])[0].flatten() for e in parts])
    drawings = torch.cat([identity(e.images[20:])[1].flatten() for e in parts])
    assert set(remembered.tolist()) == set(range(CLASSES))
    assert set(drawings.tolist()) == set(range(20))
    learned = {e.classes[0, 0].item() for e in parts}
    assert len(learned) > 25


def test_a_replica_draws_the_same_alone_and_beside_others(images: torch.Tensor) -> None:
    together, rows = draw(images, (0, 5, 9), 3)
    alone, row = draw(images, (5,), 3)
    assert torch.equal(together.images[:, 1:2], alone.images)
    assert torch.equal(together.classes[1:2], alone.classes)
    assert torch.equal(rows[1:2], row)


def test_seeds_iterations_and_streams_differ(images: torch.Tensor) -> None:
    first, _ = draw(images, (0,), 0)
    again, _ = draw(images, (0,), 0)
    assert torch.equal(first.images, again.images)
    for seed, iteration in ((0, 1), (1, 0)):
        other, _ = draw(images, (seed,), iteration)
        assert not torch.equal(first.classes, other.classes)
    starts = {generator(0, stream, 0).integers(2**62) for stream in Stream}
    assert len(starts) == len(Stream)


def test_new_head_rows_are_kaiming_normal(images: torch.Tensor) -> None:
    rows = torch.cat([draw(images, (0,), i, row_inputs=400)[1] for i in range(50)])
    std = np.sqrt(2 / 400)
    assert abs(rows.mean()) < 5 * std / np.sqrt(rows.numel())
    assert rows.std() == pytest.approx(std, rel=5 / np.sqrt(2 * rows.numel()))


def test_a_batch_is_drawn_from_all_classes_with_its_labels(images: torch.Tensor) -> None:
    batch, classes = draw_batch(images, (1, 2), 0, 500, torch.float64)
    assert batch.shape == (500, 2, 28, 28)
    told, drawings = identity(batch)
    assert torch.equal(told, classes)
    assert len(classes.unique()) == CLASSES
    assert len(drawings.unique()) == 20
    alone, _ = draw_batch(images, (2,), 0, 500, torch.float64)
    assert torch.equal(batch[:, 1:], alone)
    assert not torch.equal(batch[:, :1], batch[:, 1:])


def test_images_become_0_to_1() -> None:
    unit = to_unit(torch.tensor([0, 51, 255], dtype=torch.uint8), torch.float64)
    assert unit.tolist() == [0.0, 0.2, 1.0]
