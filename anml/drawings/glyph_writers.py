"""Simulated writers: how each of them draws a given character, as ink on a 105 x 105 frame."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from anml.drawings.glyph_strokes import Stroke, placed

WRITERS = 20
FRAME = 105  # the side of the bitmap that is drawn on, as in Omniglot
SIDE = 28  # the side of the picture that comes out
_MARGIN = 3  # pixels of the frame that stay empty
_GRID = 8  # pen positions per pixel: all that follows is integer, so the same on any machine


@dataclass(frozen=True)
class Spread:
    """Standard deviations of everything that varies, tuned by measurement against Omniglot.

    The fields `*_writer` are habits, one value a writer and alphabet; `*_drawing` vary from one
    drawing to the next. Lengths are in pixels of the 105 x 105 frame, angles in radians.
    """

    slant_writer: float = 0.05
    slant_drawing: float = 0.05
    turn_drawing: float = 0.03
    size_writer: float = 0.08  # of the log
    size_drawing: float = 0.06
    aspect_writer: float = 0.04  # of the log
    aspect_drawing: float = 0.05
    place_writer: float = 2.6
    place_drawing: float = 4.6
    pen_writer: float = 0.09  # of the log
    care_writer: float = 0.3  # of the log of the factor on everything below
    node: float = 2.2
    stroke_size: float = 0.12  # of the log
    stroke_turn: float = 0.08
    stroke_start: float = 2.4  # of independent strokes
    slip: float = 1.0  # of strokes tied to another
    along: float = 0.05  # of the share of the parent's path
    tremor: float = 0.4


@dataclass(frozen=True)
class Writers:
    """The habits of an alphabet's writers; every field float64 `[WRITERS]` or `[WRITERS, 2]`."""

    slant: np.ndarray
    log_size: np.ndarray
    log_aspect: np.ndarray
    place: np.ndarray
    pen: np.ndarray  # radius in pixels of the frame
    care: np.ndarray
    tremor: np.ndarray


PEN_RADIUS = 2.85


def draw_writers(rng: np.random.Generator, spread: Spread) -> Writers:
    """Twenty people with habits of their own."""
    normal = rng.standard_normal
    return Writers(
        slant=spread.slant_writer * normal(WRITERS),
        log_size=spread.size_writer * normal(WRITERS),
        log_aspect=spread.aspect_writer * normal(WRITERS),
        place=spread.place_writer * normal((WRITERS, 2)),
        pen=PEN_RADIUS * np.exp(spread.pen_writer * normal(WRITERS)),
        care=np.exp(spread.care_writer * normal(WRITERS)),
        tremor=spread.tremor * np.exp(0.5 * normal(WRITERS)),
    )


def write(
    character: tuple[Stroke, ...], writers: Writers, spread: Spread, rng: np.random.Generator
) -> np.ndarray:
    """Where the pen goes when each writer draws the character once.

    Returns:
        float64 `[WRITERS, P, 2]`, points about a pixel apart, on the 105 x 105 frame.
    """
    normal = rng.standard_normal
    curves: list[np.ndarray] = []
    for stroke in character:
        shape = stroke.shape.nodes
        care = writers.care[:, None]
        length = np.sqrt(np.square(np.diff(shape, axis=0)).sum(axis=1)).sum()
        # Short strokes wobble less than long ones.
        wobble = spread.node * min(1.0, length / 40.0) * care[:, :, None]
        own = shape + wobble * normal((WRITERS, *shape.shape))
        turn = spread.stroke_turn * care[:, 0] * normal(WRITERS)
        size = np.exp(spread.stroke_size * care[:, 0] * normal(WRITERS))
        nodes = _transformed(own - own[:, :1], _rotation(turn) * size[:, None, None])
        slip = spread.stroke_start if stroke.relation == "independent" else spread.slip
        start = stroke.start + slip * care * normal((WRITERS, 2))
        jitter = spread.along * writers.care * normal(WRITERS)
        at = np.clip(stroke.at + (jitter if stroke.relation == "along" else 0.0), 0.0, 1.0)
        at = np.broadcast_to(at, WRITERS)
        samples = max(4, int(0.8 * length) + 2)
        curves.append(placed(stroke, curves, nodes, start, at, samples))
    points = np.concatenate([c + _tremor(c, writers.tremor, rng) for c in curves], axis=1)

    slant = writers.slant + spread.slant_drawing * normal(WRITERS)
    turn = spread.turn_drawing * normal(WRITERS)
    size = np.exp(writers.log_size + spread.size_drawing * normal(WRITERS))
    aspect = np.exp(writers.log_aspect + spread.aspect_drawing * normal(WRITERS))
    shear = np.zeros((WRITERS, 2, 2))
    shear[:, 0, 0] = size * aspect
    shear[:, 1, 1] = size / aspect
    shear[:, 0, 1] = -slant * size
    points = _transformed(points, _rotation(turn) @ shear)
    place = FRAME / 2 - 2.0 + writers.place + spread.place_drawing * normal((WRITERS, 2))
    middle = (points.min(axis=1) + points.max(axis=1)) / 2
    return _inside(points - middle[:, None] + place[:, None])


