"""Refuse a parameter that a notebook does not have, whoever runs it.

papermill only warns of such a name and goes on, so that a slip of the pen (`-p profil paper`) would
give another result than the one asked for, and say nothing.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Sequence

from anml.errors import AnmlError

INJECTED = "# Parameters\n"
"""How the cell begins that papermill puts behind the notebook's own parameters."""


def check_names(cells: Sequence[str] | None = None) -> None:
    """Check that what was injected are parameters that the notebook has.

    `cells`: source of the cells run so far (default: this kernel's history; nothing is checked
    outside a notebook).

    Raises:
        AnmlError: one line with the unknown names and the known ones.
    """
    if cells is None:
        # Wherever a notebook runs, IPython is there already; the package does without it.
        ipython = sys.modules.get("IPython")
        shell = ipython.get_ipython() if ipython else None
        cells = shell.user_ns.get("In", []) if shell else []
    places = [place for place, cell in enumerate(cells) if cell.startswith(INJECTED)]
    if not places:
        return
    known = [name for cell in cells[: places[-1]] for name in _assigned(cell)]
    unknown = [name for name in _assigned(cells[places[-1]]) if name not in known]
    if unknown:
        raise AnmlError(
            f"the notebook has no parameter {', '.join(map(repr, unknown))}; "
            f"it has: {', '.join(known) or 'none'}"
        )


def _assigned(cell: str) -> list[str]:
    """Return the names that a cell assigns in plain assignments, in their order."""
    try:
        statements = ast.parse(cell).body
    except SyntaxError:  # such as IPython's %magic: no parameters are set there
        return []
    targets = [target for one in statements for target in getattr(one, "targets", [])]
    return [target.id for target in targets if isinstance(target, ast.Name)]
