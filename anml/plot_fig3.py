"""Figure 3: meta-test training and testing accuracy against the number of classes learned."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from anml.claims import published_points
from anml.errors import AnmlError
from anml.plot_style import INK, MUTED, SOURCES, TREATMENTS, WARNING, style
from anml.results import Provenance, Table
from anml.stats import LEVEL, mann_whitney, model_means, replicates, summary
from anml.tables import TESTING, TRAINING, listing

NAME = "fig3_continual_learning"
PANELS = ((TRAINING, "Meta-test training accuracy"), (TESTING, "Meta-test testing accuracy"))
# The paper's sizes (section 3): ANML's two networks, and the architecture of every control.
FULL_WIDTH = {"pln_channels": 256, "nm_channels": 112, "oml_channels": 256, "oml_hidden": 1024}


def fig3_rows(table: Table, optimizer: str = "adam") -> pd.DataFrame:
    """Return the observations of Figure 3: its five treatments, one sequential pass, `optimizer`.

    Raises:
        AnmlError: the table holds none of them.
    """
    frame = table.frame
    wanted = (frame["regime"] == "sequential") & frame["treatment"].isin(list(TREATMENTS))
    rows = frame[wanted & (frame["optimizer"] == optimizer)]
    if rows.empty:
        held = sorted(set(frame.loc[wanted, "optimizer"]))
        raise AnmlError(
            f"the table holds no sequential results with optimizer {optimizer!r}; "
            + (f"it holds {listing(held)}" if held else "it holds none with any optimizer")
        )
    return rows


def fig3_values(table: Table, optimizer: str = "adam", seed: int = 0) -> pd.DataFrame:
    """Return what Figure 3 shows, one row a point.

    Columns: `treatment`, `metric`, `n_classes`, `mean`, `low`, `high` (fractions in [0, 1];
    two-level bootstrap interval, seeded with `seed`), `models`, `trajectories`.
    """
    values = summary(fig3_rows(table, optimizer), ["treatment", "metric", "n_classes"], seed=seed)
    order = {name: place for place, name in enumerate(TREATMENTS)}
    places = values["treatment"].map(order)
    return (
        values.assign(place=places)
        .sort_values(["place", "metric", "n_classes"], ignore_index=True)
        .drop(columns="place")
    )


def fig3_published(provenance: Provenance) -> pd.DataFrame:
    """Return the published points of both panels, with column `metric`; none unless Omniglot.

    The published numbers are Omniglot's: beside results on other drawings they would look like a
    comparison.
    """
    frames = [published_points(metric).assign(metric=metric) for metric, _ in PANELS]
    points = pd.concat(frames, ignore_index=True)
    points = points[points["treatment"].isin(list(TREATMENTS))]
    return points if provenance.data_source == "omniglot" else points.iloc[:0]


def network_label(provenance: Provenance) -> str:
    """Return the sizes of the networks in words, from the profile's own values."""
    widths = {name: provenance.profile_values.get(name) for name in FULL_WIDTH}
    if None in widths.values():
        return "network width not recorded"
    narrow = widths != FULL_WIDTH
    pln, nm, oml, hidden = (
        f"{width} (paper {full})" if narrow else f"{width}"
        for width, full in zip(widths.values(), FULL_WIDTH.values(), strict=True)
    )
    return (
        f"{'NARROW' if narrow else 'full-width'} networks, channels: ANML's PLN {pln}, NM {nm}, "
        f"OML's {oml}, OML's hidden units {hidden}"
    )


def fig3_replicates(values: pd.DataFrame) -> str:
    """Return the replicates a point in words, as a range where points differ."""
    counts = sorted(
        {(int(m), int(t)) for m, t in zip(values.models, values.trajectories, strict=True)}
    )
    if len(counts) == 1:
        return replicates(*counts[0])
    return f"{replicates(*counts[0])} to {replicates(*counts[-1])}"


