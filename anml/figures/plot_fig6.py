"""Figure 6: unseen classes in three representations, as maps and by their nearest neighbours."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator

from anml.figures.plot_probes import (
    comparison,
    heading,
    kept_sheet,
    of_model,
    pair_tests,
    published_rows,
)
from anml.figures.plot_style import INK, MUTED, TREATMENTS, Mark, style
from anml.findings.curves import shown
from anml.findings.measure import KNN, KNN_K
from anml.probes import MAP_CLASSES, NEIGHBOURS, OTHER_DISTANCES
from anml.results import Provenance, Table
from anml.stats import LEVEL, summary
from anml.treatments import OF_ANML

NAME = "fig6_representation"
MAPS = {
    "latent": "ANML, latent before the gate",
    "gated": "ANML, latent after the gate",
    "oml": "OML's representation",
}
ANML = TREATMENTS["ANML"].colour
# ANML's layers are all in ANML's colour: line and marker tell them apart.
CURVES: dict[str, tuple[str, Mark]] = {
    "gated": ("ANML, latent after the gate", Mark(ANML, "o")),
    "latent": ("ANML, latent before the gate", Mark(ANML, "D", (0, (5, 1.5)))),
    "nm": ("ANML, NM's last layer (the gate)", Mark(ANML, "^", (0, (4, 1.2, 1, 1.2)))),
    "oml": ("OML's representation", Mark(TREATMENTS["OML"].colour, TREATMENTS["OML"].marker)),
    "nm random": ("NM with random weights (control)", Mark(MUTED, "v", (0, (1.5, 1.2)))),
}
SHOWN_K = (1, KNN_K, 10, 15, 20)
"""The K that have a marker, a tick and a column."""
EUCLIDEAN = "Euclidean"
"""The paper's distance, which the table `knn` is by."""
TESTS = (("gated", "latent"), ("nm", "nm random"))
"""The comparisons that the paper tests: gating, and meta-training of the NM."""
# A class has a colour and a shape of its own; the colours repeat once, never with the same shape.
CLASS_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#000000")
CLASS_SHAPES = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")


def fig6_values(knn: Table, seed: int = 0) -> pd.DataFrame:
    """Return the curves of Figure 6, one row a point.

    Columns: `representation`, `k`, `mean`, `low`, `high` (fractions; bootstrap interval over
    models, seeded with `seed`, NaN where there is one), `models`.
    """
    values = summary(knn.frame, ["representation", "k"], seed=seed).drop(columns="trajectories")
    places = values["representation"].map({name: place for place, name in enumerate(CURVES)})
    order = values.assign(place=places).sort_values(["place", "k"]).index
    return values.loc[order].reset_index(drop=True)


def fig6_published(provenance: Provenance) -> pd.DataFrame:
    """Return the paper's accuracies at K = 5: `representation`, `value` (fraction).

    None unless the results are on Omniglot, where the published numbers were measured.
    """
    rows = published_rows(list(KNN))
    points = pd.DataFrame(
        {
            "representation": rows["metric"].map(KNN),
            "value": rows["value"].astype("float64") / 100,
        }
    )
    return points if provenance.data_source == "omniglot" else points.iloc[:0]


def fig6_comparison(knn: Table, seed: int = 0) -> pd.DataFrame:
    """Return the paper's accuracies at K = 5 beside those of all models here, in per cent."""
    return comparison(list(KNN), {"knn": knn}, seed)


