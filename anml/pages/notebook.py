"""What the figure notebooks share: checked parameters, the picture shown, the files saved."""

from __future__ import annotations

import io
import textwrap
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from anml.errors import AnmlError
from anml.figures.plot_style import SVG_OPTIONS, save_figure, style
from anml.findings.found_tables import Found, repository_root
from anml.pages.injected import check_names
from anml.profiles import PROFILES
from anml.results import SOURCE_LABELS
from anml.store.files import replacing, require_writable
from anml.store.tables import OPTIMIZER, listing


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


def save(
    figure: Figure, figures: str, name: str, values: pd.DataFrame, found: Found | None = None
) -> None:
    """Write a notebook's figure into the folder `figures`, relative to the companion's folder.

    Nothing is written when `figures` is empty. The files' name is that of `file_name`.

    Raises:
        AnmlError: as `anml.figures.plot_style.save_figure`.
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
    require_writable(folder, "the parameter `figures`")
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
