"""Figure S9: final test accuracy against the order in which the classes were learned."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from anml.errors import AnmlError
from anml.figures.plot_curves import LEGEND, draw_curve, heading
from anml.figures.plot_style import MUTED, TREATMENTS, style
from anml.findings.claims import published
from anml.findings.curves import shown
from anml.findings.measure import ABOVE_CHANCE, HELD_OUT, class_optimizer
from anml.results import Provenance, Table
from anml.stats import CLASS_THRESHOLD, above_chance, replicates, summary
from anml.store.tables import TESTING, listing

NAME = "figS9_order"
SHOWN = ("ANML", "OML")
BIN = 10
"""Classes a bin, as in the paper."""


def figs9_rows(table: Table, treatments: tuple[str, ...] = SHOWN) -> pd.DataFrame:
    """Return the observations of `treatments` at the longest N that any of them was run at.

    Raises:
        AnmlError: the table holds none of the treatments.
    """
    frame = table.frame
    rows = frame[frame["treatment"].isin(list(treatments)) & (frame["metric"] == TESTING)]
    if rows.empty:
        raise AnmlError(
            f"the table holds no accuracy by class of {listing(treatments)}; it holds "
            f"{listing(sorted(set(frame['treatment'])))}"
        )
    return rows[rows["n_classes"] == rows["n_classes"].max()]


def figs9_left_out(table: Table) -> list[str]:
    """Return a line that names what of `SHOWN` was measured at fewer classes only; else none."""
    n = int(figs9_rows(table)["n_classes"].iloc[0])
    longest = table.frame.groupby("treatment")["n_classes"].max()
    shorter = [name for name in SHOWN if longest.get(name, n) < n]
    if not shorter:
        return []
    words = ", ".join(f"{name} (up to {longest[name]} classes)" for name in shorter)
    return [f"Not measured class by class at N = {n}, and so left out of the figure: {words}."]


def figs9_values(table: Table, seed: int = 0, width: int = BIN) -> pd.DataFrame:
    """Return what Figure S9 shows, one row a bin of `width` classes in the order of learning.

    Columns: `treatment`, `first`, `last` (places in the order, from 1), `n_classes` (N), `mean`,
    `low`, `high` (fractions; two-level bootstrap interval), `models`, `trajectories`.
    """
    rows = figs9_rows(table)
    rows = rows.assign(first=rows["position"] // width * width + 1)
    keys = ["treatment", "n_classes", "first"]
    # A bin's mean within a trajectory is one observation: its classes share the same weights.
    means = rows.groupby([*keys, "model_seed", "trajectory_seed"], as_index=False)["value"].mean()
    values = summary(means, keys, seed=seed)
    values["last"] = np.minimum(values["first"] + width - 1, values["n_classes"])
    places = ["treatment", "first", "last"]
    return values[[*places, *values.columns.drop(places)]]


def figs9(values: pd.DataFrame, provenance: Provenance) -> Figure:
    """Draw Figure S9 from `figs9_values`: a curve a treatment with its band, and chance."""
    longest = int(values["n_classes"].iloc[0])
    with style():
        figure = Figure(figsize=(9, 4.9))
        axis = figure.subplots()
        for treatment, curve in values.groupby("treatment"):
            middle = curve.assign(n_classes=(curve["first"] + curve["last"]) / 2)
            draw_curve(axis, middle, TREATMENTS[treatment], markersize=4, label=treatment)
        axis.axhline(
            100 / longest,
            *(0, 1),
            color=MUTED,
            linestyle=":",
            linewidth=1.2,
            label=f"chance, 1/N = {100 / longest:.2g}%",
        )
        axis.set_xlim(0.5, longest + 0.5)
        axis.set_ylim(-2, 104)
        axis.set_xlabel(
            f"Place in the order of learning, 1 to N = {longest}; bins of {BIN} classes"
        )
        axis.set_ylabel("Testing accuracy at the end, %")
        figure.subplots_adjust(left=0.072, right=0.99, top=0.82, bottom=0.24)
        figure.legend(loc="upper left", bbox_to_anchor=(0.05, 0.13), ncols=3, **LEGEND)
        heading(figure, values, provenance, class_optimizer(provenance))
    return figure


def order_table(table: Table, seed: int = 0) -> pd.DataFrame:
    """Return the figure for reading, in per cent, in ten bins where N is 100 or more."""
    longest = int(figs9_rows(table)["n_classes"].iloc[0])
    values = figs9_values(table, seed, max(BIN, -(-longest // 10)))
    text = [shown(*row) for row in values[["mean", "low", "high"]].itertuples(index=False)]
    places = [f"{a} to {b}" for a, b in zip(values["first"], values["last"], strict=True)]
    wide = values.assign(text=text, places=places).pivot(
        index=["first", "places"], columns="treatment", values="text"
    )
    wide = wide[[name for name in TREATMENTS if name in wide]].fillna("-")
    wide = wide.rename_axis(columns=None).reset_index().drop(columns="first")
    return wide.rename(columns={"places": "classes learned"})


def chance_table(table: Table, provenance: Provenance) -> pd.DataFrame:
    """Return the share of classes above chance, of every treatment that the table holds.

    Each at the longest N that it was measured at. The paper's share stands beside it where the
    results are Omniglot's.
    """
    paper = published()
    paper = paper[(paper["metric"] == ABOVE_CHANCE) & (provenance.data_source == "omniglot")]
    paper = paper.set_index("treatment")
    held = set(table.frame["treatment"])
    result = []
    for treatment in (name for name in TREATMENTS if name in held):
        own = figs9_rows(table, (treatment,))
        test = above_chance(own, HELD_OUT)
        result.append(
            {
                "treatment": treatment,
                "N": int(own["n_classes"].iloc[0]),
                f"classes above chance (p < {CLASS_THRESHOLD:g}), %": "too few drawings to tell"
                if test.share is None
                else shown(test.share, test.low, test.high),
                "drawings a class": test.drawings,
                "replicates": replicates(test.models, test.trajectories),
                "paper": f"{paper['value'][treatment]} (N = {paper['n_classes'][treatment]})"
                if treatment in paper.index
                else "-",
            }
        )
    return pd.DataFrame(result)
