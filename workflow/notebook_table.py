"""Read notebooks.toml: which pages are made from which notebook, with which parameters."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path

TABLE = Path(__file__).with_name("notebooks.toml")
ALL = "all"
"""In place of a notebook's name: every one of them."""
OWN = {"profile": "{profile}", "data": "{source}", "results": "{results}", "figures": "{figures}"}
"""Parameters of a rerun at the reader's own scale."""
RECORDED = "results"
"""Where recorded results lie."""

Parameters = dict[str, str | int | float | bool]


@dataclass(frozen=True)
class Row:
    """One page of the site that is made from a notebook; the fields are explained in the table."""

    output: str
    source: str
    parameters: Parameters
    inputs: tuple[str, ...] = field(default=())
    simulates: bool = False
    rerun_as: str = ""
    only: tuple[str, ...] = ()
    recorded: str = ""  # the profile whose recorded results it shows
    in_part: bool = False  # of which some is recorded, not all

    def filled(self, **values: str) -> Row:
        """The same row with the names in braces, such as {profile}, replaced by `values`."""

        def fill(value: str | int | float | bool) -> str | int | float | bool:
            return value.format(**values) if isinstance(value, str) else value

        return replace(
            self,
            parameters={name: fill(value) for name, value in self.parameters.items()},
            inputs=tuple(str(fill(path)) for path in self.inputs),
        )


def read_rows(table: Path = TABLE) -> list[Row]:
    """The pages of `table`, in their order.

    An unknown field raises TypeError: the table is code.
    """
    rows = tomllib.loads(table.read_text(encoding="utf-8"))["notebook"]
    return [page for row in rows for page in _pages(**row)]


def _pages(
    output: str,
    source: str = "",
    parameters: Parameters | None = None,
    recorded: tuple[str, ...] = (),
    in_part: tuple[str, ...] = (),
    inputs: tuple[str, ...] = (),
    simulates: bool = False,
    rerun_as: str = "",
    only: tuple[str, ...] = (),
) -> list[Row]:
    """The pages of one row of the table: one, or one a recorded profile."""
    source = source or output
    if not recorded:
        read = tuple(inputs)
        return [Row(output, source, parameters or {}, read, simulates, rerun_as, tuple(only))]
    shown = (*recorded, *in_part)
    names = {profile: f"{output}_{profile}" for profile in shown} | {recorded[0]: output}
    pages = []
    for profile, name in names.items():
        own = {
            "profile": profile,
            "data": "omniglot",
            "results": f"{RECORDED}/{profile}",
            "figures": "{figures}" if name == output else "",
        }
        instead = rerun_as or (output if name != output else "")
        read = (*inputs, RECORDED)  # of other profiles too: each page says what those gave
        own |= parameters or {}
        more = (tuple(only), profile, profile in in_part)
        pages.append(Row(name, source, own, read, False, instead, *more))
    return pages


def row_named(name: str, rows: list[Row]) -> Row:
    """The row to rerun where the page `name` is asked for: at the reader's own scale."""
    row = next(row for row in rows if row.output == name)
    if row.rerun_as:
        return row_named(row.rerun_as, rows)
    if row.recorded:
        read = ("{results}", *row.inputs)
        return replace(row, parameters=row.parameters | OWN, inputs=read, simulates=True)
    return row
