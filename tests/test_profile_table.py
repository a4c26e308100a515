"""What the book and the README say of profiles is what the recorded measurements say now."""

import math

import cost_pages
import pandas as pd
import profile_table
import pytest
import synthetic_table
from estimates import read_estimates
from notebook_table import read_rows, row_named

from anml.profiles import PROFILES
from anml.results import write_table

ONE, PARTLY = "CPU, 1 thread", "CPU, 1 thread; CPU, 2 threads"


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
    assert found["2 processes"] == "2.0 min"  # the probe waits for both trainings
    assert found["of it meta-training"] == "67%"
    assert cost_pages.page_row("quick", row, spent.drop("probe.seed0")) is None


def test_several_processes_take_no_less_than_what_waits_for_one_another():
    """One model's lengths are a chain; a treatment's meta-tests are not."""
    lengths = row_named("lengths", read_rows())
    assert cost_pages.needed("paper", lengths) == ["lengths.anml-seed0", "meta-train.anml-seed0"]
    spent = pd.Series({"lengths.anml-seed0": 3600.0, "meta-train.anml-seed0": 0.0})
    assert cost_pages.elapsed("paper", spent, lengths.only) == pytest.approx(3600)
    spent["meta-train.anml-seed0"] = 7200  # beside the shorter lengths; the longest waits for it
    assert 7200 < cost_pages.elapsed("paper", spent, lengths.only) < 10_800
    spent = pd.Series({"meta-test.scratch-sequential": 3600.0})
    assert cost_pages.elapsed("paper", spent, ["meta-test Scratch, sequential"]) == 1800
    assert math.isnan(cost_pages.elapsed("paper", spent, lengths.only))


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

    By group: a count, which was done on one thread, or counts by device.
    """
    monkeypatch.setattr(cost_pages, "ROOT", tmp_path)

    def record(profile, jobs):
        rows = [
            {"stage": name.partition(".")[0], "group": name, "device": device}
            | {"jobs": count, "seconds": 5.0}
            for name, done in jobs.items()
            for device, count in (done if isinstance(done, dict) else {ONE: done}).items()
        ]
        frame = pd.DataFrame(rows).assign(profile=profile, data="omniglot")
        path = tmp_path / "results" / profile / "stages.parquet"
        write_table(path, frame, synthetic_table.provenance(profile=profile))

    return record


def test_only_groups_that_a_recorded_run_did_whole_are_measured(record_stages):
    half = cost_pages.planned("paper")["meta-test.oml-oracle"] // 2
    shared = {"meta-test.oml-oracle": {ONE: half, PARTLY: half}}  # whole together
    part = {"probe.seed0": 1, "meta-test.anml-oracle": 3, "no-longer.planned": 1}
    record_stages("paper", part | shared)
    guessed = read_estimates("paper").reindex(cost_pages.planned("paper").index)
    spent = cost_pages.seconds_by_group()["paper"]
    whole = ["probe.seed0", "meta-test.oml-oracle"]
    assert spent[whole].tolist() == [5, 10]
    assert spent.drop(whole).equals(guessed.drop(whole))
    assert not cost_pages.is_whole("paper")
    assert cost_pages.how_known().startswith("estimated")


def test_times_of_other_devices_are_not_given_as_those_of_a_thread(record_stages):
    """But of what was done on one thread in part, by a job that went on with two."""
    tests = cost_pages.planned("paper")["meta-test.oml-oracle"]
    gpu, mixed = "NVIDIA H200", f"{ONE}; NVIDIA H200"
    record_stages(
        "paper",
        {
            "probe.seed0": {ONE: 1, gpu: 1},
            "probe.seed1": {PARTLY: 1},
            "probe.seed2": {gpu: 1},
            "probe.seed3": {mixed: 1},
            "probe.seed4": {"CPU, 2 threads": 1},
            "meta-test.oml-oracle": {ONE: tests - 1, gpu: 1},
        },
    )
    assert cost_pages.measured()["paper"].to_dict() == {"probe.seed0": 5, "probe.seed1": 5}
    guessed = read_estimates("paper")
    spent = cost_pages.seconds_by_group()["paper"]
    for name in ("probe.seed2", "probe.seed3", "probe.seed4", "meta-test.oml-oracle"):
        assert spent[name] == guessed[name]
    record_stages("smoke", {name: {gpu: n} for name, n in cost_pages.planned("smoke").items()})
    assert cost_pages.is_whole("smoke")
    assert "smoke" not in cost_pages.how_known()


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
