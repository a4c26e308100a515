"""One small panel for each question on which the paper and its code disagree."""

from __future__ import annotations

import textwrap

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from anml.figures.plot_curves import draw_curve, number_axis, number_ticks
from anml.figures.plot_style import MUTED, TREATMENTS, say_source, style
from anml.findings.curves import network_label, replicate_words
from anml.findings.disagreement_values import answer_values, was_run
from anml.questions import QUESTIONS, Question
from anml.results import Provenance, Table
from anml.stats import LEVEL
from anml.store.tables import TESTING

NAME = "paper_versus_code"
NOT_RUN = "Not run at this scale"
COLUMNS = 2


def shown_values(table: Table, seed: int = 0) -> pd.DataFrame:
    """Return `answer_values` of every question, with the column `question` first."""
    frames = [
        answer_values(table, question, seed).assign(question=question.id)
        for question in QUESTIONS
        if was_run(table, question)
    ]
    if not frames:
        return answer_values(table, QUESTIONS[0]).assign(question="")
    values = pd.concat(frames, ignore_index=True)
    return values[["question", *values.columns.drop("question")]]


def disagreements_figure(values: pd.DataFrame, provenance: Provenance) -> Figure:
    """Draw testing accuracy against N from `shown_values`: a panel a question that was run.

    Below them stands which questions were not.
    """
    run = [question for question in QUESTIONS if question.id in set(values["question"])]
    others = [question.title for question in QUESTIONS if question not in run]
    note = textwrap.wrap(f"{NOT_RUN}: {' '.join(others)}", 140) if others else []
    rows = -(-len(run) // COLUMNS)
    below = 0.5 + 0.2 * len(note)
    height = 0.85 + below + 2.75 * rows
    with style():
        figure = Figure(figsize=(9, height))
        axes = figure.subplots(rows, COLUMNS, squeeze=False).flatten() if run else []
        for axis, question in zip(axes, run, strict=False):
            chosen = (values["question"] == question.id) & (values["metric"] == TESTING)
            _panel(axis, values[chosen], question)
        for axis in axes[len(run) :]:
            axis.set_axis_off()
        if run:
            figure.subplots_adjust(
                left=0.072, right=0.99, top=1 - 1.4 / height, bottom=below / height, hspace=0.5
            )
        counts = replicate_words(values) if len(values) else "nothing run"
        _heading(figure, provenance, counts, height)
        figure.text(0.012, 0, "\n".join(note), fontsize=9, color=MUTED, va="bottom")
    return figure


def _panel(axis: Axes, values: pd.DataFrame, question: Question) -> None:
    """Draw the answers to one question; treatments keep the colours that they have elsewhere."""
    axis.set_title(question.title)
    axis.set_ylabel("Testing accuracy, %")
    numbers = sorted(set(values["n_classes"]))
    number_axis(axis, numbers, chance=False)
    seen: set[str] = set()
    for answer, setting in question.answers.items():
        curve = values[values["answer"] == answer]
        # The same treatment in another setting: its colour, but open markers on a dashed line.
        again = setting.treatment in seen
        other = {"markerfacecolor": "white", "linestyle": (0, (4, 2))} if again else {}
        mark = TREATMENTS[setting.treatment]
        edge = {"markeredgecolor": mark.colour} if again else {}
        if not curve.empty:  # else the legend would name what is not there
            draw_curve(axis, curve, mark, label=answer, **other, **edge)
        seen.add(setting.treatment)
    number_ticks(axis, numbers)
    shown = 100 * values[["mean", "low", "high"]]
    low, high = shown.min().min(), shown.max().max()
    room = max(high - low, 5.0)  # a hair's breadth must not fill the panel
    axis.set_ylim(max(low - 0.55 * room, -2), min(high + 0.15 * room, 104))
    axis.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axis.set_xlabel("Classes learned, N")
    axis.legend(loc="lower left", fontsize=8.5, handlelength=3.2)


def _heading(figure: Figure, provenance: Provenance, counts: str, height: float) -> None:
    """Say which drawings, networks, intervals and replicates."""
    lines = (
        f"Profile {provenance.profile}; one sequential pass; axes begin where the data do",
        f"Mean and {LEVEL:.0%} two-level bootstrap interval, {counts} a point",
        network_label(provenance),
    )
    say_source(figure, provenance.data_source, 1 - 0.21 / height)
    for line, inches in zip(lines, (0.46, 0.68, 0.9), strict=True):
        figure.text(0.012, 1 - inches / height, line, fontsize=9, color=MUTED, va="center")
