"""The search of OML's and pretraining's rates as heat maps: a square a pair of rates."""

from __future__ import annotations

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from anml.figures.plot_curves import one_line_heading
from anml.figures.plot_style import WARNING, style
from anml.results import Provenance, Table
from anml.store.tables import TESTING
from anml.treatments import treatment_of

NAME = "baseline_rates"
RATES = ["inner_rate", "outer_rate"]
COLUMNS = ["training", "treatment", "n_classes", *RATES, "learning_rate"]


def rates_values(table: Table) -> pd.DataFrame:
    """Return what the figure shows: `COLUMNS`, `iterations`, `value`, `chosen`, sorted."""
    frame = table.frame[[*COLUMNS, "iterations", "value", "chosen"]]
    return frame.sort_values(COLUMNS, ignore_index=True)


def best_rates(values: pd.DataFrame) -> pd.DataFrame:
    """Return a row a pair of rates: its `mean` over treatments and N, best first a training.

    `meta_test_rate`: the largest that was best anywhere; 0 where meta-training diverged.
    """
    by = ["training", *RATES]
    found = {"mean": ("value", "mean"), "chosen": ("chosen", "max")}
    means = values.groupby(by, as_index=False).agg(**found, meta_test_rate=("learning_rate", "max"))
    return means.sort_values(["training", "mean"], ascending=[True, False], ignore_index=True)


def rates_sheet(values: pd.DataFrame) -> pd.DataFrame:
    """Return `best_rates` for reading, in per cent; pretraining has no inner rate: a dash."""
    best = best_rates(values)
    return pd.DataFrame(
        {
            "training": best["training"].map(treatment_of),
            "inner rate": best["inner_rate"].map(lambda rate: f"{rate:g}" if rate else "-"),
            "outer rate": best["outer_rate"].map("{:g}".format),
            "mean accuracy, %": (100 * best["mean"])
            .map("{:.1f}".format)
            .mask(best["meta_test_rate"] == 0, "diverged"),
            "in use": best["chosen"].map({0: "", 1: "yes"}),
        }
    )


def in_full_sheet(table: Table, other: Table) -> pd.DataFrame:
    """Return testing accuracies of two runs, meta-trained in full at other rates, in per cent.

    Of two `meta_test` tables: a row a treatment, regime and N that both hold; then the runs, named
    by the rates in which they differ, each number with its meta-test rate in brackets.
    """
    values = [one.provenance.profile_values for one in (table, other)]
    rates = [k for k in values[0] if k.endswith("_rate") and values[0][k] != values[1].get(k)]
    names = [
        ", ".join(f"{rate.replace('_', ' ')} {own[rate]:g}" for rate in rates) for own in values
    ]
    keys = ["treatment", "regime", "n_classes"]
    means = []
    for one in (table, other):
        rows = one.frame[(one.frame["metric"] == TESTING) & (one.frame["optimizer"] == "adam")]
        rows = rows[rows["model_seed"] == 0]  # as many models for one as for the other
        found = rows.groupby(keys).agg(mean=("value", "mean"), rate=("learning_rate", "first"))
        texts = [f"{100 * mean:.1f} ({rate:g})" for mean, rate in found.itertuples(index=False)]
        means.append(pd.Series(texts, found.index, dtype=object))
    both = pd.concat(means, axis=1, keys=names, join="inner").reset_index()
    return both.rename(columns={"n_classes": "N"})


def edge_notes(values: pd.DataFrame) -> list[str]:
    """Return a sentence for each rate whose best value is the smallest or largest tried."""
    notes = []
    for training, best in best_rates(values).groupby("training").first().iterrows():
        own = values[values["training"] == training]
        for column in RATES:
            tried = sorted(own[column].unique())
            if len(tried) > 1 and best[column] in (tried[0], tried[-1]):
                end, other = (
                    ("largest", "larger") if best[column] == tried[-1] else ("smallest", "smaller")
                )
                name = column.replace("_", " ")
                notes.append(
                    f"The best {name} of {treatment_of(training)}, {best[column]:g}, is the {end} "
                    f"that was tried: a {other} one may be better still."
                )
    return notes


def rates_figure(values: pd.DataFrame, provenance: Provenance) -> Figure:
    """Draw a panel a treatment and N; a frame marks the rates that the results were made with."""
    panels = list(values.groupby(["training", "treatment", "n_classes"], sort=True))
    with style():
        figure = Figure(figsize=(9, 0.4 + 2.75 * -(-len(panels) // 3)), layout="constrained")
        words = f"one model a pair, {values['iterations'].max():,} iterations"
        one_line_heading(figure, provenance, words)
        axes = figure.subplots(-(-len(panels) // 3), 3, squeeze=False).flatten()
        for axis, ((training, treatment, n), rows) in zip(axes, panels, strict=False):
            _panel(axis, rows, training)
            axis.set_title(f"{treatment}, N = {n}")
        for axis in axes[len(panels) :]:
            axis.remove()
    return figure


def _panel(axis: Axes, rows: pd.DataFrame, training: str) -> None:
    """One heat map of accuracies in per cent; pretraining has no inner rate and so one row."""
    grid = rows.pivot(index="inner_rate", columns="outer_rate", values="value") * 100
    chosen = rows.pivot(index="inner_rate", columns="outer_rate", values="chosen")
    lost = rows.pivot(index="inner_rate", columns="outer_rate", values="learning_rate") == 0
    sns.heatmap(
        grid,
        ax=axis,
        annot=grid.map("{:.1f}".format).mask(lost, "diverged"),
        fmt="",
        cmap="cividis",
        cbar=False,
        vmin=0,
        vmax=max(1.0, grid.to_numpy().max()),
        linewidths=2,
        square=len(grid) > 1,
    )
    for row, column in zip(*(chosen == 1).to_numpy().nonzero(), strict=True):
        frame = Rectangle((column, row), 1, 1, fill=False, edgecolor=WARNING, linewidth=2.5)
        frame.set(clip_on=False, gid="chosen")
        axis.add_patch(frame)
    axis.grid(visible=False)
    axis.set_xlabel("Adam's rate" if training == "pretrain" else "outer rate (Adam)")
    axis.set_ylabel("" if training == "pretrain" else "inner rate (SGD)")
    axis.set_xticklabels([f"{rate:g}" for rate in grid.columns], rotation=0)
    axis.set_yticklabels([f"{rate:g}" for rate in grid.index], rotation=0)
    if training == "pretrain":
        axis.set_yticks([])
