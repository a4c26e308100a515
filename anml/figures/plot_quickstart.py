"""The quickstart's figure: what three networks still know, class by class, as they learn."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from anml.figures.plot_style import INK, MUTED, TREATMENTS, Mark, say_source, style
from anml.quickstart import Outcome, seen_accuracy

NAME = "quickstart"
# In the order in which `anml.quickstart` compares them.
MARKS = (TREATMENTS["Scratch"], Mark("#777777", "D", (0, (5, 1.5))), TREATMENTS["ANML"])
# Nothing known is pale but not white: white is what is still to come.
KNOWN = LinearSegmentedColormap.from_list("known", ["#ECEEF2", "#8FC1E3", "#0072B2", "#00263F"])


def quickstart(outcomes: list[Outcome], source: str, network: str) -> Figure:
    """Draw one heat map a network over one curve each.

    `outcomes`: as `anml.quickstart.compare` returns them, at most one for each of `MARKS`;
    `source`: 'omniglot' or 'glyphs'; `network`: the networks' width in words, for the heading.
    """
    with style():
        figure = Figure(figsize=(9, 7.4))
        grid = figure.add_gridspec(
            *(2, len(outcomes)),
            height_ratios=(1.0, 0.85),
            **{"left": 0.075, "right": 0.9, "top": 0.845, "bottom": 0.075},
            **{"hspace": 0.3, "wspace": 0.1},
        )
        maps = []
        for place, outcome in enumerate(outcomes):
            axes = figure.add_subplot(grid[0, place], sharey=maps[0] if maps else None)
            image = _map(axes, outcome)
            axes.set_title(outcome.name, color=MARKS[place].colour, fontsize=10.5)
            axes.tick_params(labelleft=not maps)
            maps.append(axes)
        maps[0].set_ylabel("Which class, in the order learned")
        bar = figure.colorbar(image, cax=_beside(figure, maps[-1]), ticks=range(0, 101, 25))
        bar.set_label("Accuracy on the class, %", color=INK)
        bar.outline.set_visible(False)
        _curves(figure.add_subplot(grid[1, :]), outcomes)
        _heading(figure, outcomes, source, network)
    return figure


def _map(axes: Axes, outcome: Outcome) -> object:
    """Draw a history: time to the right, the first class on top, blank where still to come."""
    percent = 100 * outcome.mean.T
    edges = np.arange(len(percent) + 1) + 0.5
    # Hair-thin white edges: cells stay countable, also in vector graphics.
    image = axes.pcolormesh(
        *(edges, edges, np.ma.masked_invalid(percent)),
        **{"cmap": KNOWN, "vmin": 0, "vmax": 100, "edgecolors": "white", "linewidth": 0.3},
    )
    axes.set(xlim=(edges[0], edges[-1]), ylim=(edges[-1], edges[0]), aspect="equal")
    axes.grid(False)
    axes.set_xlabel("Classes learned so far")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(FixedLocator(_ticks(len(percent))))
    return image


def _ticks(n: int) -> list[int]:
    """Return 1, `n`, and round numbers between them."""
    apart = max(1, round(n / 20) * 5)
    return [1, *(k for k in range(apart, n, apart) if 1 < k <= n - apart / 2), n]


def _beside(figure: Figure, axes: Axes) -> Axes:
    """Return axes for a colour bar to the right of `axes`."""
    axes.apply_aspect()
    box = axes.get_position()
    return figure.add_axes((box.x1 + 0.015, box.y0, 0.014, box.height))


def _curves(axes: Axes, outcomes: list[Outcome]) -> None:
    """Draw accuracy on everything learned so far; thin lines are single trajectories."""
    n = len(outcomes[0].mean)
    time = np.arange(1, n + 1)
    axes.plot(
        time,
        100 / time,
        color=MUTED,
        linewidth=1.2,
        linestyle=":",
        label="knowing the last class only",
    )
    for outcome, mark in zip(outcomes, MARKS, strict=False):
        single, mean = 100 * seen_accuracy(outcome.history), 100 * seen_accuracy(outcome.mean)
        axes.plot(time, single.T, color=mark.colour, linewidth=0.8, alpha=0.35, label="_single")
        axes.plot(
            *(time, mean),
            **{"color": mark.colour, "marker": mark.marker, "linestyle": mark.line},
            **{"markeredgecolor": "white", "markeredgewidth": 0.8, "label": outcome.name},
        )
        axes.annotate(
            f"{mean[-1]:.0f} %",
            *((n, mean[-1]), (9, 0), "data", "offset points"),
            **{"color": mark.colour, "va": "center", "fontweight": "bold"},
        )
    axes.set(xlim=(0.5, n + 0.5), ylim=(-3, 118), ylabel="Accuracy, %")
    axes.set_xlabel("Classes learned so far")
    axes.set_title("Accuracy on everything learned so far", fontsize=10.5)
    axes.xaxis.set_major_locator(FixedLocator(_ticks(n)))
    axes.yaxis.set_major_locator(FixedLocator(range(0, 101, 20)))
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], loc="upper right", ncols=2)


def _heading(figure: Figure, outcomes: list[Outcome], source: str, network: str) -> None:
    """Say on the figure itself which drawings and networks these are."""
    trajectories, n, _ = outcomes[0].history.shape
    say_source(figure, source, 0.968)
    lines = (
        f"{n} unseen classes learned in turn, 15 drawings each, held-out drawings asked about; "
        f"mean of {trajectories} trajectories",
        network,
    )
    for line, height in zip(lines, (0.929, 0.895), strict=True):
        figure.text(0.012, height, line, fontsize=9, color=MUTED, va="center")
