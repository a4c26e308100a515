"""The package's folders import in one direction: nothing reads backwards."""

import ast
from functools import cache
from itertools import combinations
from pathlib import Path

import pytest

import anml
from anml.store.code_state import imported

PACKAGE = Path(anml.__file__).parent
# Lowest first. The modules beside the folders, which a reader meets first, are not of this order.
FOLDERS = (
    *("store", "drawings", "gradients", "meta_training", "meta_testing", "running"),
    *("findings", "recording", "figures", "pages", "commands"),
)


@cache
def used_by(folder: str) -> set[str]:
    """The folders that a folder's modules import from."""
    modules = {name for path in (PACKAGE / folder).glob("*.py") for name in imported(path)}
    return {name.split(".")[1] for name in modules if name.count(".") == 2}


def test_every_folder_has_its_place_and_says_what_it_is_for() -> None:
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert folders == set(FOLDERS)
    for folder in folders:
        text = (PACKAGE / folder / "__init__.py").read_text(encoding="utf-8")
        assert ast.get_docstring(ast.parse(text)), folder


@pytest.mark.parametrize(("low", "high"), list(combinations(FOLDERS, 2)))
def test_no_folder_imports_from_one_above_it(low: str, high: str) -> None:
    assert high not in used_by(low)


def test_imports_between_folders_are_seen() -> None:
    assert {"findings", "store"} <= used_by("figures")


def test_no_two_modules_share_a_name() -> None:
    names = [path.stem for path in PACKAGE.rglob("*.py") if path.stem != "__init__"]
    assert len(names) == len(set(names)) > 100
