"""What a drawn figure holds, for tests: its words, its curves, its published marks."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text


def words(figure: Figure) -> str:
    """Every text of the figure, a line each."""
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def curves(axis: Axes, colour: str) -> list[Line2D]:
    """The measured curves of one colour: lines that are drawn with a marker."""
    return [
        line
        for line in axis.lines
        if line.get_color() == colour
        and line.get_linestyle() != "None"
        and line.get_marker() not in ("None", "")
    ]


def marks(axes: Iterable[Axes], along: str = "y") -> np.ndarray:
    """The heights (or places `along` 'x') of all marks that are markers without a line."""
    found = [
        line.get_ydata() if along == "y" else line.get_xdata()
        for axis in axes
        for line in axis.lines
        if line.get_linestyle() == "None" and line.get_marker() not in ("None", "")
    ]
    return np.sort(np.concatenate([*found, []]))