def fig6(tsne: Table, knn: Table, values: pd.DataFrame, model_seed: int = 0) -> Figure:
    """Draw Figure 6: three maps of one model's representations, and kNN accuracy against K.

    `values` as `fig6_values`, over all models. The maps' axes have no unit: t-SNE keeps which
    drawings are near each other, and nothing else.

    Raises:
        AnmlError: the tables hold no model of `model_seed`.
    """
    places, provenance = of_model(tsne, model_seed), tsne.provenance
    own = of_model(knn, model_seed)
    at_five = own[own["k"] == KNN_K].set_index("representation")["value"]
    with style():
        figure = Figure(figsize=(9, 7.8))
        maps = figure.add_gridspec(1, 3, left=0.012, right=0.99, top=0.832, bottom=0.505)
        maps.update(wspace=0.05)
        for place, (name, title) in enumerate(MAPS.items()):
            axis = figure.add_subplot(maps[place])
            _map(axis, places[places["representation"] == name])
            axis.set_title(title, fontsize=10)
            axis.set_xlabel(
                f"kNN, all unseen classes, K = {KNN_K}: {100 * at_five[name]:.1f}%"
                if name in at_five
                else "not run at this scale"
            )
        curves = figure.add_axes((0.07, 0.075, 0.52, 0.335))
        points = fig6_published(provenance)
        _curves(curves, values, points)
        _legend(figure, values, points)
        heading(figure, provenance, _lines(values, provenance, model_seed))
    return figure


def _lines(values: pd.DataFrame, provenance: Provenance, model_seed: int) -> tuple[str, ...]:
    """What the figure says of itself in words."""
    models = int(values["models"].max())
    interval = f"mean and {LEVEL:.0%} bootstrap interval over {models} models"
    probed = provenance.profile_values.get("probed", [])
    others = [name for name in probed if name in OF_ANML and name != "anml"]
    profile = provenance.profile + "".join(f", ANML meta-trained as {name}" for name in others)
    return (
        f"Profile {profile}; maps: t-SNE of 15 drawings of each of {MAP_CLASSES} unseen "
        # Without the colours where the name needs their room.
        + ("classes, " if others else "classes, a colour and shape each, ")
        + f"model {model_seed}",
        "curves: named by the nearest of 15 drawings of each unseen class; "
        + (interval if models > 1 else "one model, so no interval"),
    )


def _map(axis: Axes, places: pd.DataFrame) -> None:
    """Draw one map: a point a drawing, its colour and shape the class's."""
    for number, rows in places.groupby("class"):
        axis.plot(
            *(rows["x"], rows["y"]),
            linestyle="none",
            marker=CLASS_SHAPES[number],
            markersize=5,
            markerfacecolor=CLASS_COLOURS[number % len(CLASS_COLOURS)],
            markeredgecolor="white",
            markeredgewidth=0.4,
        )
    axis.set(xticks=[], yticks=[])
    axis.margins(0.06)
    for spine in axis.spines.values():
        spine.set(visible=True, color="#BBBBBB", linewidth=0.6)


def _curves(axis: Axes, values: pd.DataFrame, points: pd.DataFrame) -> None:
    """Draw accuracy against K, and the paper's values at K = 5."""
    for name, (_, mark) in CURVES.items():
        rows = values[values["representation"] == name]
        band = (rows["k"], 100 * rows["low"], 100 * rows["high"])
        axis.fill_between(*band, color=mark.colour, alpha=0.18, linewidth=0)
        axis.plot(
            *(rows["k"], 100 * rows["mean"]),
            color=mark.colour,
            marker=mark.marker,
            markevery=[NEIGHBOURS.index(k) for k in SHOWN_K],
            linestyle=mark.line,
            markersize=6,
            markeredgecolor="white",
            markeredgewidth=0.6,
        )
    for name, group in points.groupby("representation"):
        axis.plot(np.full(len(group), KNN_K), 100 * group["value"], **_hollow(CURVES[name][1]))
    axis.set_xlim(0.3, NEIGHBOURS[-1] + 0.7)
    axis.set_ylim(0, 100)
    axis.xaxis.set_major_locator(FixedLocator(SHOWN_K))
    axis.set_xlabel("Neighbours that vote, K")
    axis.set_ylabel("kNN accuracy, %")
    axis.set_title("Unseen classes by their nearest neighbours", fontsize=10)


def _hollow(mark: Mark) -> dict[str, object]:
    """How a published number is drawn: the marker of its curve, large and hollow."""
    return {
        "linestyle": "none",
        "marker": mark.marker,
        "markersize": 9,
        "markerfacecolor": "white",
        "markeredgecolor": mark.colour,
        "markeredgewidth": 1.5,
        "zorder": 4,
    }


