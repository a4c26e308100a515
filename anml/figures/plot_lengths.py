"""What meta-training is worth, drawn: accuracy and activity by meta-iterations, a line a width."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from anml.figures.plot_curves import hollow, number_ticks
from anml.figures.plot_style import INK, MUTED, SOURCES, WARNING, style
from anml.figures.plot_style import TREATMENTS as MARKS
from anml.findings.claims import published
from anml.findings.curves import replicate_words
from anml.findings.lengths_compared import ORDERS
from anml.findings.lengths_found import (
    AFTER_GATE,
    KEPT,
    PAPER_LENGTH,
    Tables,
    by_width,
    gate_values,
    length_values,
)
from anml.findings.lengths_said import stated
from anml.meta_testing.regimes import ORACLE, SEQUENTIAL
from anml.results import SOURCE_LABELS
from anml.running.length_names import TREATMENT, UNITS, units
from anml.stats import LEVEL
from anml.store.tables import TESTING

NAME = "lengths"
COMPARED_NAME = "lengths_compared"
REGIME_TITLES = {SEQUENTIAL.name: "Class after class", ORACLE.name: "In random order (Oracle)"}
Look = tuple[str, str, float]
LOOKS: tuple[Look, ...] = (("-", "o", 1.0), ("--", "s", 0.6), (":", "^", 0.6))
"""Of the widest network, the next and the narrowest: line, marker, opacity."""
BESIDE = 1.075
"""By which factor compared treatments stand apart about a length, so that none hides another."""
OTHER_LENGTHS = {"higherANML replication": 30_000}
"""Meta-iterations of published numbers whose source says that they are not the paper's."""


def lengths_figure(
    tables: Tables,
    activity: Tables,
    kept: Tables | None = None,
    kept_activity: Tables | None = None,
) -> Figure:
    """Draw accuracy by meta-iterations, a panel an N, the Oracle's at the longest N, and activity.

    `tables` and `activity` are `lengths` and `length_activity` tables by profile; the others those
    of models whose redrawn rows were kept, where there are any. The Oracle has no panel where no
    table has it.
    """
    accuracy, gate = length_values(tables), gate_values(activity)
    other, other_gate = length_values(kept or {}), gate_values(kept_activity or {})
    sources = {table.provenance.data_source for table in tables.values()}
    real = sources == {"omniglot"}
    looks = dict(zip(by_width(tables), LOOKS, strict=False))
    panels = [(REGIME_TITLES[regime], regime, n) for regime, n in _shown(accuracy)]
    with style():
        columns = 2 if len(panels) == 3 else 3  # with the gate's, four panels make a square
        rows = math.ceil((len(panels) + 1) / columns)
        figure = Figure(figsize=(9, 1 + 3.3 * rows), layout="constrained")
        _head(figure, sources, f"{TREATMENT}; {replicate_words(accuracy)}")
        grid, axes = figure.add_gridspec(rows, columns), []
        for place in range(len(panels) + 1):
            first = axes[0] if axes else None
            of_accuracy = first if place < len(panels) else None
            axes.append(figure.add_subplot(grid[place], sharex=first, sharey=of_accuracy))
        for axis, (title, regime, n) in zip(axes, panels, strict=False):
            own = accuracy[(accuracy["regime"] == regime) & (accuracy["n_classes"] == n)]
            _draw_widths(axis, own, looks)
            if not other.empty:
                of_panel = (other["regime"] == regime) & (other["n_classes"] == n)
                _draw_widths(axis, other[of_panel], looks, KEPT)
            if real:
                _draw_published(axis, TESTING, regime, str(n))
            axis.set_title(f"{title}, N = {n}")
            axis.set_ylabel("meta-test testing accuracy, %")
        _draw_widths(axes[-1], gate, looks)
        _draw_widths(axes[-1], other_gate, looks, KEPT)
        if real:
            _draw_published(axes[-1], AFTER_GATE, "representation", "")
        axes[-1].set_title("Units active after the gate")
        axes[-1].set_ylabel("% of units")
        for axis in axes:
            shown = {*accuracy["iterations"], *([PAPER_LENGTH] if real else [])}
            _length_axis(axis, sorted(shown))
        _legend_below(figure, axes, 3 if other.empty else 2)  # what is kept has long labels
    return figure


