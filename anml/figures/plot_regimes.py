"""One treatment a column, two regimes against each other: what Figures 4 and S7 share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from anml.figures.plot_curves import (
    LEGEND,
    draw_curve,
    draw_marks,
    hollow,
    number_axis,
    number_ticks,
)
from anml.figures.plot_style import INK, MUTED, SOURCES, TREATMENTS
from anml.findings.curves import METRICS

PAPER = ("paper",)
"""The source of the marks: the replications ran neither the Oracles nor many epochs."""


@dataclass(frozen=True)
class Look:
    """How a regime is drawn, whatever the treatment: its name, its line, filled markers or not."""

    label: str
    line: str | tuple[float, tuple[float, ...]]
    filled: bool


REGIMES = {
    "sequential": Look("one class after another, each drawing once", "-", True),
    "oracle": Look("Oracle: the same drawings shuffled, each once", (0, (4, 1.4)), False),
    "oracle 20 epochs": Look("20 shuffled epochs", "-", True),
}


def regime_panels(
    axes: np.ndarray,
    values: pd.DataFrame,
    marks: pd.DataFrame,
    treatments: Sequence[str],
    regimes: tuple[str, str],
) -> None:
    """Draw training and testing accuracy (rows of `axes` `[2, treatments]`) under two regimes.

    `values` is `curve_values` of `anml.findings.curves`, `marks` its `published_marks`. What lies
    between the two curves is shaded. A treatment or regime that was not run leaves its place empty
    and says so.
    """
    numbers = sorted({*values["n_classes"], *marks["n_classes"]})
    for row, (metric, title) in zip(axes, METRICS, strict=True):
        for axis, treatment in zip(row, treatments, strict=True):
            number_axis(axis, numbers)
            here, beside = (
                frame[(frame["metric"] == metric) & (frame["treatment"] == treatment)]
                for frame in (values, marks)
            )
            _panel(axis, here, beside, treatment, regimes)
            number_ticks(axis, numbers, apart=2.6)
        row[0].set_ylabel(f"{title.removeprefix('Meta-test ').capitalize()}, %")
    for axis, treatment in zip(axes[0], treatments, strict=True):
        axis.set_title(treatment, fontsize=10)
    axes[1, len(treatments) // 2].set_xlabel("Classes learned, N")


def _panel(
    axis: Axes, values: pd.DataFrame, marks: pd.DataFrame, treatment: str, regimes: tuple[str, str]
) -> None:
    """Draw one treatment's two curves, what lies between them, and the paper's numbers."""
    mark = TREATMENTS[treatment]
    curves = [values[values["regime"] == regime] for regime in regimes]
    both = curves[0].merge(curves[1], on="n_classes")
    axis.fill_between(
        *(both["n_classes"], 100 * both["mean_x"], 100 * both["mean_y"]),
        color=mark.colour,
        alpha=0.10,
        linewidth=0,
    )
    for regime, curve in zip(regimes, curves, strict=True):
        look = REGIMES[regime]
        draw_curve(axis, curve, mark, linestyle=look.line, **_marker(look, mark.colour))
        face = mark.colour + "55" if look.filled else "white"
        draw_marks(axis, marks[marks["regime"] == regime], face)
    missing = [r for r, curve in zip(regimes, curves, strict=True) if curve.empty]
    if missing:
        note = "not run\nat this scale" if len(missing) == 2 else f"{missing[0]}:\nnot run"
        axis.text(*(0.5, 0.5, note), transform=axis.transAxes, ha="center", color=MUTED, fontsize=9)


def _marker(look: Look, colour: str) -> dict[str, object]:
    if look.filled:
        return {"markersize": 5}
    return {"markersize": 5, "markerfacecolor": "white", "markeredgecolor": colour}


def regime_legend(
    figure: Figure, marks: pd.DataFrame, regimes: tuple[str, str], top: float, omniglot: bool
) -> None:
    """Say below the panels, at `top` in figure units, how regimes and published numbers look."""
    handles = []
    for regime in regimes:
        look = REGIMES[regime]
        style = {"color": INK, "marker": "o", "linestyle": look.line}
        face = INK if look.filled else "white"
        handles.append(Line2D([], [], label=look.label, markerfacecolor=face, **style))
    handles.append(Line2D([], [], color=MUTED, linestyle=":", linewidth=1.2, label="chance, 1/N"))
    corner = {"loc": "upper left", "bbox_to_anchor": (0.05, top)}
    figure.legend(handles=handles, title="Measured here (colour: treatment)", **corner, **LEGEND)
    stars = []
    for regime in regimes:
        if regime in set(marks["regime"]):
            face = INK + "55" if REGIMES[regime].filled else "white"
            look = hollow(SOURCES["paper"].marker, INK) | {"markerfacecolor": face}
            stars.append(Line2D([], [], label=f"paper, {regime}", **look))
    if stars:
        corner["bbox_to_anchor"] = (0.56, top)
        title = "Published: Omniglot, full width"
        figure.legend(handles=stars, title=title, **corner, **LEGEND)
    else:
        why = "measured on other drawings" if not omniglot else "none for these curves"
        figure.text(0.58, top - 0.03, f"No published points: {why}.", color=MUTED, va="top")
