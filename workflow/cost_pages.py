"""What it takes to rerun each page from nothing, at each profile: a table that the page includes.

Times of groups of jobs (`anml.running.groups`) that a recorded run did whole on a CPU's thread are
measured (the tables `stages`); others are estimates of `anml plan --csv
results/reference/plan_<profile>.csv`. A page's time is that of the groups which hold what it needs.
Of several processes it is an equal share of that, but never less than the longest chain of jobs
that wait for one another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pandas as pd
from estimates import read_estimates
from notebook_table import Row, read_rows, row_named

from anml.errors import AnmlError
from anml.findings.found_tables import recorded_tables
from anml.profiles import PROFILES
from anml.results import duration
from anml.running.groups import group_name, groups
from anml.running.jobs import Plan, Work
from anml.running.plan import plan

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "book" / "generated" / "costs"
PROCESSES = 2
TRAINING = "meta-train"
MIXED = ("rates", "lengths")
"""Groups whose jobs meta-train and meta-test in one."""
CPU, ONE_THREAD = "CPU, ", "CPU, 1 thread"
"""A device as results name it: what every CPU begins with, and one that has a thread a process."""


def how_known() -> str:
    """Where the times come from, in words."""
    guessed = "estimated from a few steps of everything (`anml plan`)"
    names = ", ".join(name for name, own in measured().items() if _is_all(name, own))
    return f"measured where it is recorded (all of {names}), else {guessed}" if names else guessed


@cache
def planned(profile: str) -> pd.Series:
    """How many jobs each group of a profile's plan has."""
    return pd.Series({name: len(group.jobs) for name, group in groups(PROFILES[profile]).items()})


def measured() -> dict[str, pd.Series]:
    """Seconds for the groups of jobs that recorded runs did whole with a thread, by profile."""
    return {
        profile: _done(profile, frame[frame["device"].map(on_one_thread)])
        for profile, frame in _recorded_stages().items()
    }


def on_one_thread(device: str) -> bool:
    """Whether a device, as results name it, is one thread of a CPU.

    One that was partly two threads counts as such ('CPU, 1 thread; CPU, 2 threads', of a job that
    was gone on with elsewhere): its time is a little short. A GPU's is of another kind.
    """
    parts = device.split("; ")
    return ONE_THREAD in parts and all(part.startswith(CPU) for part in parts)


def is_whole(profile: str) -> bool:
    """Whether every group of a profile's plan is recorded, on whatever device."""
    stages = _recorded_stages()
    return profile in stages and _is_all(profile, _done(profile, stages[profile]))


def _recorded_stages() -> dict[str, pd.DataFrame]:
    """The rows of the recorded tables `stages` by profile."""
    return {name: table.frame for name, table in recorded_tables("stages", ROOT).items()}


def _done(profile: str, stages: pd.DataFrame) -> pd.Series:
    """Seconds of the groups of which rows of a table `stages` together have every job."""
    own = stages.groupby("group")[["jobs", "seconds"]].sum()
    whole = own["jobs"] == planned(profile).reindex(own.index)
    return own.loc[whole, "seconds"]


def _is_all(profile: str, known: pd.Series) -> bool:
    """Whether `known`, by group, has every group of a profile's plan."""
    return set(planned(profile).index) == set(known.index)


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


@cache
def jobs_of(profile: str, only: tuple[str, ...] = ()) -> Plan:
    """The jobs of a profile, as `anml.running.plan.plan` has them."""
    return plan(PROFILES[profile], only)


def needed(profile: str, row: Row) -> list[str]:
    """The groups of jobs that hold what the page needs at one profile; none where it has no job."""
    try:
        return sorted({group_name(job) for job in jobs_of(profile, tuple(row.only))})
    except AnmlError:  # no such job at this profile
        return []


def elapsed(profile: str, spent: pd.Series, only: Sequence[str] = ()) -> float:
    """Seconds that `PROCESSES` at once take for a profile's jobs, at the least.

    `spent`: seconds of one process for each group; NaN, or not there: not known. `only`: as in
    `anml.running.plan.plan`. NaN where something is not known.
    """
    jobs = jobs_of(profile, tuple(only))
    own = spent.reindex(sorted({group_name(job) for job in jobs}))
    if own.isna().any():
        return math.nan
    ends: dict[Work, float] = {}
    for job in TopologicalSorter(jobs).static_order():
        begins = max((ends[other] for other in jobs[job]), default=0.0)
        ends[job] = begins + own[group_name(job)] * shares(profile)[job]
    return max(own.sum() / PROCESSES, *ends.values())


@cache
def shares(profile: str) -> dict[Work, float]:
    """Of each job of a profile's plan, its share of its group's time."""
    values, found = PROFILES[profile], {}
    for group in groups(values).values():
        work = {job: job.weight() * job.steps(values) for job in group.jobs}
        found |= {job: own / sum(work.values()) for job, own in work.items()}
    return found


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
        f"{PROCESSES} processes": duration(elapsed(profile, spent, row.only)),
        "of it meta-training": "not told apart" if mixed else f"{100 * trained / own.sum():.0f}%",
    }


def markdown(rows: Sequence[Mapping[str, str]] | pd.DataFrame) -> str:
    """A Markdown table."""
    return pd.DataFrame(rows).fillna("").to_markdown(index=False, disable_numparse=True)


def page(row: Row, spent: Mapping[str, pd.Series]) -> str:
    """The text that the page of `row` includes."""
    shown = [page_row(name, row, own) for name, own in spent.items()]
    table = markdown([one for one in shown if one])
    without = [f"**{name}**" for name in spent if not needed(name, row)]
    nothing = f"Nothing of it is computed at {', '.join(without)}.\n\n" if without else ""
    return (
        "All that it needs, computed from nothing, on a CPU with a thread a process, "
        f"{how_known()}.\n\n"
        f"{table}\n\n{nothing}"
        "What another page has computed already isn't computed again.\n"
    )


def pages() -> dict[Path, str]:
    """The text for each page whose rerun computes something, by file."""
    rows, spent = read_rows(), seconds_by_group()
    needed = {row.source: row_named(row.output, rows) for row in rows if row.recorded}
    return {FOLDER / f"{source}.md": page(row, spent) for source, row in needed.items()}
