"""Estimated times of a profile's groups of jobs, as `anml plan --csv` recorded them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

FOLDER = Path(__file__).resolve().parent.parent / "results" / "reference"


def read_estimates(profile: str) -> pd.Series:
    """Seconds of one process for each group of jobs; empty where none were recorded."""
    path = FOLDER / f"plan_{profile}.csv"
    if not path.is_file():
        return pd.Series(dtype=float)
    return pd.read_csv(path).set_index("group")["seconds"].astype(float)
