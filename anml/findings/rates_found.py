"""Which meta-test learning rates the search found, and where its grid may have been too short."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pandas as pd

from anml.results import Table
from anml.running.rate_choice import best_rate

SMALLEST, LARGEST = "smallest", "largest"
ARROWS = {SMALLEST: " \N{DOWNWARDS ARROW}", LARGEST: " \N{UPWARDS ARROW}", "": ""}


def edge_of(rate: float, tried: Collection[float]) -> str:
    """Return 'smallest' or 'largest' where `rate` is the end of the rates `tried`, else ''."""
    ends = {max(tried): LARGEST, min(tried): SMALLEST} if len(tried) else {}
    return ends.get(rate, "")


def found_rates(
    table: Table,
    treatments: Sequence[str],
    regimes: Sequence[str] = ("sequential",),
    optimizer: str = "adam",
) -> pd.DataFrame:
    """Return the rate that each search in a `learning_rates` table chose, treatments in order.

    Columns: `treatment`, `regime`, `n_classes`, `learning_rate`, `edge`: 'smallest' or 'largest'
    where it is the end of what was tried, else ''.
    """
    frame = table.frame[table.frame["optimizer"] == optimizer]
    rows = []
    for treatment in treatments:
        for regime in regimes:
            own = frame[(frame["treatment"] == treatment) & (frame["regime"] == regime)]
            for n, searches in own.groupby("n_classes"):
                rate, tried = best_rate(searches.to_dict("records")), searches["learning_rate"]
                rows.append((treatment, regime, int(n), rate, edge_of(rate, tried)))
    return pd.DataFrame(rows, columns=["treatment", "regime", "n_classes", "learning_rate", "edge"])


def rate_sheet(rates: pd.DataFrame) -> pd.DataFrame:
    """Return `found_rates` for reading: a row a treatment (and regime), a column an N searched.

    An arrow says that the grid ends there, and on which side.
    """
    several = rates["regime"].nunique() > 1
    words = rates["treatment"] + (", " + rates["regime"] if several else "")
    text = rates["learning_rate"].map("{:g}".format) + rates["edge"].map(ARROWS)
    shown = pd.DataFrame({"treatment": words, "n": rates["n_classes"], "text": text})
    sheet = shown.pivot(index="treatment", columns="n", values="text").loc[words.unique()]
    sheet.columns = [f"N = {n}" for n in sheet.columns]
    return sheet.fillna("-").reset_index()


def edge_notes(rates: pd.DataFrame) -> list[str]:
    """Return a sentence for each end of a grid that is the best rate at the longest N searched."""
    longest = rates.groupby(["treatment", "regime"])["n_classes"].transform("max")
    last, notes = rates[rates["n_classes"] == longest], []
    for edge, other in ((SMALLEST, "smaller"), (LARGEST, "larger")):
        own = last[last["edge"] == edge]
        for (n, rate), rows in own.groupby(["n_classes", "learning_rate"]):
            notes.append(
                f"At N = {n} the best learning rate is the {edge} that was tried, {rate:g}, for "
                f"{'; '.join(rows['treatment'].unique())}: a {other} one may be better still."
            )
    return notes