def fig3(values: pd.DataFrame, provenance: Provenance, optimizer: str = "adam") -> Figure:
    """Draw Figure 3 from `fig3_values`: two panels, mean and band a treatment, published points."""
    points = fig3_published(provenance)
    with style():
        figure = Figure(figsize=(9, 5.6))
        axes = figure.subplots(1, 2, sharey=True)
        numbers = sorted({*values["n_classes"], *points["n_classes"]})
        for axis, (metric, title) in zip(axes, PANELS, strict=True):
            curves, dots = (f[f["metric"] == metric] for f in (values, points))
            _panel(axis, curves, dots, numbers)
            axis.set_title(title)
            axis.set_xlabel("Classes learned one after another, N")
        axes[0].set_ylabel("Accuracy, %")
        figure.subplots_adjust(left=0.072, right=0.99, top=0.79, bottom=0.29, wspace=0.06)
        _heading(figure, values, provenance, optimizer)
        _legends(figure, values, points)
    return figure


def _panel(axis: Axes, values: pd.DataFrame, points: pd.DataFrame, numbers: list[int]) -> None:
    """Draw one metric: curves with bands, published points, chance; `numbers` are all its N."""
    span = np.geomspace(numbers[0] / 1.2, numbers[-1] * 1.26, 100)
    axis.plot(span, 100 / span, color=MUTED, linewidth=1.2, linestyle=":", zorder=1)
    for treatment, mark in TREATMENTS.items():
        curve = values[values["treatment"] == treatment]
        n, mean, low, high = (curve[name] for name in ("n_classes", "mean", "low", "high"))
        axis.fill_between(n, 100 * low, 100 * high, color=mark.colour, alpha=0.18, linewidth=0)
        axis.plot(
            *(n, 100 * mean),
            color=mark.colour,
            marker=mark.marker,
            linestyle=mark.line,
            markeredgecolor="white",
            markeredgewidth=0.8,
            zorder=3,
        )
    for (source, treatment), group in points.groupby(["source", "treatment"]):
        mark = SOURCES[source]
        axis.plot(
            *(group["n_classes"] * mark.beside, 100 * group["value"]),
            **_hollow(mark.marker, TREATMENTS[treatment].colour),
        )
    axis.set_xscale("log")
    axis.set_xlim(span[0], span[-1])
    axis.set_ylim(-2, 104)
    axis.yaxis.set_major_locator(FixedLocator(range(0, 101, 20)))
    ticks = _readable_ticks(numbers)
    axis.xaxis.set_major_locator(FixedLocator(ticks))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xticklabels([str(tick) for tick in ticks])


def _readable_ticks(numbers: list[int], apart: float = 1.36) -> list[int]:
    """Return the numbers whose labels fit on a logarithmic axis; the last one always does."""
    ticks: list[int] = []
    for number in reversed(numbers):
        if not ticks or ticks[-1] / number >= apart:
            ticks.append(number)
    return ticks[::-1]


def _hollow(marker: str, colour: str) -> dict[str, object]:
    """Return how a published point is drawn."""
    return {
        "marker": marker,
        "linestyle": "none",
        "markerfacecolor": "white",
        "markeredgecolor": colour,
        "markeredgewidth": 1.3,
        "markersize": 11 if marker == "*" else 8,
        "zorder": 4,
    }


def _heading(figure: Figure, values: pd.DataFrame, provenance: Provenance, optimizer: str) -> None:
    """Say on the figure itself what was measured on what, and what the bands are."""
    real = provenance.data_source == "omniglot"
    figure.text(
        *(0.012, 0.963),
        "Omniglot" if real else "EMBEDDED DRAWINGS, NOT OMNIGLOT",
        fontsize=14,
        fontweight="bold",
        color=INK if real else WARNING,
        va="center",
    )
    longest = {"adam": "Adam", "sgd": "SGD"}[optimizer]
    lines = (
        network_label(provenance),
        f"Profile {provenance.profile}, {longest} at meta-test; mean and {LEVEL:.0%} two-level "
        f"bootstrap interval over {fig3_replicates(values)}"
        + (" (trajectories only: one model)" if values["models"].max() == 1 else ""),
    )
    for line, height in zip(lines, (0.918, 0.878), strict=True):
        figure.text(0.012, height, line, fontsize=9, color=MUTED, va="center")


