"""What reproduces, in one picture: ANML in the paper's width beside everything that was published
of it, and all five treatments of Figure 3 in narrow networks.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from anml.figures.plot_curves import (
    LEGEND,
    draw_curve,
    draw_marks,
    number_axis,
    number_ticks,
    published_legend,
    treatment_handles,
)
from anml.figures.plot_fig3 import SEQUENTIAL, fig3_values, fig3_with_kept
from anml.figures.plot_style import FIVE, MUTED, TREATMENTS, style
from anml.findings.curves import published_marks, replicate_words
from anml.findings.found_tables import find_table
from anml.findings.kept_rows import kept_meta_tests
from anml.findings.lengths_found import KEPT, WIDTHS, Tables
from anml.results import Provenance, Table
from anml.stats import replicates
from anml.store.tables import TESTING

NAME = "overview"
WIDE, NARROW = "paper", "laptop"
PANELS = {WIDE: "ANML, networks of the paper's width", NARROW: "All five, narrow networks"}
"""The recorded profiles that are shown, left and right."""
LABELS = {KEPT: "ANML, redrawn rows kept (code)", "ANML": "ANML, redrawn in a copy (paper)"}
"""What the left panel calls its curves, the upper one first."""


@dataclass(frozen=True)
class Shown:
    """The recorded meta-tests on Omniglot that the picture shows."""

    panels: dict[str, Table]  # by profile, as `PANELS`
    kept: Tables  # in the paper's width, of models whose redrawn rows were kept

    def lines(self) -> list[str]:
        """Return where they come from, a line a table."""
        tables = [self.panels[WIDE], *self.kept.values(), self.panels[NARROW]]
        return [table.provenance.line() for table in tables]


def overview_tables(optimizer: str = "adam", root: Path | None = None) -> Shown:
    """Return what is recorded; `optimizer` at meta-test.

    Raises:
        AnmlError: one of the panels' tables is not recorded, or is damaged.
    """
    found = {name: find_table("meta_test", name, "omniglot", root=root) for name in PANELS}
    panels = {name: one.table for name, one in found.items()}
    return Shown(panels, kept_meta_tests(found[WIDE], optimizer, root))


def overview_values(found: Shown, optimizer: str = "adam", seed: int = 0) -> pd.DataFrame:
    """Return what the picture shows, one row a point: testing accuracy, in sequence.

    Columns: `profile`, and those of `curve_values` (`anml.findings.curves`). In the paper's width
    ANML alone is shown, and there alone with redrawn rows kept.
    """
    shown = {name: fig3_values(own, optimizer, seed) for name, own in found.panels.items()}
    wide = fig3_with_kept(shown[WIDE], found.kept, optimizer, seed)
    shown[WIDE] = wide[wide["treatment"].isin(LABELS)]
    values = pd.concat(own.assign(profile=name) for name, own in shown.items())
    return values[values["metric"] == TESTING].reset_index(drop=True)


def overview(values: pd.DataFrame, found: Shown) -> Figure:
    """Draw both panels: mean and band a curve, published marks hollow.

    `values`: from `overview_values`.
    """
    with style():
        figure = Figure(figsize=(9, 6))
        axes = figure.subplots(1, 2, sharey=True)
        marks = _marks(found)
        numbers = sorted({*values["n_classes"], *marks["n_classes"]})
        # Of the other treatments the paper alone published points, which the right panel has.
        theirs = {
            WIDE: marks[marks["treatment"] == "ANML"],
            NARROW: marks[marks["source"] == "paper"],
        }
        for axis, (profile, title) in zip(axes, PANELS.items(), strict=True):
            own = values[values["profile"] == profile]
            number_axis(axis, numbers)
            for treatment, curve in own.groupby("treatment", sort=False):
                draw_curve(axis, curve, TREATMENTS[treatment])
            draw_marks(axis, theirs[profile])
            number_ticks(axis, numbers)
            axis.set_title(title, pad=32)
            axis.set_xlabel("Classes learned one after another, N")
            _say_what(axis, own, found.panels[profile].provenance)
        axes[0].set_ylabel("Accuracy on held-out drawings, %")
        figure.subplots_adjust(left=0.072, right=0.99, top=0.86, bottom=0.355, wspace=0.06)
        _legends(figure, values, marks, found.panels[WIDE].provenance)
        return figure


def overview_glue(values: pd.DataFrame, found: Shown) -> dict[str, float | int | str]:
    """Return what prose cites, at the longest N of ANML in the paper's width; per cent.

    `overview_n`; `overview_anml` and `overview_kept` with `_low` and `_high`; of either,
    `overview_replicates`; `overview_published`: what each source published there, in words.
    """
    wide = values[values["profile"] == WIDE]
    n = int(wide["n_classes"].max())
    result: dict[str, float | int | str] = {"overview_n": n}
    for name, treatment in (("anml", "ANML"), ("kept", KEPT)):
        point = wide[(wide["treatment"] == treatment) & (wide["n_classes"] == n)]
        for row in point.itertuples():
            bounds = {"": row.mean, "_low": row.low, "_high": row.high}
            result |= {f"overview_{name}{end}": 100 * value for end, value in bounds.items()}
    marks = _marks(found)
    there = marks[(marks["treatment"] == "ANML") & (marks["n_classes"] == n)]
    words = [f"{100 * row.value:g} ({row.source})" for row in there.itertuples()]
    points = wide[wide["n_classes"] == n]
    counts = (replicates(row.models, row.trajectories) for row in points.itertuples())
    result["overview_replicates"] = " or ".join(dict.fromkeys(counts))
    return result | {"overview_published": ", ".join(words)}


def _marks(found: Shown) -> pd.DataFrame:
    """The published points of testing accuracy."""
    marks = published_marks(FIVE, SEQUENTIAL, found.panels[WIDE].provenance)
    return marks[(marks["metric"] == TESTING) & (marks["kind"] == "point")]


def _say_what(axis: Axes, own: pd.DataFrame, provenance: Provenance) -> None:
    """Say under a panel's title how wide the networks are, how long trained, and how many."""
    pln, nm = (provenance.profile_values[name] for name in WIDTHS)
    length = provenance.profile_values["meta_iterations"]
    words = f"ANML {pln} / {nm} channels, {length:,} meta-iterations\n{replicate_words(own)}"
    place = {"xycoords": "axes fraction", "xytext": (0, 7), "textcoords": "offset points"}
    axis.annotate(words, (0, 1), fontsize=8, color=MUTED, **place)


def _legends(
    figure: Figure, values: pd.DataFrame, marks: pd.DataFrame, provenance: Provenance
) -> None:
    """Under each panel what its curves are, and what was published."""
    wide, narrow = (values.loc[values["profile"] == name, "treatment"].unique() for name in PANELS)
    *left, _ = treatment_handles([name for name in LABELS if name in wide])  # chance stands right
    for handle in left:
        handle.set_label(LABELS[handle.get_label()])
    right = treatment_handles(narrow)
    for handles, x, title in ((left, 0.0, "Measured, left"), (right, 0.37, "Measured, right")):
        place = {"loc": "upper left", "bbox_to_anchor": (x, 0.255)}
        figure.legend(handles=handles, title=title, **place, **LEGEND)
    published_legend(figure, marks, (0.62, 0.255), provenance)
