"""Testing accuracy by when a class was learned: at other rates, and with another head."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from anml.figures.plot_curves import LEGEND, draw_curve, heading
from anml.figures.plot_style import MUTED, Mark, style
from anml.findings.head_found import HELD, SGD, USUAL, ZERO
from anml.results import Provenance
from anml.store.tables import TESTING

NAME = "head_order"
RATES = (
    Mark("#8EC1E6", "^", (0, (1.5, 1.2))),
    Mark("#3B8FC4", "s", (0, (5, 1.5))),
    Mark("#0B5C94", "o"),
    Mark("#12205E", "D", (0, (4, 1.2, 1, 1.2))),
)
"""Of Adam's rates, the smallest first."""
RULES = {
    USUAL: Mark("#0072B2", "o"),
    HELD: Mark("#D55E00", "s", (0, (5, 1.5))),
    ZERO: Mark("#009E73", "^", (0, (4, 1.2, 1, 1.2))),
    SGD: Mark("#CC79A7", "v", (0, (1.5, 1.2))),
}


def head_figure(values: pd.DataFrame, provenance: Provenance) -> Figure:
    """Draw `part_values`: Adam at each rate (left), and every rule at its best rate (right)."""
    shown = values[values["metric"] == TESTING]
    usual = shown[shown["rule"] == USUAL]
    with style():
        figure = Figure(figsize=(9, 5.4))
        left, right = figure.subplots(1, 2, sharey=True)
        for mark, (rate, curve) in zip(RATES, usual.groupby("learning_rate"), strict=True):
            _draw(left, curve, mark, f"{rate:g}" + ", the best" * bool(curve["best"].all()))
        for rule, curve in shown[shown["best"]].groupby("rule", sort=False):
            _draw(right, curve, RULES[rule], f"{rule} ({curve['learning_rate'].iloc[0]:g})")
        titles = ("Adam, by its rate", "Each way at its best rate (in brackets)")
        for axis, title in zip((left, right), titles, strict=True):
            _finish(axis, shown, title)
        left.set_ylabel("Testing accuracy at the end, %")
        figure.subplots_adjust(left=0.072, right=0.99, top=0.8, bottom=0.31, wspace=0.06)
        for axis, x in ((left, 0.06), (right, 0.53)):
            handles, labels = axis.get_legend_handles_labels()
            place = {"loc": "upper left", "bbox_to_anchor": (x, 0.205)}
            figure.legend(handles, labels, **place, **LEGEND)
        heading(figure, shown, provenance, optimizer=None)
    return figure


def _draw(axis: Axes, curve: pd.DataFrame, mark: Mark, label: str) -> None:
    """One line with its band, against the tenth of the classes."""
    draw_curve(axis, curve.assign(n_classes=curve["part"]), mark, markersize=5, label=label)


def _finish(axis: Axes, values: pd.DataFrame, title: str) -> None:
    parts, n = int(values["part"].max()), int(values["n_classes"].iloc[0])
    axis.axhline(100 / n, color=MUTED, linestyle=":", linewidth=1.2)
    axis.set_xlim(0.5, parts + 0.5)
    axis.set_ylim(-2, 104)
    axis.set_xticks(range(1, parts + 1))
    axis.set_title(title, loc="left")
    axis.set_xlabel(f"Tenth of the N = {n} classes, first learned to last")
