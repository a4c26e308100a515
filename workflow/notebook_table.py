"""Read notebooks.toml: which page is made from which notebook, with which parameters."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path

TABLE = Path(__file__).with_name("notebooks.toml")
ALL = "all"
"""In place of a notebook's name: every one of them."""


@dataclass(frozen=True)
class Row:
    """One page of the site that is made from a notebook; the fields are explained in the table."""

    output: str
    source: str
    parameters: dict[str, str | int | float | bool]
    inputs: tuple[str, ...] = field(default=())
    simulates: bool = False
    rerun_as: str = ""
    rerun_with: dict[str, str | int | float | bool] = field(default_factory=dict)

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
    """The rows of `table`, in their order. An unknown field raises TypeError: the table is code."""
    rows = tomllib.loads(table.read_text(encoding="utf-8"))["notebook"]
    return [Row(**{**row, "inputs": tuple(row.get("inputs", ()))}) for row in rows]


def row_named(name: str, rows: list[Row]) -> Row:
    """The row whose output is `name`; for a page of recorded results, the row to rerun instead."""
    row = next(row for row in rows if row.output == name)
    if row.rerun_as:
        return row_named(row.rerun_as, rows)
    if row.rerun_with:
        return replace(row, parameters=row.rerun_with, inputs=("{results}",), simulates=True)
    return row
