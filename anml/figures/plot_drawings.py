"""The figure that shows the embedded drawings, and Omniglot beside them where it is configured."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import anml
from anml.data import load
from anml.drawings.packed import SOURCES, Drawings
from anml.errors import AnmlError
from anml.figures.plot_style import MUTED, WARNING, style

# The recorded comparison, relative to the companion's folder; made by a benchmark of that name.
COMPARISON = Path("results/reference/glyphs_vs_omniglot.csv")
COLUMNS = ("source", "measure", "value", "fingerprint")
OMNIGLOT_CREDIT = (
    "Omniglot: B. M. Lake, R. Salakhutdinov, J. B. Tenenbaum, Science 2015 (MIT licence)."
)


def shown_sources(data: str | Path = "auto") -> list[Drawings]:
    """The embedded drawings and, if `data` stands for Omniglot, that too (see `anml.data.load`).

    Raises:
        AnmlError: as `anml.data.load` does.
    """
    chosen = load(data)
    return [chosen] if chosen.source == "glyphs" else [load("glyphs"), chosen]


def shown_classes(drawings: Drawings, characters: int = 8) -> np.ndarray:
    """Which classes the figure shows: the middle character of evenly chosen alphabets.

    Returns:
        int64 `[characters]`, indices into `drawings.images`, the same at every call.

    Raises:
        AnmlError: fewer than 1 or more characters than there are alphabets.
    """
    names, first, counts = np.unique(drawings.alphabet, return_index=True, return_counts=True)
    if not 1 <= characters <= len(names):
        raise AnmlError(f"characters is {characters}: it must be 1 to {len(names)} (the alphabets)")
    order = np.argsort(first)
    chosen = order[np.linspace(0, len(names) - 1, characters).round().astype(np.int64)]
    return first[chosen] + counts[chosen] // 2


def drawings_figure(
    sources: Sequence[Drawings], *, characters: int = 8, writers: int = 10
) -> Figure:
    """Draw one panel a source: a character a row, a writer a column.

    Args:
        sources: one or two, each shown under its own name.
        characters: rows, 1 to the number of alphabets.
        writers: columns, 1 to 20; the first ones.

    Raises:
        AnmlError: `characters` or `writers` is out of range.
    """
    if not 1 <= writers <= sources[0].images.shape[1]:
        raise AnmlError(f"writers is {writers}: it must be 1 to {sources[0].images.shape[1]}")
    with style():
        figure = Figure(figsize=(0.44 * writers * len(sources) + 0.4, 0.44 * characters + 0.5))
        panels = figure.subplots(1, len(sources), squeeze=False, gridspec_kw={"wspace": 0.06})[0]
        for panel, drawings in zip(panels, sources, strict=True):
            images = drawings.images[shown_classes(drawings, characters), :writers]
            side = images.shape[-1]
            mosaic = images.transpose(0, 2, 1, 3).reshape(characters * side, writers * side)
            panel.imshow(255 - mosaic, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            for i in range(1, characters):
                panel.axhline(i * side - 0.5, color="#D8D8D8", linewidth=0.7)
            for i in range(1, writers):
                panel.axvline(i * side - 0.5, color="#D8D8D8", linewidth=0.7)
            label = SOURCES[drawings.source]
            colour = WARNING if drawings.source == "glyphs" else "black"
            panel.set_title(label[0].upper() + label[1:], fontsize=9, color=colour)
            panel.grid(visible=False)
            panel.set(xticks=[], yticks=[])
            panel.set_ylabel("one character a row", color=MUTED, fontsize=8)
            panel.set_xlabel("one writer a column", color=MUTED, fontsize=8)
            panel.label_outer()
            for spine in panel.spines.values():
                spine.set(visible=True, color="#D8D8D8")
    return figure


def shown_values(
    sources: Sequence[Drawings], *, characters: int = 8, writers: int = 10
) -> pd.DataFrame:
    """What the figure shows in numbers: one row a character, with its mean ink (0 to 1)."""
    return pd.DataFrame(
        [
            {
                "source": drawings.source,
                "alphabet": drawings.alphabet[i],
                "character": drawings.character[i],
                "mean ink": drawings.images[i, :writers].mean() / 255,
            }
            for drawings in sources
            for i in shown_classes(drawings, characters)
        ]
    )


def read_comparison(path: Path) -> pd.DataFrame:
    """Read the recorded comparison; columns source, measure, value, fingerprint.

    Raises:
        AnmlError: it is missing or not such a table.
    """
    again = "make it with `python benchmarks/glyphs_vs_omniglot.py --data PATH`"
    try:
        frame = pd.read_csv(path)
    except (OSError, ValueError) as problem:
        raise AnmlError(f"cannot read the comparison {path}; {again}") from problem
    if tuple(frame.columns) != COLUMNS:
        raise AnmlError(f"{path} must have the columns {', '.join(COLUMNS)}; {again}")
    return frame


def comparison_table(frame: pd.DataFrame) -> pd.DataFrame:
    """The comparison for people: text, one row a measure, one column a source, three decimals."""
    wide = frame.pivot(index="measure", columns="source", values="value")
    wide = wide.loc[list(dict.fromkeys(frame["measure"])), ["omniglot", "glyphs"]]
    wide = wide.map(lambda value: "" if pd.isna(value) else f"{value:.3f}")
    return wide.rename_axis(index=None, columns=None).rename(columns=SOURCES)


def provenance_line(sources: Sequence[Drawings]) -> str:
    """The one line under the figure: which drawings are shown, and by what version."""
    data = " and ".join(f"{SOURCES[d.source]} (fingerprint {d.fingerprint})" for d in sources)
    return f"Data: {data} | anml {anml.__version__}"
