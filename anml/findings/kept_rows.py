"""What was measured of ANML with redrawn rows kept, as a profile's own results have it.

The tables recorded of such models (`anml.findings.lengths_found`) hold several lengths of
meta-training, under a treatment's name of their own. Beside a profile's results only the profile's
own length is comparable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd

from anml.findings.found_tables import Found
from anml.findings.lengths_found import KEPT, REDRAW_KEPT, Tables, recorded_beside
from anml.findings.rates_found import found_rates
from anml.results import Table
from anml.running.length_names import TREATMENT

PROBES = ("activity", "knn")
"""The tables of probes that the ledger reads."""


def kept_beside(name: str, own: Found, root: Path | None = None) -> Tables:
    """Return the table `name` of models whose redrawn rows were kept, by profile.

    Empty where there is none, or where `own`, the table of a page, is of a run of one's own.
    """
    shown = {own.table.provenance.profile: own.table} if own.recorded else {}
    return recorded_beside(REDRAW_KEPT, name, shown, root)


def kept_meta_tests(own: Found, optimizer: str = "adam", root: Path | None = None) -> Tables:
    """Return the meta-tests with `optimizer` of models whose redrawn rows were kept, by profile.

    A `lengths` table with as long a meta-training as `own`, the table of a page, says; empty where
    nothing was measured so, or where `own` is of a run of one's own.
    """
    return _as_long("lengths", own, optimizer, root)


def with_kept_rates(
    rates: pd.DataFrame, own: Found, optimizer: str = "adam", root: Path | None = None
) -> pd.DataFrame:
    """Return `found_rates` (`anml.findings.rates_found`) and, behind them, those of the kept.

    Each model of those had a search of its own.
    """
    searched = _as_long("length_rates", own, optimizer, root).values()
    kept = [found_rates(table, [KEPT], optimizer=optimizer, each_model=True) for table in searched]
    return pd.concat([rates, *kept], ignore_index=True)


def search_note(rates: pd.DataFrame) -> list[str]:
    """Return a sentence where `with_kept_rates` were searched at other N than ANML's; else none."""
    searched = {
        name: sorted(set(rates.loc[rates["treatment"] == name, "n_classes"]))
        for name in (TREATMENT, KEPT)
    }
    if not searched[KEPT] or searched[KEPT] == searched[TREATMENT]:
        return []
    words = {name: ", ".join(map(str, numbers)) for name, numbers in searched.items()}
    return [
        f"The rate of {KEPT} was searched at N = {words[KEPT]}, that of {TREATMENT} at N = "
        f"{words[TREATMENT]}: at other N a part of their difference may be the nearest one's rate."
    ]


def _as_long(name: str, own: Found, optimizer: str, root: Path | None) -> dict[str, Table]:
    """The rows of `kept_beside` with an optimizer and as long a meta-training as `own` has."""
    found = {}
    for profile, table in kept_beside(name, own, root).items():
        rows = table.frame
        rows = rows[(rows["iterations"] == _length(own.table)) & (rows["optimizer"] == optimizer)]
        if len(rows):
            found[profile] = replace(table, frame=rows)
    return found


def kept_tables(
    found: Mapping[str, Found], optimizer: str = "adam", root: Path | None = None
) -> dict[str, Table]:
    """Return those of the tables `found` that models with kept rows have, under ANML's name.

    So what measures ANML's numbers measures theirs. `found`: a page's tables by name, not empty.
    """
    source = next(iter(found.values()))
    tables = {"meta_test": kept_meta_tests(source, optimizer, root)}
    for name in PROBES:
        if name in found:
            probed = kept_beside(name, found[name], root)
            tables[name] = {p: t for p, t in probed.items() if _length(t) == _length(source.table)}
    return {name: _renamed(table) for name, own in tables.items() for table in own.values()}


def of_which(table: Table) -> str:
    """Return of which models a table of probes with kept rows is: how long trained, which seeds."""
    seeds = sorted(set(table.frame["model_seed"]))
    models = f"model{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"
    return f"{KEPT} after {_length(table):,} meta-iterations, {models}"


def _length(table: Table) -> int | None:
    """The meta-iterations of the profile that a table was made by."""
    return table.provenance.profile_values.get("meta_iterations")


def _renamed(table: Table) -> Table:
    """The table as it would be of ANML's own models."""
    if "treatment" not in table.frame:
        return table
    return replace(table, frame=table.frame.replace({"treatment": {KEPT: TREATMENT}}))
