"""OML's outer rate at the paper's width: what short meta-trainings at several rates came to."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from anml.findings.curves import counts, shown
from anml.findings.found_tables import repository_root
from anml.findings.lengths_compared import REPRESENTATION
from anml.findings.lengths_said import COLUMNS, REPLICATES
from anml.results import Table, read_table
from anml.stats import summary
from anml.store.tables import TESTING
from anml.treatments import IN_ORDER

RATE = "oml_outer_rate"
"""The value of a profile in which the runs differ."""
FOLDERS = "paper_oml_outer_*"
"""Where each of them is recorded: `results/paper_oml_outer_<rate>/`."""
UNITS = {"share active": "units active for a drawing, %", "dead units": "for none, %"}


def tried(name: str, root: Path | None = None) -> list[Table]:
    """Return the tables `name` of those runs, the smallest outer rate first.

    AnmlError: one of them is damaged.
    """
    paths = ((root or repository_root()) / "results").glob(f"{FOLDERS}/{name}.parquet")
    return sorted(map(read_table, paths), key=_rate)


def tried_sheet(accuracy: list[Table], activity: list[Table]) -> pd.DataFrame:
    """Return what each run's models know, in per cent with intervals, and which units are active.

    `accuracy` and `activity`: tables `lengths` and `length_activity` of `tried`. A row an outer
    rate and treatment, a column an N and order of drawings, then two of the representation's units
    and one of the replicates.
    """
    units = {_rate(table): _unit_cells(table) for table in activity}
    rows = []
    for table in accuracy:
        frame = table.frame[table.frame["metric"] == TESTING]
        for treatment in filter(set(frame["treatment"]).__contains__, IN_ORDER):
            keys = ["n_classes", "regime"]
            found = summary(frame[frame["treatment"] == treatment], keys).set_index(keys)
            cells = {
                f"N = {n}{words}": shown(*found.loc[(n, regime), ["mean", "low", "high"]])
                for n in found.index.unique("n_classes")
                for regime, words in COLUMNS.items()
                if (n, regime) in found.index
            }
            where = {
                "outer rate": f"{_rate(table):g}",
                "meta-iterations": frame["iterations"].iloc[0],
                "treatment": treatment,
            }
            own = units.get(_rate(table), {})
            rows.append(where | cells | own | {REPLICATES: counts(found)})
    return pd.DataFrame(rows).fillna("-")


def _rate(table: Table) -> float:
    """The outer rate that a run was meta-trained at."""
    return table.provenance.profile_values[RATE]


def _unit_cells(table: Table) -> dict[str, str]:
    """Means over models of the representation's units, in per cent."""
    rows = table.frame[table.frame["layer"] == REPRESENTATION]
    means = rows.groupby("metric")["value"].mean()
    return {words: f"{100 * means[metric]:.1f}" for metric, words in UNITS.items()}