def _tremor(curves: np.ndarray, amount: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A hand's small deviations along `[W, T, 2]`: straight between knots some 6 pixels apart."""
    knots = max(2, curves.shape[1] // 5 + 1)
    noise = amount[:, None, None] * rng.standard_normal((len(curves), knots, 2))
    place = np.linspace(0.0, knots - 1, curves.shape[1])
    left = np.minimum(place.astype(np.int64), knots - 2)
    share = (place - left)[:, None]
    return noise[:, left] * (1 - share) + noise[:, left + 1] * share


def _rotation(angles: np.ndarray) -> np.ndarray:
    """Rotation matrices `[W, 2, 2]` of `[W]` radians."""
    cos, sin = np.cos(angles), np.sin(angles)
    return np.stack([np.stack([cos, -sin], axis=1), np.stack([sin, cos], axis=1)], axis=1)


def _transformed(points: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Points `[W, P, 2]`, each writer's times that writer's matrix `[W, 2, 2]`."""
    return points @ matrices.transpose(0, 2, 1)


def _inside(points: np.ndarray) -> np.ndarray:
    """Points `[W, P, 2]`, shrunk and moved where they would leave the frame."""
    room = FRAME - 1 - 2 * _MARGIN
    low, high = points.min(axis=1, keepdims=True), points.max(axis=1, keepdims=True)
    shrink = np.minimum(1.0, room / (high - low).max(axis=2, keepdims=True).clip(1.0))
    middle = (low + high) / 2
    half = (high - low) / 2 * shrink
    centre = np.clip(middle, _MARGIN + half, FRAME - 1 - _MARGIN - half)
    return (points - middle) * shrink + centre


def ink(points: np.ndarray, pens: np.ndarray) -> np.ndarray:
    """What round pens leave on the frame.

    Args:
        points: float64 `[W, P, 2]`, x and y in pixels, at least 0 and at most FRAME - 1.
        pens: float64 `[W]`, radii in pixels.

    Returns:
        bool `[W, FRAME, FRAME]`.
    """
    reach = int(np.ceil(pens.max())) + 1
    edge = FRAME + 2 * reach
    spots = np.rint(points * _GRID).astype(np.int64)
    radii = np.rint(pens * _GRID).astype(np.int64)
    pixel = (spots + _GRID // 2) // _GRID
    rest = spots - pixel * _GRID
    first = np.arange(len(points))[:, None] * edge * edge
    corner = first + (pixel[..., 1] + reach) * edge + pixel[..., 0] + reach
    frame = np.zeros(len(points) * edge * edge, dtype=bool)
    for dy in range(-reach, reach + 1):
        gap_y = np.square(dy * _GRID - rest[..., 1])
        for dx in range(-reach, reach + 1):
            covered = gap_y + np.square(dx * _GRID - rest[..., 0]) <= np.square(radii)[:, None]
            frame[corner[covered] + dy * edge + dx] = True
    return frame.reshape(-1, edge, edge)[:, reach:-reach, reach:-reach]


def picture(frames: np.ndarray) -> np.ndarray:
    """Frames as small pictures, made as Omniglot's are: black on white, LANCZOS, inverted.

    Args:
        frames: bool `[W, FRAME, FRAME]`, true where there is ink.

    Returns:
        uint8 `[W, SIDE, SIDE]`, ink 255 on 0.
    """
    paper = np.where(frames, np.uint8(0), np.uint8(255))
    size = (SIDE, SIDE)
    small = [np.asarray(Image.fromarray(p).resize(size, Image.Resampling.LANCZOS)) for p in paper]
    return 255 - np.stack(small)