def compared_figure(values: pd.DataFrame) -> Figure:
    """Draw ANML and others by the length of training, a panel a width and N, in both orders; stars
    are what the paper states after its 20,000.

    `values`: of `anml.findings.lengths_compared.compared_values`, on Omniglot, not empty.
    """
    panels = list(values.groupby(["width", "n_classes"], sort=False))
    with style():
        rows = math.ceil(len(panels) / 2)
        figure = Figure(figsize=(9, 1.2 + 3.3 * rows), layout="constrained")
        _head(figure, {"omniglot"}, replicate_words(values), "; stars: the paper")
        axes = figure.subplots(rows, 2, sharey=True, squeeze=False).flatten()
        names = list(values["treatment"].unique())
        middle = (len(names) - 1) / 2
        besides = {name: BESIDE ** (place - middle) for place, name in enumerate(names)}
        ends = (values["iterations"].min() / 1.6, PAPER_LENGTH * 1.6)
        for axis, ((width, n), own) in zip(axes, panels, strict=False):
            for (treatment, regime), line in own.groupby(["treatment", "regime"], sort=False):
                _draw_order(axis, line, treatment, regime, besides[treatment])
                look = hollow(SOURCES["paper"].marker, MARKS[treatment].colour)
                if n in (known := stated(regime, treatment)):
                    axis.plot([PAPER_LENGTH * besides[treatment]], [known[n]], **look)
            axis.set_title(f"{width}, N = {n}", fontsize=9)
            axis.set_ylabel("meta-test testing accuracy, %")
            _length_axis(axis, sorted({*values["iterations"], PAPER_LENGTH}), units(names))
            axis.set_xlim(*ends)
        for axis in axes[len(panels) :]:
            axis.remove()
        _legend_below(figure, axes[: len(panels)], 3)
    return figure


def _head(figure: Figure, sources: set[str], what: str, marks: str = "") -> None:
    """The line above a figure: whose drawings, what was measured, how; in another colour where the
    drawings are not Omniglot's.
    """
    figure.suptitle(
        f"{', '.join(SOURCE_LABELS[source] for source in sorted(sources))}; {what}; "
        f"intervals: {LEVEL:.0%}, bootstrap{marks}",
        x=0.01,
        ha="left",
        fontsize=8.5,
        color=MUTED if sources == {"omniglot"} else WARNING,
    )


def _draw_order(
    axis: Axes, values: pd.DataFrame, treatment: str, regime: str, beside: float
) -> None:
    """A treatment's line in one order, the Oracle's dashed and pale; a bar is an interval."""
    mark, oracle = MARKS[treatment], regime == ORACLE.name
    at, mean = values["iterations"] * beside, 100 * values["mean"]
    look = {"color": mark.colour, "alpha": 0.45 if oracle else 1.0}
    axis.vlines(at, 100 * values["low"], 100 * values["high"], **look)
    look |= {"linestyle": "--" if oracle else "-", "marker": mark.marker}
    axis.plot(at, mean, label=f"{treatment}, {ORDERS[regime]}", **look)


def _legend_below(figure: Figure, axes: Iterable[Axes], columns: int) -> None:
    """One legend for all panels: the paper's mark is not in every one."""
    handles = {}
    for axis in axes:
        handles |= dict(zip(*axis.get_legend_handles_labels()[::-1], strict=True))
    where = {"loc": "outside lower center", "ncols": columns}
    figure.legend(handles.values(), handles, frameon=False, **where)


def _shown(accuracy: pd.DataFrame) -> list[tuple[str, int]]:
    """Regime and N of the panels: every N in sequence, and the longest as the Oracle has it."""
    numbers = {
        regime: sorted(own["n_classes"].unique()) for regime, own in accuracy.groupby("regime")
    }
    sequential = [(SEQUENTIAL.name, n) for n in numbers[SEQUENTIAL.name]]
    return sequential + [(ORACLE.name, n) for n in numbers.get(ORACLE.name, [])[-1:]]


def _draw_widths(
    axis: Axes, values: pd.DataFrame, looks: Mapping[str, Look], treatment: str = TREATMENT
) -> None:
    """Every width's line, with its interval where there is one."""
    colour = MARKS[treatment].colour
    more = "" if treatment == TREATMENT else ", redrawn rows kept"
    for profile, own in values.groupby("profile", sort=False):
        line, marker, opacity = looks[profile]
        if "low" in own:
            low, high = 100 * own["low"], 100 * own["high"]
            axis.fill_between(own["iterations"], low, high, color=colour, alpha=0.15, linewidth=0)
        look = {"color": colour, "linestyle": line, "marker": marker, "alpha": opacity}
        axis.plot(own["iterations"], 100 * own["mean"], label=own["width"].iloc[0] + more, **look)


def _draw_published(axis: Axes, metric: str, regime: str, n_classes: str) -> None:
    """What others report of ANML, at the paper's length or their own."""
    rows = published()
    known = (rows["treatment"] == TREATMENT) & (rows["metric"] == metric)
    known &= (rows["n_classes"] == n_classes) & (rows["regime"] == regime)
    for row in rows[known].itertuples():
        mark = SOURCES[row.source]
        length = OTHER_LENGTHS.get(row.source, PAPER_LENGTH * mark.beside)
        axis.plot([length], [float(row.value)], label=mark.label, **hollow(mark.marker, INK))


def _length_axis(axis: Axes, lengths: list[int], counted: str = UNITS["meta"]) -> None:
    """What lengths count, logarithmic."""
    axis.set_xscale("log")
    number_ticks(axis, lengths, apart=1.8)
    axis.tick_params(axis="x", rotation=35)
    axis.set_xlabel(counted)
    axis.set_ylim(0, None)
