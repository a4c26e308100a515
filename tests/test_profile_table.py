"""What the book and the README say of profiles is what the recorded measurements say now."""

import cost_pages
import pandas as pd
import profile_table
import pytest
import synthetic_table
from estimates import read_estimates
from notebook_table import read_rows, row_named

from anml.profiles import PROFILES
from anml.results import write_table


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


def test_a_page_says_at_which_profile_nothing_of_it_is_computed():
    spent = {name: pd.Series(60.0, index=cost_pages.planned(name).index) for name in PROFILES}
    rows = read_rows()
    assert "Nothing of it is computed at **laptop**." in cost_pages.page(
        row_named("baseline_rates", rows), spent
    )
    assert "Nothing" not in cost_pages.page(row_named("fig5_activity", rows), spent)


@pytest.fixture
def record_stages(tmp_path, monkeypatch):
    """Record, in an empty folder, how long some groups took: 5 s for each count of done `jobs`.

    Several counts of a group were done on as many devices.
    """
    monkeypatch.setattr(cost_pages, "ROOT", tmp_path)

    def record(profile, jobs):
        rows = [
            {"stage": name.partition(".")[0], "group": name, "device": f"CPU {place}"}
            | {"jobs": count, "seconds": 5.0}
            for name, counts in jobs.items()
            for place, count in enumerate(counts if isinstance(counts, tuple) else (counts,))
        ]
        frame = pd.DataFrame(rows).assign(profile=profile, data="omniglot")
        path = tmp_path / "results" / profile / "stages.parquet"
        write_table(path, frame, synthetic_table.provenance(profile=profile))

    return record


def test_only_groups_that_a_recorded_run_did_whole_are_measured(record_stages):
    half = cost_pages.planned("paper")["meta-test.oml-oracle"] // 2
    shared = {"meta-test.oml-oracle": (half, half)}  # on two devices, and whole together
    part = {"probe.seed0": 1, "meta-test.anml-oracle": 3, "no-longer.planned": 1}
    record_stages("paper", part | shared)
    guessed = read_estimates("paper").reindex(cost_pages.planned("paper").index)
    spent = cost_pages.seconds_by_group()["paper"]
    whole = ["probe.seed0", "meta-test.oml-oracle"]
    assert spent[whole].tolist() == [5, 10]
    assert spent.drop(whole).equals(guessed.drop(whole))
    assert not cost_pages.is_whole("paper")
    assert cost_pages.how_known().startswith("estimated")


def test_a_profile_is_measured_when_all_of_its_plan_is(record_stages):
    smoke = dict(cost_pages.planned("smoke"))
    record_stages("smoke", smoke)
    record_stages("laptop", {"probe.seed0": 1})
    assert "(all of smoke)" in cost_pages.how_known()
    spent = cost_pages.seconds_by_group()
    assert spent["smoke"].sum(skipna=False) == 5 * len(smoke)
    lines = profile_table.profile_times().splitlines()
    unknown = [line for line in lines if line.count("not measured") == 2]
    assert [line.split("|")[1].strip() for line in unknown] == ["`quick`", "`laptop`"]


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
