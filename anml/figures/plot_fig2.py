"""Figure 2: the procedure, drawn from the numbers that a run of it went through.

Tall and narrow, with few words, so that it can be read on a small screen too.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import cos, radians, sin

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from anml.figures.plot_fig1 import ROLES, Role, tint
from anml.figures.plot_style import INK, MUTED, style
from anml.figures.procedure import Procedure

NAME = "fig2_procedure"
WIDTH, HEIGHT = 10.0, 18.7
INCHES = 0.52  # of one unit
SMALL, TEXT, TITLE = 10.0, 11.0, 12.5
INNER, OUTER, META_TEST = ROLES
EXAM = "#0072B2"
COLUMNS = 17  # of the drawings under the meta-loss
INNER_Y = 15.3  # of the inner loop's drawings

Point = tuple[float, float]
# Made-up characters, no drawing of any data set: strokes as points in [-1, 1].
CHARACTERS: tuple[tuple[tuple[Point, ...], ...], ...] = (
    (((-0.8, 0.8), (-0.8, -0.7), (0.8, -0.7)), ((-0.2, 0.7), (0.7, 0.3), (0.1, -0.2))),
    (((-0.8, 0.6), (0.8, 0.6)), ((0.0, 0.6), (0.0, -0.8)), ((-0.6, -0.8), (0.0, -0.3))),
    (((-0.7, -0.8), (0.0, 0.8), (0.7, -0.8)), ((-0.35, -0.1), (0.35, -0.1))),
    (((-0.7, 0.7), (0.6, 0.7), (-0.6, -0.7), (0.7, -0.7)),),
    (((-0.6, 0.8), (-0.6, -0.8)), ((-0.6, 0.1), (0.6, 0.8)), ((-0.2, 0.3), (0.7, -0.8))),
    (((0.6, 0.7), (-0.6, 0.4), (-0.5, -0.7), (0.6, -0.6)), ((-0.1, 0.0), (0.6, 0.0))),
)


def fig2(procedure: Procedure) -> Figure:
    """Draw meta-training's two loops and a meta-test trajectory with the numbers of `procedure`."""
    with style():
        figure = Figure(figsize=(WIDTH * INCHES, HEIGHT * INCHES))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, WIDTH), ylim=(0, HEIGHT), aspect="equal")
        axes.axis("off")
        _meta_training(axes, procedure)
        _meta_testing(axes, procedure)
    return figure


def _meta_training(axes: Axes, procedure: Procedure) -> None:
    """The upper panel: the inner loop inside the outer one, and the exam between them."""
    _panel(axes, (0.1, 7.35, 9.8, 11.25), INK, 0.05)
    _title(axes, 18.15, "Meta-training", "Algorithm 1")
    again = f"{procedure.meta_iterations:,} times:"
    axes.text(0.5, 17.5, again, fontsize=TEXT, va="center", fontweight="bold")
    _lines(axes, 0.5, 17.02, "draw one class, and its row of the head anew")

    _panel(axes, (1.2, 13.25, 8.4, 3.45), INNER.colour, 0.12)
    _heading(axes, 1.5, 16.25, INNER, "Inner loop: meta-train training")
    places = (2.05, 3.85, 5.65, 8.75)
    numbers = ("1", "2", "3", str(procedure.sgd_steps))
    for place, (x, number) in enumerate(zip(places, numbers, strict=True)):
        _drawing(axes, x, INNER_Y, 0.5, 0, place, INNER.colour)
        axes.text(x, INNER_Y - 0.72, number, ha="center", va="center", fontsize=SMALL, color=MUTED)
    for start, end in ((2.65, 3.25), (4.45, 5.05), (6.25, 6.85), (7.55, 8.15)):
        _arrow(axes, (start, INNER_Y), (end, INNER_Y), INNER.colour)
    axes.text(7.2, INNER_Y, "…", ha="center", va="center", fontsize=TITLE)
    _lines(
        axes,
        *(1.5, 14.12),
        f"{procedure.sgd_steps} drawings of this class, one SGD step on each",
        f"moves: {_listed(procedure.inner_parts)}",
    )

    _arrow(axes, (5.4, 13.2), (5.4, 12.62), INK)
    axes.text(5.65, 12.93, "the adapted copy", va="center", fontsize=SMALL, color=MUTED)

    _panel(axes, (1.2, 8.25, 8.4, 4.3), EXAM, 0.1)
    heading = {"fontsize": TEXT, "fontweight": "bold", "va": "center"}
    axes.text(1.5, 12.12, "Meta-loss: meta-train testing", color=EXAM, **heading)
    _exam(axes, procedure)
    _return(axes, procedure)


