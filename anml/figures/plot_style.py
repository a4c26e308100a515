"""How every figure looks and how it is saved: one table of treatments, one writer of files."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from anml.errors import AnmlError
from anml.store.files import replacing


@dataclass(frozen=True)
class Mark:
    """Colour, marker and line style of a curve; `size` of the marker in points."""

    colour: str
    marker: str | tuple[int, int, int]
    line: str | tuple[float, tuple[float, ...]] = "-"
    size: float = 6


# Colours of Okabe and Ito's palette for Figure 3's treatments, then ANML's relatives in blues and
# OML's in browns: people with any common colour blindness tell all of them apart. Marker and line
# style say the same a second time. The order is that of every legend and table.
TREATMENTS: dict[str, Mark] = {
    "ANML": Mark("#0072B2", "o"),
    "OML": Mark("#D55E00", "s"),
    "OML-OLFT": Mark("#E69F00", "D", (0, (5, 1.5))),
    "Pretrain & Transfer": Mark("#009E73", "^", (0, (4, 1.2, 1, 1.2))),
    "Scratch": Mark("#CC79A7", "v", (0, (1.5, 1.2))),
    "ANML-FT:PLN": Mark("#56B4E9", "<", (0, (5, 1.5))),
    "ANML-FT:PLN+NM out": Mark("#12205E", ">", (0, (4, 1.2, 1, 1.2))),
    "ANML-Unlimited": Mark("#3A2FD6", "p", (0, (1.5, 1.2))),
    "OML-FT:PLN+RLN final": Mark("#8A2A50", "h", (0, (4, 1.2, 1, 1.2))),
    "OML-Unlimited": Mark("#4A3800", (4, 1, 0), (0, (1.5, 1.2)), 9),
    "ANML (first order)": Mark("#148AFF", (5, 1, 0), (0, (5, 1.5)), 9),
    "OML (first order)": Mark("#C7B06A", (3, 1, 0), (0, (5, 1.5)), 9),
    "OML (linear PLN)": Mark("#A0522D", (8, 1, 0), (0, (1.5, 1.2)), 9),
    "ANML (batch norm)": Mark("#1B5386", (6, 1, 0), (0, (4, 1.2, 1, 1.2)), 9),
    "ANML (redraw kept)": Mark("#4B02A6", (7, 1, 0), (0, (1.5, 1.2)), 9),
    "ANML (three channels)": Mark("#1010E8", "8", (0, (4, 1.2, 1, 1.2)), 7),
    "ANML (as released)": Mark("#337884", (9, 1, 0), (0, (5, 1.5)), 9),
    "OML (as released)": Mark("#733A28", (10, 1, 0), (0, (5, 1.5)), 9),
    "OML (released pixels)": Mark("#B68A3A", "P", (0, (5, 1.5)), 7),
    "OML-OLFT (released pixels)": Mark("#94704F", "X", (0, (5, 1.5)), 7),
    "OML (white paper)": Mark("#4D1A29", "d", (0, (1.5, 1.2)), 7),
    "OML-OLFT (white paper)": Mark("#6D5404", "H", (0, (1.5, 1.2)), 7),
}
FIVE = tuple(TREATMENTS)[:5]
"""The treatments of Figure 3, each of which has an Oracle (Figures 4 and S7)."""


@dataclass(frozen=True)
class Published:
    """How a source of published numbers is drawn; `beside` moves its points off the others' N."""

    marker: str
    label: str
    beside: float


# Always hollow, one shape a source, in the colour of the treatment. Sources agree closely, so they
# stand side by side: a factor on the logarithmic axis.
SOURCES: dict[str, Published] = {
    "higherANML replication": Published("X", "higherANML replication", 0.94),
    "nupic.research replication": Published("P", "nupic.research replication", 1.0),
    "released code run by nupic.research": Published(
        "d", "released code (run by nupic.research)", 1.06
    ),
    "paper": Published("*", "paper", 1.12),
}
INK = "#222222"
MUTED = "#666666"
GRID = "#E4E4E4"
WARNING = "#B00020"

STYLE: dict[str, object] = {
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "savefig.facecolor": "white",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "legend.frameon": False,
    "lines.linewidth": 2.0,
    "lines.markersize": 6,
    # Outlines instead of fonts, and no random identifiers: a figure looks the same everywhere and
    # the same numbers give the same bytes.
    "svg.fonttype": "path",
    "svg.hashsalt": "anml",
}
DPI = 200
LAYOUT: dict[str, object] = {"bbox_inches": "tight", "pad_inches": 0.1}
# Date and version would change the bytes from one day or library to the next.
SVG_OPTIONS: dict[str, object] = LAYOUT | {"metadata": {"Date": None, "Creator": None}}
PNG_OPTIONS: dict[str, object] = LAYOUT | {"metadata": {"Software": None}, "dpi": DPI}


def style() -> mpl.rc_context:
    """Return a context in which figures are drawn in the companion's style."""
    return mpl.rc_context(STYLE)


def say_source(figure: Figure, source: str, y: float) -> None:
    """Head a figure with the drawings that it rests on, at height `y` (figure fraction); those that
    are not Omniglot in the colour of a warning.
    """
    real = source == "omniglot"
    figure.text(
        *(0.012, y, "Omniglot" if real else "EMBEDDED DRAWINGS, NOT OMNIGLOT"),
        **{"fontsize": 14, "fontweight": "bold", "color": INK if real else WARNING},
        va="center",
    )


def save_figure(figure: Figure, folder: str | Path, name: str, values: pd.DataFrame) -> list[Path]:
    """Write `<name>.svg`, `.png` and `.csv` (the values shown) into `folder`, all or none of them.

    Returns the three paths. An interrupted run leaves the old files in place.

    Raises:
        AnmlError: the folder cannot be made or written.
    """
    folder = Path(folder)
    paths = [folder / f"{name}.{suffix}" for suffix in ("svg", "png", "csv")]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack, style():
            svg, png, csv = (stack.enter_context(replacing(path)) for path in paths)
            figure.savefig(svg, **SVG_OPTIONS)
            figure.savefig(png, **PNG_OPTIONS)
            values.to_csv(csv, index=False, lineterminator="\n")
    except OSError as problem:
        raise AnmlError(
            f"cannot write figures to {folder}: {problem.strerror or problem}; give a writable "
            "folder as the parameter `figures`, or an empty one to write none"
        ) from problem
    return paths
