"""Invented alphabets: characters that share a style, before anybody writes them.

In the spirit of the generative model of Lake, Salakhutdinov and Tenenbaum (Science 2015): an
alphabet owns a small library of stroke shapes, and a character combines a few of them. Weights
and numbers are this project's own, tuned until the drawings were as full and legible as Omniglot's.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from anml.drawings.glyph_strokes import (
    KINDS,
    RELATIONS,
    Shape,
    Stroke,
    draw_shape,
    ideal,
    ideal_character,
)

# How often a character has 1, 2, 3, ... strokes, before the alphabet's own taste.
STROKE_COUNTS = (0.12, 0.32, 0.29, 0.17, 0.10)
# Drafts compared for each new stroke, and tries to find a character unlike its alphabet's others.
DRAFTS = 4
TRIES = 8
# Two characters of one alphabet lie at least this far apart (chamfer distance, box side = 1).
MIN_DISTANCE = 0.055
# At most this share of a character's line runs closer than CLOSE pixels (of 105) to another part.
MAX_CROWDING = 0.22
CLOSE = 7.5
# Points on a stroke when drafts are compared, and when characters are.
_COARSE, _FINE = 12, 48


@dataclass(frozen=True)
class Style:
    """What the characters of one alphabet have in common.

    library: the stroke shapes, of about unit length; usage: their shares.
    counts, relations: shares of 1, 2, ... strokes and of RELATIONS.
    joined: share of strokes made of two shapes in one go (a character of one stroke: more).
    size: the mean larger side of a character, in pixels of the 105 x 105 frame.
    stretch: mean log of width over height.
    """

    library: tuple[Shape, ...]
    usage: tuple[float, ...]
    counts: tuple[float, ...]
    relations: tuple[float, ...]
    joined: float
    size: float
    stretch: float


def _taste(shares: Iterable[float], spread: float, rng: np.random.Generator) -> tuple[float, ...]:
    """`shares`, each made more or less likely by a log-normal factor, summing to one again."""
    weights = [share * math.exp(spread * rng.standard_normal()) for share in shares]
    return tuple(weight / sum(weights) for weight in weights)


def _pick(shares: tuple[float, ...], rng: np.random.Generator) -> int:
    """An index, drawn with the probabilities `shares`."""
    left = rng.random()
    for i, share in enumerate(shares):
        left -= share
        if left < 0.0:
            return i
    return len(shares) - 1


def draw_style(rng: np.random.Generator) -> Style:
    """Invent what the characters of an alphabet have in common."""
    kinds = _taste(KINDS.values(), 0.9, rng)
    diagonal = rng.uniform(0.5, 1.1)
    axes = (0.0, math.pi / 2, diagonal, math.pi - diagonal, math.pi, -diagonal)
    axis_shares = _taste((3.0, 4.5, 0.8, 1.2, 0.5, 0.3), 0.5, rng)
    library = []
    for _ in range(int(rng.integers(8, 13))):
        kind = list(KINDS)[_pick(kinds, rng)]
        heading = axes[_pick(axis_shares, rng)] + rng.normal(0.0, 0.08)
        shape = draw_shape(kind, heading, rng)
        length = 0.05 if kind == "dot" else math.exp(rng.normal(0.0, 0.3))
        length *= 1.5 if kind in ("loop", "arc", "hook", "wave", "corner") else 1.0
        library.append(replace(shape, nodes=shape.nodes * length))
    shift = rng.normal(0.0, 0.35)  # an alphabet of few strokes, or of many
    counts = [share * math.exp(shift * i) for i, share in enumerate(STROKE_COUNTS)]
    return Style(
        library=tuple(library),
        usage=_taste([1.0] * len(library), 0.6, rng),
        counts=tuple(count / sum(counts) for count in counts),
        relations=_taste((0.25, 0.12, 0.23, 0.4), 0.4, rng),
        joined=rng.uniform(0.05, 0.4),
        size=math.exp(rng.normal(math.log(51.0), 0.15)),
        stretch=rng.normal(-0.03, 0.1),
    )


def _draft_shape(style: Style, joined: float, rng: np.random.Generator) -> Shape:
    """One stroke's shape: one of the library's at some scale, or two of them in one go."""
    parts = 2 if rng.random() < joined else 1
    nodes, sharp = np.zeros((1, 2)), (3,)
    for _ in range(parts):
        shape = style.library[_pick(style.usage, rng)]
        scale = math.exp(rng.normal(-0.1, 0.3)) * (0.75 if parts == 2 else 1.0)
        joint = 3 if rng.random() < 0.6 else 1
        nodes = np.concatenate([nodes, nodes[-1] + scale * shape.nodes[1:]])
        sharp = (*sharp[:-1], joint, *shape.sharp[1:])
    return Shape(nodes, sharp)


def _draft_stroke(
    style: Style, joined: float, curves: list[np.ndarray], rng: np.random.Generator
) -> Stroke:
    """A stroke for a character whose earlier strokes are `curves`."""
    shape = _draft_shape(style, joined, rng)
    if not curves:
        return Stroke(shape, np.zeros(2))
    relation = RELATIONS[_pick(style.relations, rng)]
    if relation == "independent":
        points = np.concatenate(curves, axis=1)[0]
        low, high = points.min(axis=0), points.max(axis=0)
        return Stroke(shape, low + rng.uniform(-0.15, 1.15, 2) * (high - low + 0.1))
    parent = int(rng.integers(len(curves)))
    at = {"start": 0.0, "end": 1.0, "along": rng.uniform(0.15, 0.85)}[relation]
    anchor = 0.5 if relation == "along" and rng.random() < 0.4 else 0.0
    return Stroke(shape, np.zeros(2), relation, parent, at, anchor)


def _squares(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Squared distances `[..., P, Q]` between the points `[..., P, 2]` and `[..., Q, 2]`."""
    x = a[..., :, None, 0] - b[..., None, :, 0]
    y = a[..., :, None, 1] - b[..., None, :, 1]
    return x * x + y * y


