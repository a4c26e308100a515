"""What the pages of results import: no torch, whose import takes seconds."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
COMPUTE = {"fig1_architecture", "fig2_procedure", "quickstart", "speed"}
"""The notebooks that show or run networks."""


def imports(notebook: Path) -> list[str]:
    """The import statements of a notebook."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    return [
        ast.unparse(node)
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]


def test_pages_of_results_import_no_torch() -> None:
    pages = [path for path in sorted(NOTEBOOKS.glob("*.ipynb")) if path.stem not in COMPUTE]
    lines = dict.fromkeys(line for page in pages for line in imports(page))
    assert len(pages) > 10
    assert any("scoreboard" in line for line in lines)
    code = "\n".join([*lines, "import sys", "sys.exit('torch' in sys.modules)"])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr or "something that a page imports imports torch"
