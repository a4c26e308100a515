"""The Python that the book and the README show runs as it stands, and does what they say of it."""

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from meta_gradients import ORDERS, RATE, assert_same
from reference_networks import networks, random_episode, replicas

from anml.data import Drawings, load
from anml.gradients.adapt_oml import oml_meta_gradient
from anml.meta_test import Run, meta_test
from anml.results import Table
from anml.treatments import find_treatment

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "book/rerun.md", "book/contributing.md")


def snippets() -> Iterator[tuple[str, str]]:
    """Every block of Python: the page and its heading, and the code."""
    for page in PAGES:
        heading = ""
        text = (ROOT / page).read_text(encoding="utf8")
        for part in re.finditer(r"^##+ ([^\n]+)$|^ *```python\n(.*?)^ *```$", text, re.M | re.S):
            heading = part[1] or heading
            if part[2]:
                yield f"{page}: {heading}", textwrap.dedent(part[2])


SNIPPETS = dict(snippets())
RECORDED_MODEL = "book/rerun.md: In a script of your own"
TABLE = "book/rerun.md: Without notebooks"
SLOW_GRADIENT = "book/contributing.md: Adding a meta-training"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch):
    """Run a snippet where a reader would, in the repository's root: what it leaves behind."""
    monkeypatch.chdir(ROOT)

    def run(name: str) -> dict[str, Any]:
        left: dict[str, Any] = {"__name__": "__main__"}
        exec(compile(SNIPPETS[name], name, "exec"), left)
        return left

    return run


def test_every_snippet_is_run_below() -> None:
    shown = sum((ROOT / page).read_text().count("```python\n") for page in PAGES)
    assert len(SNIPPETS) == shown  # no two under one heading
    assert set(SNIPPETS) == {RECORDED_MODEL, TABLE, SLOW_GRADIENT}, "run the new one here as well"


def test_a_recorded_model_learns_new_classes(run, capsys) -> None:
    """As a meta-test of the same trajectory at the same rate; five classes, chance is a fifth."""
    left = run(RECORDED_MODEL)
    x, gate, latent = (left[name] for name in ("x", "gate", "latent"))
    assert x.shape == (100, 1, 28, 28)
    assert gate.shape == latent.shape == (100, 576)
    torch.testing.assert_close(left["gated"].flatten(0, 1), gate * latent)
    drawings: Drawings = load("glyphs")
    rate = left["adam"].param_groups[0]["lr"]
    (score,) = meta_test(
        find_treatment("ANML"), left["model"], drawings, [Run(left["trajectory"], rate)]
    )
    assert left["accuracy"] == pytest.approx(score.testing, abs=0.041)  # a drawing is 0.04
    assert left["accuracy"] > 0.5
    assert capsys.readouterr().out == f"{left['accuracy']:.0%} of the held-out drawings\n"


def test_a_recorded_table_is_read(run, capsys) -> None:
    table: Table = run(TABLE)["table"]
    assert table.provenance.profile == "quick"
    printed = capsys.readouterr().out
    assert printed.startswith(table.provenance.line())
    assert "meta-test testing accuracy" in printed


@ORDERS
def test_the_slow_meta_gradient_is_omls(second_order: bool, run) -> None:
    """Of two replicas, so that none is taken for the other."""
    slow = run(SLOW_GRADIENT)["slow_meta_gradient"]
    parameters = replicas([networks("oml", seed)[0] for seed in (0, 1)])
    episode = random_episode(count=2)
    expected = oml_meta_gradient(parameters, episode, RATE, second_order)
    found = slow(parameters, episode, RATE, second_order)
    assert_same(found.gradients, expected.gradients)
    torch.testing.assert_close(found.loss, expected.loss)
    assert torch.equal(found.correct, expected.correct)
