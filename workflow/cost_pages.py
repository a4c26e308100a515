"""What it takes to rerun each page from nothing, at each profile: a table that the page includes.

Times of recorded runs are measured (the tables `stages`); where there is none, they are estimates
of `anml plan --csv results/reference/plan_<profile>.csv`. A page's time is that of the groups of
jobs (`anml.groups`) which hold what it needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from notebook_table import Row, read_rows, row_named

from anml.errors import AnmlError
from anml.groups import group_name
from anml.plan import plan
from anml.profiles import PROFILES
from anml.recorded import recorded_tables
from anml.results import duration

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "book" / "generated" / "costs"
REFERENCE = ROOT / "results" / "reference"
PROCESSES = 2
TRAINING = "meta-train"


def how_known() -> str:
    """Where the times come from, in words."""
    measured = ", ".join(recorded_tables("stages", ROOT))
    return (
        f"measured in the recorded runs ({measured}), else estimated from a few steps of "
        "everything (`anml plan`)"
    )


def estimated() -> dict[str, pd.Series]:
    """Estimated seconds of one process for each group of jobs, by profile."""
    paths = {profile: REFERENCE / f"plan_{profile}.csv" for profile in PROFILES}
    return {
        profile: pd.read_csv(path).set_index("group")["seconds"]
        for profile, path in paths.items()
        if path.is_file()
    }


def seconds_by_group() -> dict[str, pd.Series]:
    """Seconds of one process for each group of jobs, by profile: of recorded runs if there are."""
    recorded = recorded_tables("stages", ROOT)
    return estimated() | {
        profile: table.frame.set_index("group")["seconds"] for profile, table in recorded.items()
    }


def page_row(profile: str, row: Row, spent: pd.Series) -> dict[str, str] | None:
    """What the page's jobs take at one profile; None where it has none there."""
    try:
        jobs = plan(PROFILES[profile], row.only)
    except AnmlError:  # no such job at this profile
        return None
    own = spent.reindex(sorted({group_name(job) for job in jobs}))
    if own.isna().any():
        return None
    trained = own[[name for name in own.index if name.startswith(TRAINING)]].sum()
    return {
        "profile": f"**{profile}**",
        "one process": duration(own.sum()),
        f"{PROCESSES} processes": duration(own.sum() / PROCESSES),
        "of it meta-training": f"{100 * trained / own.sum():.0f}%",
    }


def page(row: Row, spent: Mapping[str, pd.Series]) -> str:
    """The text that the page of `row` includes."""
    shown = [page_row(name, row, spent[name]) for name in PROFILES if name in spent]
    table = pd.DataFrame([one for one in shown if one])
    return (
        "All that it needs, computed from nothing, on a CPU with a thread a process, "
        f"{how_known()}.\n\n"
        f"{table.to_markdown(index=False, disable_numparse=True)}\n\n"
        "What another page has computed already isn't computed again.\n"
    )


def pages() -> dict[Path, str]:
    """The text for each page whose rerun computes something, by file."""
    rows, spent = read_rows(), seconds_by_group()
    needed = {row.source: row_named(row.output, rows) for row in rows if row.recorded}
    return {FOLDER / f"{source}.md": page(row, spent) for source, row in needed.items()}
