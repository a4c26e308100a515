"""OML's outer rate at the paper's width: what equally long meta-trainings at several came to."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from anml.findings.curves import counts, shown
from anml.findings.found_tables import repository_root
from anml.findings.lengths_compared import ORDERS, REPRESENTATION
from anml.findings.lengths_found import REPLICATE
from anml.findings.lengths_said import REPLICATES, points
from anml.profiles import PROFILES
from anml.results import Table, read_table
from anml.running.length_names import MEASURED
from anml.stats import summary, two_level_interval
from anml.store.tables import LAST_SHARE, LOG_METRICS, TESTING

TRAINING = "oml"
RATE = "oml_outer_rate"
"""The value of a profile in which the runs differ."""
IN_USE = getattr(PROFILES["paper"], RATE)
"""The outer rate of every other result at the paper's width."""
LOGS = ("meta_train_log", "unfinished_log")
"""A meta-training's log is in the first once it is finished."""
MODEL = ["rate", "treatment", "model_seed"]
"""The columns of logs that tell one meta-training from another."""
FOLDERS = ("paper", "paper_oml", "paper_oml_outer_*")
"""Under `results/`, where OML at the paper's width is recorded: its log and lengths at the rate in
use, and a folder for each other rate.
"""
OF_OML = (*MEASURED[TRAINING], TRAINING)
"""Whose rows of those tables are OML's; a log is named by its training."""
POINT = ["treatment", "iterations", "n_classes", "regime"]
ENDED = "meta-loss at the end"
UNIT_COLUMNS = {"share active": "units active for a drawing, %", "dead units": "for none, %"}


def tried(name: str, root: Path | None = None) -> pd.DataFrame:
    """Return OML's rows of the tables `name` of those runs on Omniglot, with the `rate` of each.

    Empty where nothing is recorded. AnmlError: a table is damaged.
    """
    rows = [table.frame.assign(rate=_rate(table)) for table in tables(name, root)]
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=["rate"])


def logs(root: Path | None = None) -> pd.DataFrame:
    """Return the logs of those runs' meta-trainings, finished or not, as `tried` does.

    One that is finished in one folder and not in another is there once. AnmlError: a table is
    damaged.
    """
    finished, others = (tried(name, root) for name in LOGS)
    if not finished.empty and not others.empty:
        done = pd.MultiIndex.from_frame(finished[MODEL])
        others = others[~pd.MultiIndex.from_frame(others[MODEL]).isin(done)]
    there = [frame for frame in (finished, others) if not frame.empty]
    return pd.concat(there, ignore_index=True) if there else finished


def tables(name: str, root: Path | None = None) -> list[Table]:
    """Return the tables called `name` that `tried` takes its rows from, the smallest rate first.

    AnmlError: a table is damaged.
    """
    results = (root or repository_root()) / "results"
    paths = [path for each in FOLDERS for path in results.glob(f"{each}/{name}.parquet")]
    found = []
    for table in map(read_table, paths):
        own = table.frame[table.frame["treatment"].isin(OF_OML)]
        if len(own) and table.provenance.data_source == "omniglot":
            found.append(Table(own, table.provenance))
    return sorted(found, key=_rate)


def accuracy_sheet(rows: pd.DataFrame) -> pd.DataFrame:
    """Return what OML's models know, in per cent with intervals, by outer rate.

    `rows`: of `tried("lengths")`. A row a treatment, length, N and order of drawings that several
    rates were measured at; a column a rate, and behind one that is not in use what it changes, in
    points, trajectory by trajectory. Empty where `rows` is.
    """
    if rows.empty:
        return pd.DataFrame()
    rows = rows[(rows["metric"] == TESTING) & rows["regime"].isin(ORDERS)]
    sheet = []
    several = rows.groupby(POINT)["rate"].transform("nunique") > 1
    for (name, iterations, n, regime), own in rows[several].groupby(POINT):
        cells = {
            "treatment": name,
            "meta-iterations": f"{iterations:,}",
            "N": n,
            "order": ORDERS[regime],
        }
        usual = own[own["rate"] == IN_USE].set_index(REPLICATE)["value"]
        found = summary(own, ["rate"]).set_index("rate")
        for rate, of_rate in own.groupby("rate"):
            cells[f"at {_named(rate)}"] = shown(*found.loc[rate, ["mean", "low", "high"]])
            change = (of_rate.set_index(REPLICATE)["value"] - usual).dropna()
            if rate != IN_USE and len(change):
                gain = two_level_interval(change, change.index.get_level_values("model_seed"))
                cells[f"change at {rate:g}, in points"] = points(gain.mean, gain.low, gain.high)
        sheet.append(cells | {REPLICATES: counts(found)})
    return pd.DataFrame(sheet).fillna("-")


def state_sheet(activity: pd.DataFrame, logged: pd.DataFrame) -> pd.DataFrame:
    """Return in what state each outer rate left the network: a row a rate and length.

    `activity`, `logged`: of `tried("length_activity")` and `logs`. The loss is the mean over the
    last tenth of the meta-iterations up to that length; units are the representation's, means over
    models. Empty where `activity` is.
    """
    if activity.empty:
        return pd.DataFrame()
    units = activity[activity["layer"] == REPRESENTATION]
    sheet = []
    for (rate, iterations), own in units.groupby(["rate", "iterations"]):
        log = logged[logged["rate"] == rate]
        shares = own.groupby("metric")["value"].mean()
        sheet.append(
            {
                "outer rate": _named(rate),
                "meta-iterations": f"{iterations:,}",
                ENDED: _loss(log, iterations, set(own["model_seed"])),
                **{words: f"{100 * shares[metric]:.1f}" for metric, words in UNIT_COLUMNS.items()},
            }
        )
    return pd.DataFrame(sheet)


def _loss(log: pd.DataFrame, iterations: int, models: set[int]) -> str:
    """The mean loss of `models` over the last tenth of their first `iterations`.

    A dash where no log of theirs goes so far.
    """
    if log.empty:
        return "-"
    own = log[(log["metric"] == LOG_METRICS[0]) & log["model_seed"].isin(models)]
    own = own[own.groupby("model_seed")["iteration"].transform("max") >= iterations]
    first = (1 - LAST_SHARE) * iterations
    ended = own[own["iteration"].between(first, iterations, inclusive="right")]
    return f"{ended['value'].mean():.2f}" if len(ended) else "-"


def _rate(table: Table) -> float:
    """The outer rate that a run was meta-trained at."""
    return table.provenance.profile_values[RATE]


def _named(rate: float) -> str:
    """A rate in words: `0.0003`, `0.001 (in use)`."""
    return f"{rate:g}" + " (in use)" * (rate == IN_USE)
