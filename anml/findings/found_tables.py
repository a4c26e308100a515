"""Which table a page shows: one of the recorded results, or the reader's own.

Recorded results are preferred, and never mixed with a reader's.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import anml
from anml.errors import AnmlError
from anml.profiles import PROFILES
from anml.results import Table, read_table
from anml.store.tables import listing

BUDGETS = {"training_rates": "rate_search_iterations"}
"""Of tables that not every profile makes: the value that is 0 in those profiles that don't."""


@dataclass(frozen=True)
class Found:
    """A table, and whether it is one of the recorded results that the repository carries."""

    table: Table
    recorded: bool


def repository_root() -> Path:
    """Return the companion's folder: above the package, else the working folder or one above it.

    Raises:
        AnmlError: none of them holds `pyproject.toml` and `notebooks/`.
    """
    above_package = Path(anml.__file__).resolve().parent.parent
    here = Path.cwd()
    for folder in (above_package, here, *here.parents):
        if (folder / "pyproject.toml").is_file() and (folder / "notebooks").is_dir():
            return folder
    raise AnmlError(
        "the companion's folder was not found; work inside a clone of it, or install it from one "
        "with `pip install -e .`"
    )


def find_table(
    name: str, profile: str, data: str, results: str = "", root: Path | None = None
) -> Found:
    """Return the table `name` of a profile and data source, and whether it is a recorded one.

    With `results` empty, the recorded `results/<profile>/` is used when it holds that data source,
    else the user's own `runs/<profile>-<data>/results/`. Otherwise `results` is the folder,
    relative to the companion's folder `root`.

    Raises:
        AnmlError: there is no such table, with the command that makes it, or with the profiles
            that do; or the table found is of another profile or data source.
    """
    root = repository_root() if root is None else root
    folders = _folders(profile, data, results, root)
    held = []
    for folder in folders:  # one by one: what is not needed may be damaged
        table = _table(name, folder)
        if table is None:
            continue
        if _is_of(table, profile, data):
            return Found(table, _is_recorded(folder, root))
        held.append(
            f"{_shown(folder, root)} holds profile {table.provenance.profile!r} and "
            f"data {table.provenance.data_source!r}"
        )
    nothing = "nothing in " + " or ".join(_shown(folder, root) for folder in folders)
    places = "; ".join(held) or nothing
    raise AnmlError(
        f"no {name} table of profile {profile!r} and data {data!r}: {places}; "
        + _advice(name, profile, data)
    )


def find_tables(
    names: Iterable[str], profile: str, data: str, results: str = "", root: Path | None = None
) -> dict[str, Found]:
    """Return those of the tables `names` that are there, by name, all from one folder.

    The folder is the first in which any of them is, in the order of `find_table`: recorded results
    and the user's own are never mixed.

    Raises:
        AnmlError: none of them is there, as `find_table` says of the first; or one is damaged.
    """
    root = repository_root() if root is None else root
    names = tuple(names)
    for folder in _folders(profile, data, results, root):
        found = {}
        for name in names:
            table = _table(name, folder)
            if table is not None and _is_of(table, profile, data):
                found[name] = Found(table, _is_recorded(folder, root))
        if found:
            return found
    return {names[0]: find_table(names[0], profile, data, results, root)}


def find_beside(
    name: str, what: str, profile: str, data: str, root: Path | None = None
) -> Table | None:
    """Return the table `name` of a recorded run of the profile with values of its own, if any.

    It lies in `results/<profile>_<what>/`. AnmlError: it is damaged.
    """
    folder = (repository_root() if root is None else root) / "results" / f"{profile}_{what}"
    table = _table(name, folder)
    return table if table is not None and _is_of(table, profile, data) else None


def recorded_tables(name: str, root: Path | None = None) -> dict[str, Table]:
    """Return the recorded tables called `name` by profile, in the profiles' order.

    Raises:
        AnmlError: one of them is damaged.
    """
    folder = (repository_root() if root is None else root) / "results"
    paths = {profile: folder / profile / f"{name}.parquet" for profile in PROFILES}
    return {profile: read_table(path) for profile, path in paths.items() if path.is_file()}


def recorded_sets(
    names: Iterable[str], data: str, root: Path | None = None
) -> dict[str, dict[str, Table]]:
    """Return, by profile, the recorded tables of `names` that rest on `data`; profiles with any.

    Raises:
        AnmlError: one of them is damaged.
    """
    sets: dict[str, dict[str, Table]] = {profile: {} for profile in PROFILES}
    for name in names:
        for profile, table in recorded_tables(name, root).items():
            if table.provenance.data_source == data:
                sets[profile][name] = table
    return {profile: tables for profile, tables in sets.items() if tables}


def _advice(name: str, profile: str, data: str) -> str:
    """What to do where a profile has no table `name`."""
    budget = BUDGETS.get(name)
    without = [one for one, own in PROFILES.items() if budget and not getattr(own, budget)]
    if profile in without:
        others = listing(one for one in PROFILES if one not in without)
        return f"a run of this profile makes none: choose one of {others}"
    return f"make it with `make results PROFILE={profile} DATA={data}`"


def _folders(profile: str, data: str, results: str, root: Path) -> list[Path]:
    """Return where a table is looked for, in this order."""
    if results:
        return [root / results]
    return [root / "results" / profile, root / "runs" / f"{profile}-{data}" / "results"]


def _table(name: str, folder: Path) -> Table | None:
    """Return the table called `name` of a folder, if it has one."""
    path = folder / f"{name}.parquet"
    return read_table(path) if path.is_file() else None


def _is_of(table: Table, profile: str, data: str) -> bool:
    """Return whether a table is of a profile and a data source."""
    return (table.provenance.profile, table.provenance.data_source) == (profile, data)


def _is_recorded(folder: Path, root: Path) -> bool:
    """Return whether a folder is one of the recorded results of the repository."""
    return folder.resolve().parent == (root / "results").resolve()


def _shown(path: Path, root: Path) -> str:
    """Return a path as the reader knows it: relative to the companion's folder where it can be."""
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
