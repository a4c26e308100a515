"""Which code a result was made by: a fingerprint of the modules that decide its numbers.

A finished job is made again when this changes, and not when a comment or a figure does, or a module
moves to another folder. The modules are those that one module imports, directly or not, less those
whose contents are compared as values anyway.
"""

import ast
import importlib.util
from collections.abc import Iterable
from functools import cache
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch

PACKAGE = "anml"
COMPARED_AS_VALUES = frozenset(
    f"{PACKAGE}.{name}"
    for name in (
        # values: a run's `run.json`, and the `rows` below, which leave the questions' prose out
        *("profiles", "treatments", "questions"),
        *("drawings.glyphs", "drawings.glyph_alphabets"),  # drawings: by their fingerprint
        *("drawings.glyph_strokes", "drawings.glyph_writers"),
        # None of these changes a number.
        *("errors", "results", "store.checkpoint", "store.files", "store.interrupt"),
        *("store.tables", "meta_training.progress", "meta_training.divergence"),
    )
)


def code_state(module: str, *rows: object) -> str:
    """The fingerprint, 16 hexadecimal digits, of `module` ('anml.meta_train') and what it imports.

    `rows`: those of `anml.treatments` and `anml.questions` that a job works by, which are data.
    Docstrings, comments and layout do not count; the versions of torch, which computes, and of
    NumPy, which draws what is random, do.
    """
    return sha256(f"{modules_state(module)} {rows!r}".encode()).hexdigest()[:16]


def pin_states(modules: Iterable[str]) -> None:
    """Take the states of `modules` now: this process holds to them, whatever the tree becomes."""
    for module in modules:
        modules_state(module)


@cache
def modules_state(module: str) -> str:
    """The part of `code_state` that reads files, once in a process."""
    total = sha256(f"{torch.__version__} {np.__version__}".encode())
    sources = {last(name): source_path(name) for name in reached(module) - COMPARED_AS_VALUES}
    for name, path in sorted(sources.items()):
        total.update(f"{name}\n{bare_source(path)}\n".encode())
    return total.hexdigest()


@cache
def reached(module: str) -> frozenset[str]:
    """`module` and every module of this package that it imports, directly or not."""
    seen, left = set(), [module]
    while left:
        name = left.pop()
        if name not in seen:
            seen.add(name)
            left += imported(source_path(name))
    return frozenset(seen)


def source_path(module: str) -> Path:
    """The file of a module of this package."""
    return Path(importlib.util.find_spec(module).origin)


def imported(path: Path) -> set[str]:
    """The modules of this package that a source file names in `from ... import`."""
    found = set()
    for node in filter(_is_own_import, ast.walk(ast.parse(path.read_text(encoding="utf-8")))):
        if is_folder(node.module):  # its modules, not the names that it may hold itself
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            found |= {name for name in names if importlib.util.find_spec(name)}
        else:
            found.add(node.module)
    return found


def is_folder(module: str) -> bool:
    """Whether a module is this package or a folder of it."""
    spec = importlib.util.find_spec(module)
    return spec is not None and spec.submodule_search_locations is not None


def last(module: str) -> str:
    """A module's own name, whatever folder it lies in; no two modules share one."""
    return module.rpartition(".")[2]


def bare_source(path: Path) -> str:
    """A source file's code without docstrings and comments, in one layout.

    Nor does it say in which folders of this package the modules lie that it imports: what is
    imported at its beginning is one sorted line of names.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    own = [node for node in tree.body if _is_own_import(node)]
    names = sorted(f"{alias.name} as {alias.asname}" for node in own for alias in node.names)
    tree.body = [node for node in tree.body if node not in own]
    for node in ast.walk(tree):
        if _is_own_import(node):
            node.module = PACKAGE if is_folder(node.module) else last(node.module)
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_text(body[0]):
            node.body = body[1:] or [ast.Pass()]
    return f"{', '.join(names)}\n{ast.unparse(tree)}"


def _is_own_import(node: ast.AST) -> bool:
    """Whether a node is `from` a module or folder of this package `import ...`."""
    return isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == PACKAGE


def _is_text(node: ast.AST) -> bool:
    """Whether a statement is nothing but a text: a docstring."""
    return isinstance(node, ast.Expr) and isinstance(getattr(node.value, "value", None), str)
