"""OML's outer rate at the paper's width: what short meta-trainings at several rates came to."""

from __future__ import annotations

from collections.abc import Iterator
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
UNIT_COLUMNS = {"share active": "units active for a drawing, %", "dead units": "for none, %"}


def tried(name: str, root: Path | None = None) -> list[Table]:
    """Return the tables `name` of those runs on Omniglot, the smallest outer rate first.

    AnmlError: one of them is damaged.
    """
    paths = ((root or repository_root()) / "results").glob(f"{FOLDERS}/{name}.parquet")
    tables = map(read_table, paths)
    return sorted((one for one in tables if one.provenance.data_source == "omniglot"), key=_rate)


def tried_sheet(accuracy: list[Table], activity: list[Table]) -> pd.DataFrame:
    """Return what each run's models know, in per cent with intervals, and which units are active.

    `accuracy` and `activity`: tables `lengths` and `length_activity` of `tried`. A row an outer
    rate, length and treatment, a column an N and order of drawings, then two of the
    representation's units and one of the replicates.
    """
    units = {key: cells for table in activity for key, cells in _unit_cells(table)}
    rows = []
    for table in accuracy:
        frame = table.frame[table.frame["metric"] == TESTING]
        frame = frame.assign(place=frame["treatment"].map(IN_ORDER.index))
        for (length, _, treatment), own in frame.groupby(["iterations", "place", "treatment"]):
            keys = ["n_classes", "regime"]
            found = summary(own, keys).set_index(keys)
            cells = {
                f"N = {n}{words}": shown(*found.loc[(n, regime), ["mean", "low", "high"]])
                for n in found.index.unique("n_classes")
                for regime, words in COLUMNS.items()
                if (n, regime) in found.index
            }
            where = {
                "outer rate": f"{_rate(table):g}",
                "meta-iterations": f"{length:,}",
                "treatment": treatment,
            }
            active = units.get((_rate(table), length), {})
            rows.append(where | cells | active | {REPLICATES: counts(found)})
    return pd.DataFrame(rows).fillna("-")


def _rate(table: Table) -> float:
    """The outer rate that a run was meta-trained at."""
    return table.provenance.profile_values[RATE]


def _unit_cells(table: Table) -> Iterator[tuple[tuple[float, int], dict[str, str]]]:
    """By rate and length: means over models of the representation's units, in per cent."""
    rows = table.frame[table.frame["layer"] == REPRESENTATION]
    for length, own in rows.groupby("iterations"):
        means = own.groupby("metric")["value"].mean()
        cells = {words: f"{100 * means[metric]:.1f}" for metric, words in UNIT_COLUMNS.items()}
        yield (_rate(table), length), cells