def _legends(figure: Figure, values: pd.DataFrame, points: pd.DataFrame) -> None:
    """Put one legend of treatments and one of published sources below the panels."""
    present = set(values["treatment"])
    handles = [
        Line2D([], [], color=mark.colour, marker=mark.marker, linestyle=mark.line, label=name)
        for name, mark in TREATMENTS.items()
        if name in present
    ]
    handles.append(Line2D([], [], color=MUTED, linestyle=":", linewidth=1.2, label="chance, 1/N"))
    options = {"alignment": "left", "handlelength": 3.2, "title_fontproperties": {"weight": "bold"}}
    figure.legend(
        handles=handles,
        title="Measured here",
        loc="upper left",
        bbox_to_anchor=(0.05, 0.205),
        ncols=2,
        **options,
    )
    if points.empty:
        note = "The published points are left off:\nthey were measured on Omniglot."
        figure.text(0.56, 0.165, note, color=MUTED, va="top", linespacing=1.5)
        return
    sources = [
        Line2D([], [], **_hollow(mark.marker, INK), label=mark.label)
        for source, mark in SOURCES.items()
        if source in set(points["source"])
    ]
    figure.legend(
        handles=sources,
        title="Published: Omniglot, full width (colour: treatment)",
        loc="upper left",
        bbox_to_anchor=(0.535, 0.205),
        ncols=1,
        **options,
    )


def fig3_table(values: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the numbers of one panel for reading: `mean [low, high]` in per cent, a row each N."""
    rows = values[values["metric"] == metric]
    shown = [
        f"{100 * m:.1f} [{100 * lo:.1f},\N{NO-BREAK SPACE}{100 * hi:.1f}]"
        if np.isfinite(lo)
        else f"{100 * m:.1f}"
        for m, lo, hi in zip(rows["mean"], rows["low"], rows["high"], strict=True)
    ]
    table = rows.assign(shown=shown).pivot(index="n_classes", columns="treatment", values="shown")
    table = table[[name for name in TREATMENTS if name in table]].fillna("-")
    return table.rename_axis(columns=None).rename_axis("N").reset_index()


def fig3_tests(table: Table, optimizer: str = "adam") -> pd.DataFrame:
    """Return ANML against each other treatment at the longest N: model means, testing accuracy.

    Columns: `against`, `N`, `difference` (percentage points, of the means), `test`.
    """
    rows = fig3_rows(table, optimizer)
    rows = rows[rows["metric"] == TESTING]
    at = {n: set(group["treatment"]) for n, group in rows.groupby("n_classes")}
    result = []
    for other in list(TREATMENTS)[1:]:
        shared = [n for n, names in at.items() if {"ANML", other} <= names]
        if not shared:
            continue
        here = rows[rows["n_classes"] == max(shared)]
        ours, theirs = (model_means(here[here["treatment"] == t]) for t in ("ANML", other))
        gap = 100 * (ours.mean() - theirs.mean())
        test = mann_whitney(ours, theirs).text
        result.append(
            {"against": other, "N": max(shared), "difference": f"{gap:+.1f}", "test": test}
        )
    return pd.DataFrame(result, columns=["against", "N", "difference", "test"])


def fig3_glue(values: pd.DataFrame, provenance: Provenance) -> dict[str, float | int | str]:
    """Return the values that prose cites: `fig3_<treatment>_test` and the like, in per cent.

    Each treatment's mean testing accuracy at the longest N, with `_low` and `_high` where there is
    an interval; `fig3_longest_n`, `fig3_replicates`, `fig3_data`, `fig3_profile`, `fig3_network`.
    """
    longest = int(values["n_classes"].max())
    last = values[(values["metric"] == TESTING) & (values["n_classes"] == longest)]
    result: dict[str, float | int | str] = {}
    for row in last.itertuples():
        name = re.sub(r"[^a-z]+", "_", row.treatment.lower())
        result[f"fig3_{name}_test"] = round(100 * row.mean, 1)
        if np.isfinite(row.low):
            result[f"fig3_{name}_test_low"] = round(100 * row.low, 1)
            result[f"fig3_{name}_test_high"] = round(100 * row.high, 1)
    return result | {
        "fig3_longest_n": longest,
        "fig3_replicates": fig3_replicates(values),
        "fig3_data": "Omniglot" if provenance.data_source == "omniglot" else "embedded drawings",
        "fig3_profile": provenance.profile,
        "fig3_network": network_label(provenance),
    }
