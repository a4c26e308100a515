"""The generated table of profiles is what the recorded results say now."""

import profile_table

from anml.profiles import PROFILES


def test_the_committed_page_is_current():
    assert profile_table.OUT.read_text() == profile_table.page() + "\n"


def test_a_profile_that_is_not_recorded_is_said_to_be_so():
    row = profile_table.expected_row(PROFILES["paper"], None)
    assert row["recorded on"] == "not recorded yet"


def test_cost_is_seconds_times_iterations():
    costs = profile_table.read_costs()
    row = profile_table.cost_row(PROFILES["paper"], costs)
    case = costs.query("profile == 'paper' and training == 'anml' and way == 'adjoint'").iloc[0]
    hours = case.seconds * PROFILES["paper"].meta_iterations / 3600
    assert row["anml: one model"] == f"{hours:.1f} h"
