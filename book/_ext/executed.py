"""Sphinx extension of this book: a notebook that was not executed, or failed, is a warning.

Pages show the executed copies as they are, so a copy without outputs would be a page without its
figure. In a build with ``-W`` the warning is an error.
"""

from __future__ import annotations

import json
from typing import Any

from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)


def problem(notebook: dict[str, Any]) -> str | None:
    """What is wrong with the cells of a notebook, or None."""
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for number, cell in enumerate(code, start=1):
        if any(output["output_type"] == "error" for output in cell["outputs"]):
            return f"code cell {number} failed"
        if "".join(cell["source"]).strip() and cell["execution_count"] is None:
            return f"code cell {number} was not executed"
    return None


def check(app: Sphinx, docname: str, source: list[str]) -> None:
    """Warn about a page that is made from a notebook with a problem."""
    if str(app.env.doc2path(docname)).endswith(".ipynb"):
        found = problem(json.loads(source[0]))
        if found:
            logger.warning("%s: run `make pages` or `make book`", found, location=docname)


def setup(app: Sphinx) -> dict[str, Any]:
    """Look at every page as it is read."""
    app.connect("source-read", check)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
