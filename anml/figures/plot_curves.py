"""Accuracy against the number of classes learned, drawn: what Figures 3, 4, S7 and S8 share.

Measured curves have filled markers; published numbers are hollow marks beside them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from anml.figures.plot_style import INK, MUTED, SOURCES, TREATMENTS, WARNING, Mark, say_source
from anml.findings.curves import METRICS, network_label, replicate_words
from anml.results import SOURCE_LABELS, Provenance
from anml.stats import LEVEL

OPTIMIZERS = {"adam": "Adam", "sgd": "SGD"}
LEGEND = {"alignment": "left", "handlelength": 3.2, "title_fontproperties": {"weight": "bold"}}


def draw_curve(axis: Axes, curve: pd.DataFrame, mark: Mark, **changes: object) -> None:
    """Draw one treatment under one regime: means with their band, in per cent."""
    n, mean, low, high = (curve[name] for name in ("n_classes", "mean", "low", "high"))
    axis.fill_between(n, 100 * low, 100 * high, color=mark.colour, alpha=0.18, linewidth=0)
    look = {
        "color": mark.colour,
        "marker": mark.marker,
        "markersize": mark.size,
        "linestyle": mark.line,
        "markeredgecolor": "white",
        "markeredgewidth": 0.8,
        "zorder": 3,
    }
    axis.plot(n, 100 * mean, **(look | changes))


def draw_marks(axis: Axes, marks: pd.DataFrame, face: str = "white") -> None:
    """Draw published numbers; those that are bounds as lines that point down."""
    points = marks[marks["kind"] == "point"]
    for (source, treatment), group in points.groupby(["source", "treatment"]):
        mark = SOURCES[source]
        look = hollow(mark.marker, TREATMENTS[treatment].colour) | {"markerfacecolor": face}
        axis.plot(group["n_classes"] * mark.beside, 100 * group["value"], **look)
    bounds = marks[marks["kind"] != "point"]
    # Bounds that coincide stand side by side.
    places = bounds.groupby(["n_classes", "value"]).cumcount()
    for row, place in zip(bounds.itertuples(), places, strict=True):
        colour, level = TREATMENTS[row.treatment].colour, 100 * row.value
        start = row.n_classes * 1.12**place
        end = axis.get_xlim()[1] if row.kind == "onwards" else start * 1.09
        axis.plot([start, end], [level, level], color=colour, linewidth=1.3, zorder=4)
        axis.plot([start], [level], **bound(colour))


def hollow(marker: str, colour: str) -> dict[str, object]:
    """Return how a published point is drawn."""
    return {
        "marker": marker,
        "linestyle": "none",
        "markerfacecolor": "white",
        "markeredgecolor": colour,
        "markeredgewidth": 1.3,
        "markersize": 11 if marker == "*" else 8,
        "zorder": 4,
        "clip_on": False,
    }


def bound(colour: str) -> dict[str, object]:
    """Return how a published upper bound is drawn: an arrow down on its line."""
    return hollow("$\\downarrow$", colour) | {"markeredgewidth": 0.6, "markerfacecolor": colour}


def number_axis(axis: Axes, numbers: Sequence[int], *, chance: bool = True) -> None:
    """Make `axis` one of accuracy in per cent against the numbers of classes, logarithmic."""
    span = np.geomspace(numbers[0] / 1.2, numbers[-1] * 1.26, 100)
    if chance:
        axis.plot(span, 100 / span, color=MUTED, linewidth=1.2, linestyle=":", zorder=1)
    axis.set_xscale("log")
    axis.set_xlim(span[0], span[-1])
    axis.set_ylim(-2, 104)
    axis.yaxis.set_major_locator(FixedLocator(range(0, 101, 20)))


def number_ticks(axis: Axes, numbers: Sequence[int], apart: float = 1.36) -> None:
    """Label the numbers whose labels fit, `apart` as factors; the last one always."""
    ticks: list[int] = []
    for number in reversed(numbers):
        if not ticks or ticks[-1] / number >= apart:
            ticks.append(number)
    axis.xaxis.set_major_locator(FixedLocator(ticks[::-1]))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xticklabels([f"{tick:,}" for tick in ticks[::-1]])


def heading(
    figure: Figure, values: pd.DataFrame, provenance: Provenance, optimizer: str | None = "adam"
) -> None:
    """Say on the figure itself what was measured on what, and what the bands are.

    `optimizer`: None where several are shown, which the figure then names.
    """
    learned_with = f", {OPTIMIZERS[optimizer]} at meta-test" if optimizer else ""
    say_source(figure, provenance.data_source, _from_top(figure, 0.21))
    lines = (
        network_label(provenance),
        f"Profile {provenance.profile}{learned_with}; mean and "
        f"{LEVEL:.0%} two-level bootstrap interval over {replicate_words(values)}"
        + (" (trajectories only: one model)" if values["models"].max() == 1 else ""),
    )
    for line, inches in zip(lines, (0.46, 0.68), strict=True):
        figure.text(0.012, _from_top(figure, inches), line, fontsize=9, color=MUTED, va="center")


def one_line_heading(figure: Figure, provenance: Provenance, words: str) -> None:
    """Say in small print above a figure with a layout of its own which results it shows."""
    real = provenance.data_source == "omniglot"
    text = f"{SOURCE_LABELS[provenance.data_source]}; profile {provenance.profile}; {words}\n"
    look = {"x": 0.01, "ha": "left", "fontsize": 8.5, "color": MUTED if real else WARNING}
    figure.suptitle(text + network_label(provenance), **look)


def _from_top(figure: Figure, inches: float) -> float:
    return 1 - inches / figure.get_figheight()


def two_panels(
    values: pd.DataFrame, marks: pd.DataFrame, provenance: Provenance, optimizer: str, height: float
) -> Figure:
    """Draw training (left) and testing accuracy (right), a curve a treatment, published marks.

    `height` in inches: the panels take the same of it always, and the legends below what is left.
    """
    figure = Figure(figsize=(9, height))
    axes = figure.subplots(1, 2, sharey=True)
    numbers = sorted({*values["n_classes"], *marks["n_classes"]})
    for axis, (metric, title) in zip(axes, METRICS, strict=True):
        number_axis(axis, numbers)
        for treatment, curve in values[values["metric"] == metric].groupby("treatment", sort=False):
            draw_curve(axis, curve, TREATMENTS[treatment])
        draw_marks(axis, marks[marks["metric"] == metric])
        number_ticks(axis, numbers)
        axis.set_title(title)
        axis.set_xlabel("Classes learned one after another, N")
    axes[0].set_ylabel("Accuracy, %")
    legend_top = (height - 4.45) / height
    figure.subplots_adjust(
        left=0.072, right=0.99, top=1 - 1.18 / height, bottom=legend_top + 0.475 / height
    )
    figure.subplots_adjust(wspace=0.06)
    heading(figure, values, provenance, optimizer)
    handles = treatment_handles(values["treatment"].unique())
    place = {"loc": "upper left", "bbox_to_anchor": (0.045, legend_top)}
    figure.legend(
        handles=handles, title="Measured here", ncols=2, columnspacing=1.2, **place, **LEGEND
    )
    published_legend(figure, marks, (0.55, legend_top), provenance)
    return figure


def treatment_handles(treatments: Sequence[str]) -> list[Line2D]:
    """Return legend entries of treatments, and of chance."""
    handles = []
    for name in treatments:
        mark = TREATMENTS[name]
        look = {"color": mark.colour, "marker": mark.marker, "linestyle": mark.line}
        look["markersize"] = mark.size
        handles.append(Line2D([], [], label=name, **look))
    chance = Line2D([], [], color=MUTED, linestyle=":", linewidth=1.2, label="chance, 1/N")
    return [*handles, chance]


def published_legend(
    figure: Figure, marks: pd.DataFrame, corner: tuple[float, float], provenance: Provenance
) -> None:
    """Say at `corner` (upper left, in figure units) which published marks there are, if any."""
    if marks.empty:
        note = (
            "No published numbers for these curves."
            if provenance.data_source == "omniglot"
            else "The published points are left off:\nthey were measured on Omniglot."
        )
        figure.text(
            *(corner[0] + 0.025, corner[1] - 0.04), note, color=MUTED, va="top", linespacing=1.5
        )
        return
    handles = [
        Line2D([], [], **hollow(mark.marker, INK), label=mark.label)
        for source, mark in SOURCES.items()
        if source in set(marks.loc[marks["kind"] == "point", "source"])
    ]
    if (marks["kind"] != "point").any():
        handles.append(Line2D([], [], **bound(INK), label="paper: below this"))
    figure.legend(
        handles=handles,
        title="Published: Omniglot, full width",
        loc="upper left",
        bbox_to_anchor=corner,
        **LEGEND,
    )
