"""What meta-training is worth, drawn: accuracy and activity by meta-iterations, a line a width."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from anml.claims import published
from anml.curves import replicate_words
from anml.lengths import TREATMENT
from anml.lengths_found import (
    AFTER_GATE,
    PAPER_LENGTH,
    Tables,
    by_width,
    gate_values,
    length_values,
)
from anml.plot_curves import hollow, number_ticks
from anml.plot_style import INK, MUTED, SOURCES, WARNING, style
from anml.plot_style import TREATMENTS as MARKS
from anml.results import SOURCE_LABELS
from anml.tables import TESTING

NAME = "lengths"
LOOKS = (("-", "o", 1.0), ("--", "s", 0.6), (":", "^", 0.6))
"""Of the widest network, the next and the narrowest: line, marker, opacity."""
OTHER_LENGTHS = {"higherANML replication": 30_000}
"""Meta-iterations of published numbers whose source says that they are not the paper's."""


def lengths_figure(tables: Tables, activity: Tables) -> Figure:
    """Draw a panel an N, with accuracy by meta-iterations, and one with the gate's activity."""
    accuracy, gate = length_values(tables), gate_values(activity)
    sources = {table.provenance.data_source for table in tables.values()}
    real = sources == {"omniglot"}
    numbers = sorted(accuracy["n_classes"].unique())
    looks = dict(zip(by_width(tables), LOOKS, strict=False))
    with style():
        figure = Figure(figsize=(9, 4.3), layout="constrained")
        figure.suptitle(
            f"{', '.join(SOURCE_LABELS[source] for source in sorted(sources))}; {TREATMENT}, "
            f"one class after another; {replicate_words(accuracy)}; intervals: 95%, bootstrap",
            x=0.01,
            ha="left",
            fontsize=8.5,
            color=MUTED if real else WARNING,
        )
        axes = figure.subplots(1, len(numbers) + 1)
        for axis, n in zip(axes, numbers, strict=False):
            for profile, own in accuracy[accuracy["n_classes"] == n].groupby("profile", sort=False):
                _draw(axis, own, looks[profile])
            if real:
                _draw_published(axis, TESTING, str(n))
            axis.set_title(f"Accuracy, N = {n}")
        for profile, own in gate.groupby("profile", sort=False):
            _draw(axes[-1], own, looks[profile])
        if real:
            _draw_published(axes[-1], AFTER_GATE, "")
        axes[-1].set_title("Units active after the gate")
        axes[0].set_ylabel("meta-test testing accuracy, %")
        axes[-1].set_ylabel("% of units")
        for axis in axes:
            shown = {*accuracy["iterations"], *([PAPER_LENGTH] if real else [])}
            _length_axis(axis, sorted(shown))
        handles = {}  # by label: the paper's mark is not in every panel
        for axis in axes:
            handles |= dict(zip(*axis.get_legend_handles_labels()[::-1], strict=True))
        figure.legend(handles.values(), handles, loc="outside lower center", ncols=3, frameon=False)
    return figure


def _draw(axis: Axes, own: pd.DataFrame, look: tuple[str, str, float]) -> None:
    """One width's line, with its interval where there is one."""
    line, marker, opacity = look
    colour = MARKS[TREATMENT].colour
    if "low" in own:
        low, high = 100 * own["low"], 100 * own["high"]
        axis.fill_between(own["iterations"], low, high, color=colour, alpha=0.15, linewidth=0)
    look = {"color": colour, "linestyle": line, "marker": marker, "alpha": opacity}
    axis.plot(own["iterations"], 100 * own["mean"], label=own["width"].iloc[0], **look)


def _draw_published(axis: Axes, metric: str, n_classes: str) -> None:
    """What others report of ANML, at the paper's length or their own."""
    rows = published()
    known = (rows["treatment"] == TREATMENT) & (rows["metric"] == metric)
    known &= (rows["n_classes"] == n_classes) & rows["regime"].isin(
        ["sequential", "representation"]
    )
    for row in rows[known].itertuples():
        mark = SOURCES[row.source]
        length = OTHER_LENGTHS.get(row.source, PAPER_LENGTH * mark.beside)
        axis.plot([length], [float(row.value)], label=mark.label, **hollow(mark.marker, INK))


def _length_axis(axis: Axes, lengths: list[int]) -> None:
    """Meta-iterations, logarithmic."""
    axis.set_xscale("log")
    number_ticks(axis, lengths, apart=1.8)
    axis.tick_params(axis="x", rotation=35)
    axis.set_xlabel("meta-iterations")
    axis.set_ylim(0, None)
