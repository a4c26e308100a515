"""What it takes to rerun each page from nothing, at each profile: a table that the page includes.

Times of groups of jobs (`anml.running.groups`) that a recorded run did whole are measured (the
tables `stages`); others are estimates of `anml plan --csv results/reference/plan_<profile>.csv`. A
page's time is that of the groups which hold what it needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pandas as pd
from estimates import read_estimates
from notebook_table import Row, read_rows, row_named

from anml.errors import AnmlError
from anml.findings.found_tables import recorded_tables
from anml.profiles import PROFILES
from anml.results import duration
from anml.running.groups import group_name, groups
from anml.running.plan import plan

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "book" / "generated" / "costs"
PROCESSES = 2
TRAINING = "meta-train"
MIXED = ("rates", "lengths")
"""Groups whose jobs meta-train and meta-test in one."""


def how_known() -> str:
    """Where the times come from, in words."""
    guessed = "estimated from a few steps of everything (`anml plan`)"
    names = ", ".join(name for name in measured() if is_whole(name))
    return f"measured where it is recorded (all of {names}), else {guessed}" if names else guessed


@cache
def planned(profile: str) -> pd.Series:
    """How many jobs each group of a profile's plan has."""
    return pd.Series({name: len(group.jobs) for name, group in groups(PROFILES[profile]).items()})


def measured() -> dict[str, pd.Series]:
    """Seconds of one process for the groups of jobs that recorded runs did whole, by profile."""
    found = {}
    for profile, table in recorded_tables("stages", ROOT).items():
        own = table.frame.groupby("group")[["jobs", "seconds"]].sum()
        whole = own["jobs"] == planned(profile).reindex(own.index)
        found[profile] = own.loc[whole, "seconds"]
    return found


def is_whole(profile: str) -> bool:
    """Whether every group of a profile's plan is measured."""
    known = measured()
    return profile in known and set(planned(profile).index) == set(known[profile].index)


def seconds_by_group() -> dict[str, pd.Series]:
    """Seconds of one process for each group of jobs, by profile: measured ones if there are.

    NaN where nothing is known.
    """
    known, none = measured(), pd.Series(dtype=float)
    spent = {}
    for profile in PROFILES:
        names = planned(profile).index
        own, guessed = known.get(profile, none), read_estimates(profile)
        spent[profile] = own.reindex(names).fillna(guessed.reindex(names))
    return spent


def needed(profile: str, row: Row) -> list[str]:
    """The groups of jobs that hold what the page needs at one profile; none where it has no job."""
    try:
        return sorted({group_name(job) for job in plan(PROFILES[profile], row.only)})
    except AnmlError:  # no such job at this profile
        return []


def page_row(profile: str, row: Row, spent: pd.Series) -> dict[str, str] | None:
    """What the page's jobs take at one profile; None where it has none there."""
    own = spent.reindex(needed(profile, row))
    if own.empty:
        return None
    if own.isna().any():
        return None
    trained = own[[name for name in own.index if name.startswith(TRAINING)]].sum()
    mixed = any(name.startswith(MIXED) for name in own.index)
    return {
        "profile": f"**{profile}**",
        "one process": duration(own.sum()),
        f"{PROCESSES} processes": duration(own.sum() / PROCESSES),
        "of it meta-training": "not told apart" if mixed else f"{100 * trained / own.sum():.0f}%",
    }


def page(row: Row, spent: Mapping[str, pd.Series]) -> str:
    """The text that the page of `row` includes."""
    shown = [page_row(name, row, own) for name, own in spent.items()]
    table = pd.DataFrame([one for one in shown if one])
    without = [f"**{name}**" for name in spent if not needed(name, row)]
    nothing = f"Nothing of it is computed at {', '.join(without)}.\n\n" if without else ""
    return (
        "All that it needs, computed from nothing, on a CPU with a thread a process, "
        f"{how_known()}.\n\n"
        f"{table.to_markdown(index=False, disable_numparse=True)}\n\n{nothing}"
        "What another page has computed already isn't computed again.\n"
    )


def pages() -> dict[Path, str]:
    """The text for each page whose rerun computes something, by file."""
    rows, spent = read_rows(), seconds_by_group()
    needed = {row.source: row_named(row.output, rows) for row in rows if row.recorded}
    return {FOLDER / f"{source}.md": page(row, spent) for source, row in needed.items()}
