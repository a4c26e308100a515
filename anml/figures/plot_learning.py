"""Learning curves of meta-training: meta-loss, and accuracy on the remember set, by iteration."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from anml.figures.plot_curves import one_line_heading
from anml.figures.plot_style import TREATMENTS, style
from anml.results import Provenance, Table
from anml.store.tables import LAST_SHARE, LOG_METRICS
from anml.treatments import treatment_of

NAME = "learning_curves"
SHOWN = {LOG_METRICS[0]: "meta-loss (cross-entropy)", LOG_METRICS[2]: "accuracy, %"}
"""The panels: a metric of the log, and what its axis says."""
POINTS = 40
"""Of each curve: the log's stretches are averaged down to about as many."""


def learning_values(table: Table) -> pd.DataFrame:
    """Return what the figure shows: `training`, `model_seed`, `metric`, `iteration`, `value`.

    Means over equal stretches of iterations, about `POINTS` a curve; `iteration` is a stretch's
    last.
    """
    curves = []
    for (training, seed, metric), rows in table.frame.groupby(
        ["treatment", "model_seed", "metric"], sort=True
    ):
        # By iteration, not by row: a log of several runs may have more rows in one part.
        count, last = min(POINTS, len(rows)), rows["iteration"].max()
        stretch = (-(-rows["iteration"] * count // last)).rename("stretch")
        means = rows.groupby(stretch).agg(iteration=("iteration", "max"), value=("value", "mean"))
        names = {"training": training, "model_seed": seed, "metric": metric}
        curves.append(means.assign(**names))
    columns = ["training", "model_seed", "metric", "iteration", "value"]
    return pd.concat(curves, ignore_index=True)[columns]


def ends(values: pd.DataFrame) -> pd.DataFrame:
    """Return how each meta-training ended: a row each, means over models and the last iterations.

    Columns: `training`, `models`, `iterations`, and one for each metric of the log.
    """
    rows = []
    for training, own in values.groupby("training", sort=False):
        last = own[own["iteration"] > (1 - LAST_SHARE) * own["iteration"].max()]
        means = last.groupby("metric")["value"].mean()
        counts = {"models": own["model_seed"].nunique(), "iterations": own["iteration"].max()}
        rows.append({"training": training} | counts | {m: means[m] for m in LOG_METRICS})
    return pd.DataFrame(rows)


def learning_figure(values: pd.DataFrame, provenance: Provenance) -> Figure:
    """Draw a panel a metric of `SHOWN`: a thin line a model, a thick one for the models' mean."""
    with style():
        figure = Figure(figsize=(9, 4.2), layout="constrained")
        models = values.groupby("training")["model_seed"].nunique().max()
        one_line_heading(figure, provenance, f"{models} model{'s' if models > 1 else ''} at most")
        axes = figure.subplots(1, len(SHOWN))
        for axis, (metric, label) in zip(axes, SHOWN.items(), strict=True):
            _panel(axis, values[values["metric"] == metric], label)
        axes[0].set_title("What is minimised")
        axes[1].set_title("The remember set, after the inner loop")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    return figure


def _panel(axis: Axes, rows: pd.DataFrame, label: str) -> None:
    """The curves of one metric."""
    scale = 100 if "%" in label else 1
    for training, own in rows.groupby("training", sort=False):
        treatment = treatment_of(training)
        mark = TREATMENTS[treatment]
        looks = {"color": mark.colour, "linestyle": mark.line}
        curves = own.pivot(index="iteration", columns="model_seed", values="value") * scale
        if len(curves.columns) > 1:
            for seed in curves:
                axis.plot(curves.index, curves[seed], linewidth=0.7, alpha=0.5, **looks)
        axis.plot(curves.index, curves.mean(axis=1), linewidth=2, label=treatment, **looks)
    axis.set_xlabel("meta-iteration")
    axis.set_ylabel(label)
    axis.set_ylim(bottom=0)
