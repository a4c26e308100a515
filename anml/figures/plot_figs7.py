"""Figure S7: one shuffled epoch against twenty, for every treatment."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from anml.figures.plot_curves import heading
from anml.figures.plot_regimes import PAPER, regime_legend, regime_panels
from anml.figures.plot_style import FIVE, style
from anml.findings.curves import curve_values, published_marks
from anml.results import Provenance, Table

NAME = "figS7_epochs"
REGIMES = ("oracle", "oracle 20 epochs")


def figs7_values(table: Table, optimizer: str = "adam", seed: int = 0) -> pd.DataFrame:
    """Return the curves of Figure S7: `anml.findings.curves.curve_values` of both regimes."""
    return curve_values(table, FIVE, REGIMES, optimizer, seed)


def figs7(values: pd.DataFrame, provenance: Provenance, optimizer: str = "adam") -> Figure:
    """Draw Figure S7 from `figs7_values`: a column a treatment, one and twenty epochs in each."""
    marks = published_marks(FIVE, REGIMES, provenance, PAPER)
    with style():
        figure = Figure(figsize=(9, 6.4))
        grid = figure.add_gridspec(
            *(2, len(FIVE)), left=0.072, right=0.99, top=0.81, bottom=0.235, wspace=0.1, hspace=0.1
        )
        regime_panels(grid.subplots(sharex=True, sharey=True), values, marks, FIVE, REGIMES)
        heading(figure, values, provenance, optimizer)
        regime_legend(figure, marks, REGIMES, 0.155, provenance.data_source == "omniglot")
    return figure
