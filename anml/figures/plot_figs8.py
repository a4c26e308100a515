"""Figure S8: what happens when more layers may learn at meta-test."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from anml.figures.plot_curves import two_panels
from anml.figures.plot_regimes import PAPER
from anml.figures.plot_style import style
from anml.findings.curves import curve_values, published_marks
from anml.results import Provenance, Table

NAME = "figS8_plasticity"
SEQUENTIAL = ("sequential",)
ORACLES = ("oracle", "oracle 20 epochs")
TREATMENTS = (
    *("ANML", "ANML-FT:PLN", "ANML-FT:PLN+NM out", "ANML-Unlimited"),
    *("OML", "OML-OLFT", "OML-FT:PLN+RLN final", "OML-Unlimited"),
)
"""ANML and OML as they are, and with more (OML-OLFT: fewer) layers plastic at meta-test."""
NO_ORACLES = (
    "The Oracles were not run in this table: a rerun of this page alone leaves them out, as the "
    "figure has none; `make results` adds them."
)


def figs8_values(table: Table, optimizer: str = "adam", seed: int = 0) -> pd.DataFrame:
    """Return the curves of Figure S8: `anml.findings.curves.curve_values` of the ablation."""
    return curve_values(table, TREATMENTS, SEQUENTIAL, optimizer, seed)


def figs8_oracles(table: Table, optimizer: str = "adam", seed: int = 0) -> pd.DataFrame | None:
    """Return the same treatments under both Oracles, as `figs8_values`: they have no figure.

    None where the table holds none of them.
    """
    frame = table.frame[table.frame["optimizer"] == optimizer]
    if not (frame["regime"].isin(ORACLES) & frame["treatment"].isin(TREATMENTS)).any():
        return None
    return curve_values(table, TREATMENTS, ORACLES, optimizer, seed)


def figs8(values: pd.DataFrame, provenance: Provenance, optimizer: str = "adam") -> Figure:
    """Draw Figure S8 from `figs8_values`: two panels, mean and band a treatment."""
    with style():
        marks = published_marks(TREATMENTS, SEQUENTIAL, provenance, PAPER)
        return two_panels(values, marks, provenance, optimizer, height=5.8)
