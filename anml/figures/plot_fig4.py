"""Figure 4: each treatment against its Oracle, and how much is lost by learning in sequence."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from anml.figures.plot_curves import heading, hollow
from anml.figures.plot_regimes import PAPER, regime_legend, regime_panels
from anml.figures.plot_style import FIVE, GRID, MUTED, SOURCES, TREATMENTS, style
from anml.findings.claims import published
from anml.findings.curves import curve_rows, curve_values, published_marks, shown
from anml.findings.lengths_found import KEPT
from anml.findings.measure import DROP
from anml.results import Provenance, Table
from anml.stats import Interval, relative_drop, replicates
from anml.store.tables import TESTING

NAME = "fig4_oracles"
REGIMES = ("sequential", "oracle")
HEIGHT = 9.0


def fig4_values(table: Table, optimizer: str = "adam", seed: int = 0) -> pd.DataFrame:
    """Return the curves of Figure 4: `anml.findings.curves.curve_values` of both regimes."""
    return curve_values(table, FIVE, REGIMES, optimizer, seed)


def fig4_drops(table: Table, optimizer: str = "adam", seed: int = 0) -> pd.DataFrame:
    """Return the relative drop from Oracle to sequential in testing accuracy, at the longest N.

    Columns: `treatment`, `n_classes`, `drop`, `low`, `high` (fractions of the Oracle's accuracy),
    `models`, `trajectories`. A treatment whose Oracle was not run, or got nothing right, has no
    row.
    """
    rows = curve_rows(table, FIVE, REGIMES, optimizer)
    rows = rows[rows["metric"] == TESTING]
    columns = ["treatment", "n_classes", "drop", "low", "high", "models", "trajectories"]
    result = []
    for treatment in FIVE:
        own = rows[rows["treatment"] == treatment]
        both = _in_both(own)
        drop = _drop(own, both[-1], seed) if both else None
        if drop is not None:
            numbers = (drop.mean, drop.low, drop.high, drop.models, drop.trajectories)
            result.append((treatment, both[-1], *numbers))
    return pd.DataFrame(result, columns=columns)


def _in_both(rows: pd.DataFrame) -> list[int]:
    """The N that a treatment's rows have under both regimes, ascending."""
    numbers = [set(rows.loc[rows["regime"] == regime, "n_classes"]) for regime in REGIMES]
    return sorted(set.intersection(*numbers))


def _drop(rows: pd.DataFrame, n: int, seed: int) -> Interval | None:
    """The relative drop of a treatment's testing accuracies at an N; None if the Oracle's are 0."""
    here = rows[rows["n_classes"] == n]
    oracle, sequential = (here[here["regime"] == regime] for regime in ("oracle", "sequential"))
    return relative_drop(oracle, sequential, seed=seed) if (oracle["value"] > 0).any() else None


def fig4_kept_sheet(
    table: Table, kept: Table, optimizer: str = "adam", seed: int = 0
) -> pd.DataFrame:
    """Return ANML's part of the figure for models whose redrawn rows were kept, in per cent.

    `kept`: from `anml.findings.kept_rows.kept_meta_tests`. A row an N that both tables have under
    both regimes; the last column has the drop of `table`, whose rows were redrawn in the copy.
    """
    usual, other = (
        rows[rows["metric"] == TESTING]
        for rows in (
            curve_rows(table, FIVE[:1], REGIMES, optimizer),
            curve_rows(kept, [KEPT], REGIMES, optimizer),
        )
    )
    values = curve_values(kept, [KEPT], REGIMES, optimizer, seed)
    values = values[values["metric"] == TESTING].set_index(["regime", "n_classes"])
    sheet = []
    for n in sorted({*_in_both(usual)} & {*_in_both(other)}):
        drops = [_drop(rows, n, seed) for rows in (other, usual)]
        texts = [shown(d.mean, d.low, d.high) if d else "-" for d in drops]
        curve = {
            name: shown(*values.loc[(regime, n), ["mean", "low", "high"]])
            for name, regime in (("Oracle", "oracle"), ("in sequence", "sequential"))
        }
        drop = dict(zip(("relative drop", "relative drop, in the copy"), texts, strict=True))
        sheet.append({"N": n} | curve | drop)
    return pd.DataFrame(sheet)


def published_drops(provenance: Provenance) -> pd.DataFrame:
    """Return the paper's drops beside results on Omniglot: `treatment`, `n_classes`, `value`."""
    rows = published()
    rows = rows[(rows["metric"] == DROP) & (provenance.data_source == "omniglot")]
    return pd.DataFrame(
        {
            "treatment": rows["treatment"],
            "n_classes": rows["n_classes"].astype("int64"),
            "value": rows["value"].astype("float64") / 100,
        }
    ).reset_index(drop=True)


def fig4(
    values: pd.DataFrame, drops: pd.DataFrame, provenance: Provenance, optimizer: str = "adam"
) -> Figure:
    """Draw Figure 4 from `fig4_values` and `fig4_drops`: a column a treatment, the drops below."""
    marks = published_marks(FIVE, REGIMES, provenance, PAPER)
    with style():
        figure = Figure(figsize=(9, HEIGHT))
        grid = figure.add_gridspec(
            *(2, len(FIVE)), left=0.072, right=0.99, top=0.865, bottom=0.455, wspace=0.1, hspace=0.1
        )
        axes = grid.subplots(sharex=True, sharey=True)
        regime_panels(axes, values, marks, FIVE, REGIMES)
        heading(figure, values, provenance, optimizer)
        regime_legend(figure, marks, REGIMES, 0.4, provenance.data_source == "omniglot")
        below = figure.add_gridspec(1, 1, left=0.19, right=0.84, top=0.245, bottom=0.06)
        _drops(below.subplots(), drops, published_drops(provenance))
    return figure


def _drops(axis: Axes, drops: pd.DataFrame, beside: pd.DataFrame) -> None:
    """Draw measured and published drops, a line a treatment, with their numbers in words."""
    for place, treatment in enumerate(FIVE):
        mark, words = TREATMENTS[treatment], []
        for row in drops[drops["treatment"] == treatment].itertuples():
            axis.plot(
                *([100 * row.low, 100 * row.high], [place, place]),
                color=mark.colour,
                linewidth=5,
                alpha=0.3,
                solid_capstyle="butt",
            )
            axis.plot(
                100 * row.drop, place, color=mark.colour, marker=mark.marker, linestyle="none"
            )
            words.append(f"{100 * row.drop:.0f}% at N = {row.n_classes}")
        for row in beside[beside["treatment"] == treatment].itertuples():
            look = hollow(SOURCES["paper"].marker, mark.colour)
            axis.plot(100 * row.value, place - 0.3, **look)
            words.append(f"paper {100 * row.value:.0f}% at {row.n_classes}")
        axis.text(
            *(1.015, place, "\n".join(words) or "not run"),
            transform=axis.get_yaxis_transform(),
            va="center",
            fontsize=8,
            color=MUTED,
        )
    axis.set_title("Relative drop of testing accuracy, Oracle to sequential")
    axis.set_xlabel("Share of the Oracle's accuracy that is lost, %")
    axis.set_yticks(range(len(FIVE)), FIVE)
    axis.set_ylim(len(FIVE) - 0.5, -0.6)
    least = min([0.0, *(100 * drops["low"].fillna(drops["drop"]))])
    axis.set_xlim(max(least, -100.0) - 3, 103)
    axis.axvline(0, color=GRID, linewidth=1.5, zorder=0)
    axis.grid(axis="y", visible=False)


def drop_table(drops: pd.DataFrame, provenance: Provenance) -> pd.DataFrame:
    """Return the drops for reading, in per cent, measured and published."""
    paper = published_drops(provenance).set_index("treatment")
    return pd.DataFrame(
        {
            "treatment": row.treatment,
            "N": row.n_classes,
            "relative drop, %": shown(row.drop, row.low, row.high),
            "replicates": replicates(row.models, row.trajectories),
            "paper": f"{100 * paper['value'][row.treatment]:g} (N = "
            f"{paper['n_classes'][row.treatment]})"
            if row.treatment in paper.index
            else "-",
        }
        for row in drops.itertuples()
    )