def _exam(axes: Axes, procedure: Procedure) -> None:
    """Every drawing under the meta-loss: those just learned, then the remember set."""
    rows = -(-procedure.exam // COLUMNS)
    pitch = min(7.9 / COLUMNS, 2.4 / rows)
    # A pattern of many classes, no record of which.
    others = np.random.default_rng(0).integers(1, len(CHARACTERS), procedure.exam)
    left, top = 5.4 - pitch * (COLUMNS - 1) / 2, 11.6
    for place in range(procedure.exam):
        row, column = divmod(place, COLUMNS)
        learned = place < procedure.sgd_steps
        character = 0 if learned else others[place]
        centre = (left + pitch * column, top - pitch * row)
        colour = INNER.colour if learned else MUTED
        _drawing(axes, *centre, 0.45 * pitch, character, place, colour)
    _lines(
        axes,
        *(1.5, 9.15),
        f"{procedure.sgd_steps} just learned + {procedure.remember} of any class (remember set)",
        f"loss: mean cross-entropy over the {procedure.exam}",
    )


def _return(axes: Axes, procedure: Procedure) -> None:
    """The meta-gradient's way back, from the loss through the inner loop to where it started."""
    path = [1.15, 0.72, 0.72, 1.0], [10.2, 10.2, INNER_Y, INNER_Y]
    axes.plot(*path, color=OUTER.colour, linewidth=1.8, solid_joinstyle="round")
    _arrow(axes, (0.95, INNER_Y), (1.5, INNER_Y), OUTER.colour)
    words = f"meta-gradient through all {procedure.sgd_steps} steps"
    axes.text(
        0.42, (10.2 + INNER_Y) / 2, words, rotation=90, ha="center", va="center", fontsize=SMALL
    )
    learned = f"one step of Adam on the initial {_listed(procedure.outer_parts)}"
    axes.plot([0.72], [7.8], OUTER.marker, color=OUTER.colour, markersize=6)
    _lines(axes, 1.02, 7.8, learned)


def _meta_testing(axes: Axes, procedure: Procedure) -> None:
    """The lower panel: a trajectory of classes, and what is measured behind it."""
    _arrow(axes, (5.4, 7.3), (5.4, 6.72), INK)
    _panel(axes, (0.1, 0.1, 9.8, 6.55), INK, 0.05)
    _title(axes, 6.2, "Meta-testing", "Algorithm 2")
    _panel(axes, (0.4, 2.55, 9.2, 3.2), META_TEST.colour, 0.14)
    _heading(axes, 0.7, 5.35, META_TEST, "Trajectory: meta-test training")
    places, names = (1.65, 3.95, 6.25, 8.55), ("class 1", "class 2", "class 3", "class N")
    for index, (x, name) in enumerate(zip(places, names, strict=True)):
        _class(axes, x, 4.45, 1 + index, procedure.train_drawings)
        axes.text(x, 3.72, name, ha="center", va="center", fontsize=SMALL, color=MUTED)
    for left, right in pairwise(places):
        middle = (left + right) / 2
        _arrow(axes, (middle - 0.2, 4.45), (middle + 0.22, 4.45), META_TEST.colour)
    axes.text(middle, 4.6, "…", ha="center", va="bottom", fontsize=TITLE)
    moved = f"moves: {_listed(procedure.meta_test_parts)}, drawn anew before"
    _lines(
        axes,
        *(0.7, 3.32),
        f"N new classes × {procedure.train_drawings} drawings, one step on each, none twice",
        f"N up to {max(procedure.n_classes)}; {moved}",
    )
    _outcomes(axes, procedure)


def _class(axes: Axes, x: float, y: float, character: int, drawings: int) -> None:
    """The training drawings of one class, five a row."""
    half, columns = 0.175, 5
    rows = -(-drawings // columns)
    for place in range(drawings):
        row, column = divmod(place, columns)
        centre = (x + 2 * half * (column - 2), y - 2 * half * (row - (rows - 1) / 2))
        _drawing(axes, *centre, half * 0.92, character, place, META_TEST.colour)


def _outcomes(axes: Axes, procedure: Procedure) -> None:
    """The two accuracies: on the drawings learned from, and on the held-out ones."""
    axes.text(
        *(0.5, 2.12, "After the last class: meta-test testing"),
        fontsize=TEXT,
        va="center",
        fontweight="bold",
    )
    train, test = procedure.train_drawings, procedure.test_drawings
    outcomes = (
        (f"N × {train} learned from", "training accuracy:", "does it still know them?"),
        (f"N × {test} held out", "testing accuracy:", "did it learn the characters?"),
    )
    for left, lines in zip((0.4, 5.1), outcomes, strict=True):
        _panel(axes, (left, 0.35, 4.5, 1.45), EXAM, 0.1)
        for row, line in enumerate(lines):
            weight = "bold" if row == 1 else "normal"
            axes.text(
                left + 0.25, 1.5 - 0.42 * row, line, fontsize=SMALL, va="center", weight=weight
            )


def _panel(
    axes: Axes, corner_and_size: tuple[float, float, float, float], colour: str, share: float
) -> None:
    """A rounded box, tinted by `share` of `colour`."""
    left, low, width, height = corner_and_size
    axes.add_patch(
        FancyBboxPatch(
            *((left, low), width, height),
            boxstyle="round,pad=0,rounding_size=0.2",
            facecolor=tint(colour, share),
            edgecolor=tint(colour, 0.5),
            linewidth=1,
        )
    )


def _title(axes: Axes, y: float, name: str, algorithm: str) -> None:
    """A panel's name on the left and its algorithm on the right."""
    axes.text(0.5, y, name, fontsize=TITLE, fontweight="bold", va="center")
    axes.text(9.5, y, algorithm, fontsize=TEXT, color=MUTED, va="center", ha="right")


def _heading(axes: Axes, x: float, y: float, role: Role, text: str) -> None:
    """A stage's name behind the mark that its weights have in Figure 1."""
    axes.plot([x + 0.12], [y], role.marker, color=role.colour, markersize=6)
    axes.text(x + 0.4, y, text, fontsize=TEXT, fontweight="bold", va="center")


def _lines(axes: Axes, x: float, y: float, *lines: str) -> None:
    """Lines of text from `y` downwards."""
    for row, line in enumerate(lines):
        axes.text(x, y - 0.45 * row, line, fontsize=SMALL, va="center")


def _arrow(axes: Axes, start: Point, end: Point, colour: str) -> None:
    axes.add_patch(
        FancyArrowPatch(
            *(start, end),
            arrowstyle="-|>",
            mutation_scale=11,
            linewidth=1.6,
            color=colour,
            shrinkA=0,
            shrinkB=0,
        )
    )


def _drawing(
    axes: Axes, x: float, y: float, half: float, character: int, writer: int, colour: str
) -> None:
    """One made-up character on its tile, turned a little differently for each writer."""
    _tile(axes, x, y, half, colour)
    angle = radians((37 * writer) % 29 - 14)
    size = half * (0.6 + 0.08 * ((writer * 5) % 3 - 1))
    for stroke in CHARACTERS[character % len(CHARACTERS)]:
        turned = [
            (
                x + size * (a * cos(angle) - b * sin(angle)),
                y + size * (a * sin(angle) + b * cos(angle)),
            )
            for a, b in stroke
        ]
        _stroke(axes, turned, 3.2 * half**0.75, INK)


def _tile(axes: Axes, x: float, y: float, half: float, colour: str) -> None:
    axes.add_patch(
        FancyBboxPatch(
            *((x - half, y - half), 2 * half, 2 * half),
            boxstyle=f"round,pad=0,rounding_size={0.2 * half}",
            facecolor="white",
            edgecolor=colour,
            linewidth=0.6 + 0.8 * half,
        )
    )


def _stroke(axes: Axes, points: Sequence[Point], width: float, colour: str) -> None:
    axes.plot(
        *zip(*points, strict=True),
        color=colour,
        linewidth=width,
        solid_capstyle="round",
        solid_joinstyle="round",
    )


def _listed(parts: Sequence[str]) -> str:
    """Return names as prose: `PLN's convolutions and head`."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))
