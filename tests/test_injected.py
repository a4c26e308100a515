"""A name that a notebook does not have is refused by the notebook itself, whoever runs it."""

from __future__ import annotations

import ast
from pathlib import Path

import nbformat
import pytest
from refusal import refusal

from anml.pages.injected import check_names

SOURCES = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
OWN = 'profile = "quick"  # smoke or quick\nseed = 0'
CHECKS = {"check_parameters", "check_counts", "check_names"}


def test_an_unknown_name_is_refused_with_the_known_ones():
    message = refusal(lambda: check_names(["", OWN, '# Parameters\nprofil = "smoke"\nseed = 1\n']))
    assert message == "the notebook has no parameter 'profil'; it has: profile, seed"


@pytest.mark.parametrize(
    "cells",
    [
        ["", OWN],
        ["", OWN, '# Parameters\nprofile = "smoke"\nseed = 1\n'],
        ["", "%matplotlib inline", OWN, "# Parameters\nseed = 1\n", "other = 2"],
    ],
)
def test_known_names_and_later_cells_pass(cells):
    check_names(cells)


def test_nothing_is_checked_outside_a_notebook():
    check_names()


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_every_notebook_checks_its_parameters_before_it_computes(source):
    cells = [c.source for c in nbformat.read(source, as_version=4).cells if c.cell_type == "code"]
    tree = ast.parse(cells[1])
    called = {
        getattr(n.func, "attr", getattr(n.func, "id", ""))
        for n in ast.walk(tree)
        if isinstance(n, ast.Call)
    }
    assert called & CHECKS, "the cell behind the parameters calls none of them"
