"""What the figure notebooks share: checked parameters, the table to draw, the picture shown."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

import anml
from anml.errors import AnmlError
from anml.files import replacing, require_writable
from anml.injected import check_names
from anml.plot_style import SVG_OPTIONS, save_figure, style
from anml.profiles import PROFILES
from anml.results import SOURCE_LABELS, Table, read_table
from anml.tables import OPTIMIZER, listing


@dataclass(frozen=True)
class Picture:
    """A drawn figure as a notebook shows it: vector graphics, with a description in words."""

    svg: str
    description: str

    def _repr_svg_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        """Return the description, which stands where a picture cannot."""
        return self.description


@dataclass(frozen=True)
class Sheet:
    """A small table as a notebook shows it, without row numbers."""

    frame: pd.DataFrame

    def _repr_html_(self) -> str:
        return self.frame.to_html(index=False, border=0)

    def __repr__(self) -> str:
        """Return the table as text."""
        return self.frame.to_string(index=False)


@dataclass(frozen=True)
class Found:
    """A table, and whether it is one of the recorded results that the repository carries."""

    table: Table
    recorded: bool


def picture(figure: Figure, description: str) -> Picture:
    """Return `figure` as a `Picture`; the same figure gives the same text."""
    buffer = io.StringIO()
    with style():
        figure.savefig(buffer, format="svg", **SVG_OPTIONS)
    return Picture(buffer.getvalue(), description)


def check_parameters(
    *, profile: object, data: object, seed: object, optimizer: object = "adam"
) -> None:
    """Check a notebook's parameters before anything is computed.

    Raises:
        AnmlError: one line that names the parameter, what is allowed and what was given.
    """
    check_names()
    choices = (
        ("profile", profile, tuple(PROFILES)),
        ("data", data, tuple(SOURCE_LABELS)),
        ("optimizer", optimizer, OPTIMIZER.allowed),
    )
    for name, value, allowed in choices:
        if value not in allowed:
            raise AnmlError(f"parameter {name}={value!r} is unknown; allowed: {listing(allowed)}")
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise AnmlError(f"parameter seed={seed!r} is not allowed; give a whole number, 0 or more")


def say(*lines: str) -> None:
    """Print lines, folded to the width of a page."""
    for line in lines:
        print(textwrap.fill(line, 74, subsequent_indent="  ", break_on_hyphens=False))


def check_counts(**values: object) -> None:
    """Check that parameters are whole numbers of 1 or more: widths, numbers of outputs.

    Raises:
        AnmlError: one line that names the first that is not.
    """
    check_names()
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise AnmlError(
                f"parameter {name}={value!r} is not allowed; give a whole number, 1 or more"
            )


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
        AnmlError: there is no such table, with the command that makes it; or the table found is of
            another profile or data source.
    """
    root = repository_root() if root is None else root
    folders = _folders(profile, data, results, root)
    tables = _tables(name, folders)
    for folder, table in tables.items():
        if _is_of(table, profile, data):
            return Found(table, _is_recorded(folder, root))
    held = "; ".join(
        f"{_shown(folder, root)} holds profile {table.provenance.profile!r} and "
        f"data {table.provenance.data_source!r}"
        for folder, table in tables.items()
    )
    places = held or "nothing in " + " or ".join(_shown(folder, root) for folder in folders)
    raise AnmlError(
        f"no {name} table of profile {profile!r} and data {data!r}: {places}; "
        f"make it with `make results PROFILE={profile} DATA={data}`"
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
            table = _tables(name, [folder]).get(folder)
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
    table = _tables(name, [folder]).get(folder)
    return table if table is not None and _is_of(table, profile, data) else None


def _folders(profile: str, data: str, results: str, root: Path) -> list[Path]:
    """Return where a table is looked for, in this order."""
    if results:
        return [root / results]
    return [root / "results" / profile, root / "runs" / f"{profile}-{data}" / "results"]


def _tables(name: str, folders: list[Path]) -> dict[Path, Table]:
    """Return the tables called `name`, by the folder that holds each."""
    return {
        folder: read_table(folder / f"{name}.parquet")
        for folder in folders
        if (folder / f"{name}.parquet").is_file()
    }


def _is_of(table: Table, profile: str, data: str) -> bool:
    """Return whether a table is of a profile and a data source."""
    return (table.provenance.profile, table.provenance.data_source) == (profile, data)


def _is_recorded(folder: Path, root: Path) -> bool:
    """Return whether a folder is one of the recorded results of the repository."""
    return folder.resolve().parent == (root / "results").resolve()


def save(
    figure: Figure, figures: str, name: str, values: pd.DataFrame, found: Found | None = None
) -> None:
    """Write a notebook's figure into the folder `figures`, relative to the companion's folder.

    Nothing is written when `figures` is empty. The files' name is that of `file_name`.

    Raises:
        AnmlError: as `anml.plot_style.save_figure`.
    """
    if figures:
        folder = repository_root() / figures
        save_figure(figure, folder, file_name(name, found), values)


def save_values(values: pd.DataFrame, figures: str, name: str, found: Found) -> None:
    """Write the values of a page that has no figure as CSV, where `save` writes the others'.

    Raises:
        AnmlError: the folder cannot be made or written.
    """
    if not figures:
        return
    folder = repository_root() / figures
    require_writable(folder)
    with replacing(folder / f"{file_name(name, found)}.csv") as temporary:
        values.to_csv(temporary, index=False, lineterminator="\n")


def file_name(name: str, found: Found | None) -> str:
    """Return the name of what is drawn from a table.

    Only recorded results on Omniglot make the plain name; any other table adds its own
    (`<name>_<profile>_<data>`), so that the reader's runs and the embedded drawings never stand
    where Omniglot is expected.
    """
    if found is None:
        return name
    source = found.table.provenance
    if found.recorded and source.data_source == "omniglot":
        return name
    return f"{name}_{source.profile}_{source.data_source}"


def _shown(path: Path, root: Path) -> str:
    """Return a path as the reader knows it: relative to the companion's folder where it can be."""
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
