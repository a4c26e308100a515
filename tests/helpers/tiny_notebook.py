"""A small notebook for tests of what runs and checks notebooks."""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbformat import v4

PARAMETERS = 'n = 2\nrate = 0.5\nname = "a"'


def write(path: Path, *cells: str, parameters: str = PARAMETERS) -> Path:
    """Write a notebook of code cells, the first of them tagged `parameters`."""
    notebook = v4.new_notebook(
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
        }
    )
    first = v4.new_code_cell(parameters, id="parameters", metadata={"tags": ["parameters"]})
    others = [v4.new_code_cell(text, id=f"cell-{place}") for place, text in enumerate(cells)]
    notebook.cells = [first, *others]
    nbformat.write(notebook, path)
    return path


def outputs(path: Path) -> str:
    """Return everything that a notebook printed to standard output."""
    cells = nbformat.read(path, as_version=4).cells
    return "".join(output.get("text", "") for cell in cells for output in cell.get("outputs", []))
