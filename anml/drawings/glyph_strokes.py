"""Strokes: curves from a few nodes, tied to one another, and the kinds of shape they can have.

In the spirit of the generative model of Lake, Salakhutdinov and Tenenbaum (Science 2015): a stroke
is a cubic B-spline, and it starts at, along or at the end of an earlier one, or anywhere. The kinds
and numbers here are this project's own.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np

Relation = Literal["independent", "start", "end", "along"]
RELATIONS: tuple[Relation, ...] = ("independent", "start", "end", "along")

# How often each kind of stroke shape enters an alphabet's library, before the alphabet's own taste.
KINDS = {"line": 4.0, "arc": 2.8, "corner": 2.4, "hook": 1.4, "wave": 0.9, "loop": 1.6, "dot": 0.3}


@dataclass(frozen=True)
class Shape:
    """One pen movement: nodes of a cubic B-spline, the first at the origin.

    nodes: float64 `[n, 2]`, x to the right and y down.
    sharp: `[n]`, how often a node is repeated: 3 makes the curve pass through it with a corner.
    """

    nodes: np.ndarray
    sharp: tuple[int, ...]


@dataclass(frozen=True)
class Stroke:
    """A shape in a character: where it starts, and relative to what.

    start: float64 `[2]`; the absolute start, used when `relation` is `independent`.
    parent: index of the earlier stroke that it starts on; at the share `at` of that stroke's path.
    anchor: the share of its own path that is put there (0 its start, 0.5 its middle).
    """

    shape: Shape
    start: np.ndarray
    relation: Relation = "independent"
    parent: int = 0
    at: float = 0.0
    anchor: float = 0.0


@lru_cache(maxsize=4096)
def spline_weights(sharp: tuple[int, ...], samples: int) -> np.ndarray:
    """Weights of a clamped uniform cubic B-spline's nodes at evenly spaced parameters.

    Args:
        sharp: how often each of the n nodes is repeated; the two ends always count three times.
        samples: number of points on the curve, at least 2.

    Returns:
        float64 `[samples, n]`, rows summing to one; read-only.
    """
    repeats = (3, *sharp[1:-1], 3)
    owner = np.repeat(np.arange(len(repeats)), repeats)
    place = np.linspace(0.0, len(owner) - 3, samples)
    left = np.minimum(place.astype(np.int64), len(owner) - 4)
    u = place - left
    cubic = [
        (1 - u) ** 3 / 6,
        (3 * u**3 - 6 * u**2 + 4) / 6,
        (-3 * u**3 + 3 * u**2 + 3 * u + 1) / 6,
        u**3 / 6,
    ]
    weights = np.zeros((samples, len(repeats)))
    for offset, values in enumerate(cubic):
        np.add.at(weights, (np.arange(samples), owner[left + offset]), values)
    weights.setflags(write=False)
    return weights


def placed(
    stroke: Stroke,
    curves: list[np.ndarray],
    nodes: np.ndarray,
    start: np.ndarray,
    at: np.ndarray,
    samples: int,
) -> np.ndarray:
    """A stroke's curve, put where its relation says; W versions of it (writers) at once.

    Args:
        stroke: which stroke; its own nodes, start and share are not used but those below.
        curves: the character's earlier strokes, float64 `[W, T, 2]` each.
        nodes: float64 `[W, n, 2]`.
        start: float64 `[W, 2]`; where an independent stroke starts, else a slip off the parent.
        at: float64 `[W]`, the share of the parent's path, in [0, 1].
        samples: the number of points on the curve.

    Returns:
        float64 `[W, samples, 2]`.
    """
    curve = spline_weights(stroke.shape.sharp, samples) @ nodes
    if stroke.relation != "independent":
        parent = curves[stroke.parent]
        index = np.rint(at * (parent.shape[1] - 1)).astype(np.int64)
        start = start + parent[np.arange(len(parent)), index]
    own = round(stroke.anchor * (samples - 1))
    return curve + (start - curve[:, own])[:, None, :]


def ideal(stroke: Stroke, curves: list[np.ndarray], samples: int) -> np.ndarray:
    """A stroke as it is meant, nobody's version of it: float64 `[1, samples, 2]`."""
    at = np.array([stroke.at])
    return placed(stroke, curves, stroke.shape.nodes[None], stroke.start[None], at, samples)


def ideal_character(strokes: Sequence[Stroke], samples: int) -> list[np.ndarray]:
    """Every stroke of a character as it is meant: float64 `[1, samples, 2]` each."""
    curves: list[np.ndarray] = []
    for stroke in strokes:
        curves.append(ideal(stroke, curves, samples))
    return curves


def _walk(headings: list[float], steps: list[float], corners: set[int] = frozenset()) -> Shape:
    """The nodes met by walking `steps` along `headings` (radians), scaled to a path of length 1."""
    moves = [(s * math.cos(h), s * math.sin(h)) for h, s in zip(headings, steps, strict=True)]
    nodes = np.concatenate([np.zeros((1, 2)), np.cumsum(moves, axis=0)]) / sum(steps)
    return Shape(nodes, tuple(3 if i in corners else 1 for i in range(len(nodes))))


def draw_shape(kind: str, heading: float, rng: np.random.Generator) -> Shape:
    """A shape of unit path length that sets out in about the direction `heading` (radians)."""
    side = 1.0 if rng.random() < 0.5 else -1.0
    if kind in ("line", "dot"):  # a dot is a line that its alphabet makes very short
        return _walk([heading] * 2, [0.5] * 2)
    if kind == "corner":
        turn = side * (rng.normal(1.57, 0.1) if rng.random() < 0.6 else rng.uniform(1.9, 2.5))
        split = rng.uniform(0.35, 0.65)
        lengths = [split / 2] * 2 + [(1 - split) / 2] * 2
        if rng.random() < 0.3:  # a third leg, back again: Z, N, or an open box
            back = -turn if rng.random() < 0.6 else turn
            third = [heading + turn + back] * 2
            return _walk(
                [heading] * 2 + [heading + turn] * 2 + third, lengths + lengths[:2], {2, 4}
            )
        return _walk([heading] * 2 + [heading + turn] * 2, lengths, {2})
    if kind == "arc":
        turn = side * rng.uniform(1.0, 3.9)
        return _walk([heading + turn * (i - 0.5) / 6 for i in range(6)], [1.0] * 6)
    if kind == "loop":
        turn = side * rng.uniform(5.3, 6.9)
        squash = rng.uniform(0.7, 1.3)
        shape = _walk([heading + turn * i / 8 for i in range(8)], [1.0] * 8)
        return replace(shape, nodes=shape.nodes * [squash, 1 / squash])
    if kind == "hook":
        turn = side * rng.uniform(1.8, 4.5)
        headings = [heading] * 2 + [heading + turn * (i + 1) / 5 for i in range(5)]
        steps = [rng.uniform(1.2, 2.4)] * 2 + [1.0] * 5
        if rng.random() < 0.5:
            return _walk(headings, steps)
        return _walk([h + math.pi for h in headings[::-1]], steps[::-1])
    turn = side * rng.uniform(1.5, 3.2)  # a wave
    bends = [heading + turn * (i / 4 - 0.5) for i in range(5)]
    return _walk(bends + bends[3::-1], [1.0] * 9)
