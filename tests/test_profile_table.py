"""What the book and the README say of profiles is what the recorded measurements say now."""

import cost_pages
import pandas as pd
import profile_table
import pytest
from notebook_table import read_rows, row_named

from anml.profiles import PROFILES


def test_the_committed_page_is_current():
    assert profile_table.PAGE.read_text() == profile_table.page()


def test_every_page_says_what_its_rerun_takes():
    pages = cost_pages.pages()
    assert {path.stem for path in pages} == {row.source for row in read_rows() if row.recorded}
    for path, text in pages.items():
        assert path.read_text() == text
        source = path.parents[3] / "notebooks" / f"{path.stem}.ipynb"
        assert f"{{include}} ../generated/costs/{path.name}" in source.read_text()


def test_a_page_takes_the_groups_that_it_needs():
    row = row_named("fig5_activity", read_rows())
    needed = ["probe.seed0", "meta-train.anml-seed0", "meta-train.oml-seed0"]
    spent = pd.Series(60.0, index=[*needed, "meta-test.anml-oracle"])
    found = cost_pages.page_row("quick", row, spent)
    assert found["one process"] == "3.0 min"
    assert found["2 processes"] == "1.5 min"
    assert found["of it meta-training"] == "67%"
    assert cost_pages.page_row("quick", row, spent.drop("probe.seed0")) is None


def test_the_readme_is_current():
    assert profile_table.README.read_text() == profile_table.readme()


def test_one_model_costs_seconds_times_iterations():
    costs = profile_table.read_costs()
    seconds = profile_table.case(costs, "paper", "anml").seconds
    paper = PROFILES["paper"]
    assert profile_table.one_model(paper, "anml", costs) == seconds * paper.meta_iterations


def test_only_the_text_between_the_markers_changes():
    text = "a\n<!-- measured:x -->\nold\n<!-- /measured -->\nb\n"
    assert profile_table.filled(text, {"x": "new"}) == text.replace("old", "new")
    with pytest.raises(ValueError, match="measured:y"):
        profile_table.filled(text, {"y": "new"})