def _clutter(curves: list[np.ndarray], new: np.ndarray) -> float:
    """How badly a new curve sits: lying on the others, or stretching the character's box."""
    old = np.concatenate(curves, axis=1)
    gaps = _squares(new[0], old[0]).min(axis=1)
    both = np.concatenate([old, new], axis=1)[0]
    return float((gaps < 0.2**2).mean() + 0.7 * np.ptp(both, axis=0).max())


def _draft_character(style: Style, count: int, rng: np.random.Generator) -> list[Stroke]:
    """A character of `count` strokes in the units of the library."""
    joined = style.joined if count > 1 else max(style.joined, 0.6)
    strokes: list[Stroke] = []
    curves: list[np.ndarray] = []
    for _ in range(count):
        drafts = [_draft_stroke(style, joined, curves, rng) for _ in range(DRAFTS if curves else 1)]
        drawn = [ideal(draft, curves, _COARSE) for draft in drafts]
        best = int(np.argmin([_clutter(curves, new) for new in drawn])) if curves else 0
        strokes.append(drafts[best])
        curves.append(drawn[best])
    return strokes


def _crowding(curves: np.ndarray) -> float:
    """Share of a character's line that runs closer to another part of it than a reader likes.

    Args:
        curves: float64 `[strokes, samples, 2]`, in pixels of the 105 x 105 frame.
    """
    steps = np.sqrt(np.square(np.diff(curves, axis=1)).sum(axis=2))
    along = np.concatenate([np.zeros((len(curves), 1)), np.cumsum(steps, axis=1)], axis=1)
    # Strokes are put far apart on one long path, so one rule does for within and between.
    along = (along + 1000.0 * np.arange(len(curves))[:, None]).ravel()
    points = curves.reshape(-1, 2)
    near = _squares(points, points) < CLOSE**2
    weights = np.repeat(steps.sum(axis=1), curves.shape[1])
    crowded = (near & (np.abs(along[:, None] - along) > 2.5 * CLOSE)).any(axis=1)
    return float((weights * crowded).sum() / weights.sum())


def _unlike(points: np.ndarray, others: list[np.ndarray]) -> float:
    """Chamfer distance of `[P, 2]` to the nearest of `others`; infinite when there are none."""
    if not others:
        return math.inf
    gaps = np.sqrt(_squares(points, np.stack(others)))
    return float((gaps.min(axis=1).mean(axis=1) + gaps.min(axis=2).mean(axis=1)).min() / 2)


def _fitted(strokes: list[Stroke], middle: np.ndarray, scale: np.ndarray) -> tuple[Stroke, ...]:
    """The character moved by `-middle` and then scaled, `[2]` each."""
    return tuple(
        replace(
            s,
            shape=replace(s.shape, nodes=s.shape.nodes * scale),
            start=(s.start - middle) * scale if s.relation == "independent" else s.start,
        )
        for s in strokes
    )


def draw_alphabet(
    size: int, rng: np.random.Generator
) -> tuple[Style, tuple[tuple[Stroke, ...], ...]]:
    """Invent an alphabet of `size` characters that differ from one another.

    Returns:
        Its style and its characters, centred on the origin, in pixels of the 105 x 105 frame.
    """
    style = draw_style(rng)
    characters, seen = [], []
    while len(characters) < size:
        best, best_score = None, -math.inf
        # Fixed before the tries: else full characters, hard to keep clear, would become rare.
        count = 1 + _pick(style.counts, rng)
        for _ in range(TRIES):
            strokes = _draft_character(style, count, rng)
            curves = np.concatenate(ideal_character(strokes, _FINE))
            low, side = curves.min(axis=(0, 1)), np.ptp(curves, axis=(0, 1))
            middle = low + side / 2
            if side.max() < 0.3:  # nothing but dots
                continue
            # Characters of many strokes are drawn a little larger than plain ones.
            larger = style.size * count**0.1 * math.exp(rng.normal(0.0, 0.08))
            pixels = larger / side.max()
            points = ((curves - middle) / side.max()).reshape(-1, 2)[:: 2 * count]
            unlike = _unlike(points, seen) / MIN_DISTANCE
            crowding = _crowding(pixels * (curves - middle)[:, ::2]) / MAX_CROWDING
            score = min(unlike, 1.0) - max(crowding, 1.0)
            if score > best_score:
                best, best_score = (strokes, middle, pixels, points), score
            if score == 0.0:
                break
        if best is None:
            continue
        strokes, middle, pixels, points = best
        stretch = math.exp((style.stretch + rng.normal(0.0, 0.08)) / 2)
        characters.append(_fitted(strokes, middle, pixels * np.array([stretch, 1 / stretch])))
        seen.append(points)
    return style, tuple(characters)
