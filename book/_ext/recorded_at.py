"""Sphinx extension of this book: a page of recorded results links to the same page at other scales.

``{recorded-at}`` on a page that is made from a notebook becomes one line: the profiles whose
recorded results that notebook shows, the page's own among them without a link, and the reader's own
run where the site has a page of it. The pages are those of ``workflow/notebooks.toml``.
"""

from __future__ import annotations

import sys
from pathlib import Path, PurePosixPath
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "workflow"))

from notebook_table import TABLE, Row, read_rows

DRAWN = (
    "Tables and figures were drawn from those results when the pages of this book were last made."
)
OWN_RUN = "Computed on the machine that built this book."


def _label(row: Row) -> str:
    """Which results a page shows."""
    if not row.recorded:
        return "your own run"
    return f"recorded at {row.recorded}" + (", in part" if row.in_part else "")


class RecordedAt(SphinxDirective):
    """The line of links."""

    def run(self) -> list[nodes.Node]:
        """A paragraph; an error where the page is none of the table's."""
        self.env.note_dependency(str(TABLE))
        pages = {row.output: row for row in read_rows()}
        here = PurePosixPath(self.env.docname).name
        if here not in pages:
            raise self.error(f"{here} is no page of workflow/notebooks.toml")
        row = pages[here]
        same = [other for other in pages.values() if other.source == row.source]
        line = nodes.paragraph(classes=["recorded-at"])
        line += nodes.inline("", "Results shown: ")
        for place, other in enumerate(same):
            if place:
                line += nodes.inline("", " · ")
            line += self._shown(_label(other), other.output, here)
        said = DRAWN if row.recorded else OWN_RUN
        line += nodes.inline("", f". {said}")
        return [line]

    def _shown(self, label: str, page: str, here: str) -> nodes.Node:
        if page == here:
            return nodes.strong("", label)
        target = str(PurePosixPath(self.env.docname).with_name(page))
        uri = self.env.app.builder.get_relative_uri(self.env.docname, target)
        return nodes.reference("", label, refuri=uri, internal=True)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("recorded-at", RecordedAt)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
