"""What the book and the README say of profiles is what the recorded measurements say now."""

import profile_table
import pytest

from anml.profiles import PROFILES


def test_the_committed_page_is_current():
    assert profile_table.PAGE.read_text() == profile_table.page()
    costs = profile_table.costs_part(profile_table.read_costs())
    assert profile_table.COSTS.read_text() == costs + "\n"


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