def _legend(figure: Figure, values: pd.DataFrame, points: pd.DataFrame) -> None:
    """Name the curves at their right, in their order, and say what the stars are."""
    present = set(values["representation"])
    handles = [
        Line2D([], [], color=mark.colour, marker=mark.marker, linestyle=mark.line, label=label)
        for name, (label, mark) in CURVES.items()
        if name in present
    ]
    place = {"loc": "upper left", "alignment": "left", "handlelength": 3.2}
    title = {"title": "Measured here", "title_fontproperties": {"weight": "bold"}}
    figure.legend(handles=handles, bbox_to_anchor=(0.605, 0.425), **title, **place)
    if points.empty:
        note = "The published numbers are left off:\nthey were measured on Omniglot."
        figure.text(0.625, 0.13, note, color=MUTED, va="top", linespacing=1.5)
        return
    paper = Line2D([], [], **_hollow(Mark(INK, "o")), label=f"hollow: the paper, K = {KNN_K}")
    figure.legend(handles=[paper], bbox_to_anchor=(0.605, 0.205), **place)


def fig6_sheet(values: pd.DataFrame) -> pd.DataFrame:
    """Return the curves for reading: per cent, a row a representation, a column a K."""
    rows = values[values["k"].isin(SHOWN_K)]
    text = [shown(*row) for row in rows[["mean", "low", "high"]].itertuples(index=False)]
    table = rows.assign(text=text)
    table = table.pivot(index="representation", columns="k", values="text")
    table = table.loc[[name for name in CURVES if name in table.index]]
    table.index = [CURVES[name][0] for name in table.index]
    table.columns = [f"K = {k}" for k in table.columns]
    return table.rename_axis("kNN accuracy, %").reset_index()


def fig6_distance_sheet(knn: Table, distances: Table, seed: int = 0) -> pd.DataFrame:
    """Return the accuracy at K = 5 by each distance, in per cent, and what the gate adds by it.

    `distances`: the table `knn_distances`, over whose models the means are; `seed`: of the
    bootstrap intervals between models, shown where there are several.
    """
    own = knn.frame[knn.frame["model_seed"].isin(distances.frame["model_seed"])]
    rows = pd.concat([own.assign(distance=EUCLIDEAN), distances.frame])
    rows = rows[rows["k"] == KNN_K]
    values = summary(rows, ["representation", "distance"], seed=seed)
    text = [shown(*row) for row in values[["mean", "low", "high"]].itertuples(index=False)]
    table = values.assign(text=text).pivot(
        index="representation", columns="distance", values="text"
    )
    sheet = table.loc[[name for name in CURVES if name in table.index]]
    sheet.index = [CURVES[name][0] for name in sheet.index]
    means = values.pivot(index="distance", columns="representation", values="mean")
    if {"gated", "latent"} <= set(means):
        added = 100 * (means["gated"] - means["latent"])
        sheet.loc["What the gate adds to the latent, points"] = added.map("{:+.1f}".format)
    sheet = sheet[[EUCLIDEAN, *OTHER_DISTANCES]].rename_axis(index=f"kNN accuracy, %, K = {KNN_K}")
    models = distances.frame["model_seed"].nunique()
    return sheet.rename_axis(columns=None).reset_index().assign(models=models)


def fig6_kept_sheet(knn: Table, kept: Table) -> pd.DataFrame:
    """Return `anml.figures.plot_probes.kept_sheet` of the neighbours at K = 5."""
    tables = (replace(t, frame=t.frame[t.frame["k"] == KNN_K]) for t in (knn, kept))
    words = {name: label for name, (label, _) in CURVES.items()}
    return kept_sheet(*tables, "representation", words, f"kNN accuracy, %, K = {KNN_K}")


def fig6_tests(knn: Table) -> pd.DataFrame:
    """Return the paper's two comparisons at K = 5: `anml.figures.plot_probes.pair_tests`."""
    words = {name: label for name, (label, _) in CURVES.items()}
    return pair_tests(knn.frame[knn.frame["k"] == KNN_K], "representation", TESTS, words)
