"""What is measured for each published number, and how the table of all of them reads."""

from __future__ import annotations

from dataclasses import replace

import pytest
import synthetic_results

from anml.findings.claims import published, published_with_noted
from anml.findings.headline import coverage, headline, headline_sheet, rerun_sheet
from anml.findings.measure import as_many_drawings, measured
from anml.stats import relative_drop
from anml.store.tables import TESTING, TRAINING


@pytest.fixture(scope="module")
def tables():
    return synthetic_results.everything()


def row(name: str) -> dict[str, str]:
    rows = published_with_noted()
    return rows[rows["id"] == name].iloc[0].to_dict()


def test_every_published_number_is_measured_where_every_table_is_there(tables):
    for one in published_with_noted().to_dict("records"):
        own = measured(one, tables)
        assert own is not None, one["id"]
        assert own.low <= own.value <= own.high, one["id"]


def test_nothing_is_measured_without_a_table():
    assert all(measured(one, {}) is None for one in published().to_dict("records"))


def test_an_accuracy_is_the_mean_at_its_n_and_under_its_regime(tables):
    frame = tables["meta_test"].frame.set_index(["treatment", "regime", "metric", "n_classes"])
    for name, regime in (("anml_600", "sequential"), ("anml_20ep", "oracle 20 epochs")):
        own = measured(row(name), tables)
        assert own.value == pytest.approx(frame.loc["ANML", regime, TESTING, 600]["value"].mean())
        assert (own.models, own.trajectories, own.n_classes) == (2, 3, 600)


def test_the_longest_n_that_was_run_stands_in_for_a_longer_one_and_says_so(tables):
    assert measured(row("higher_200"), tables).n_classes == 50
    short = {"meta_test": synthetic_results.meta_test(numbers=[50, 75])}
    assert measured(row("anml_600"), short).n_classes == 75
    assert measured(row("anml_drop_600"), short).n_classes == 75
    assert measured(row("higher_10"), short) is None


def test_a_bound_that_holds_from_an_n_on_is_the_worst_case_beyond_it(tables):
    frame = tables["meta_test"].frame
    own = frame[(frame["treatment"] == "Scratch") & (frame["metric"] == TRAINING)]
    own = own[(own["regime"] == "sequential") & (own["n_classes"] >= 50)]
    result = measured(row("scratch_train_50up"), tables)
    assert result.value == pytest.approx(own.groupby("n_classes")["value"].mean().max())
    assert result.n_classes == 50
    assert measured(row("pretrain_train_400up"), tables).n_classes == 600


def test_a_drop_is_the_one_of_the_two_regimes(tables):
    frame = tables["meta_test"].frame
    own = frame[(frame["treatment"] == "OML") & (frame["metric"] == TESTING)]
    own = own[own["n_classes"] == 600]
    sides = [own[own["regime"] == name] for name in ("oracle", "sequential")]
    expected = relative_drop(*sides)
    result = measured(row("oml_drop_600"), tables)
    assert (result.value, result.low, result.high) == (expected.mean, expected.low, expected.high)


def test_representations_are_read_off_their_own_layers(tables):
    expected = {
        "active_before": 0.505,
        "active_after": 0.065,
        "active_nm": 0.555,
        "active_oml": 0.045,
        "dead_anml": 0.0,
        "knn_nm": 0.3 + 0.2 + 0.005 - 0.01,
        "knn_nm_random": 0.3 + 0.3 + 0.005 - 0.01,
        "knn_before": 0.3 + 0.005 - 0.01,
        "knn_after": 0.3 + 0.1 + 0.005 - 0.01,
    }
    for name, value in expected.items():
        own = measured(row(name), tables)
        assert own.value == pytest.approx(value), name
        assert (own.models, own.n_classes) == (2, None)


def test_the_optimiser_is_the_one_asked_for(tables):
    assert measured(row("anml_600"), tables, optimizer="sgd") is None
    assert measured(row("knn_nm"), tables, optimizer="sgd") is not None


def test_shares_of_classes_are_those_of_the_optimiser_that_the_table_was_measured_with(tables):
    """Its profile's first: no column says so."""
    assert measured(row("above_chance_anml"), tables) is not None
    assert measured(row("above_chance_anml"), tables, optimizer="sgd") is None
    table = tables["class_accuracy"]
    values = table.provenance.profile_values | {"optimizers": ["sgd", "adam"]}
    sgd = replace(table, provenance=replace(table.provenance, profile_values=values))
    assert measured(row("above_chance_anml"), {"class_accuracy": sgd}) is None
    assert measured(row("above_chance_anml"), {"class_accuracy": sgd}, optimizer="sgd") is not None


def test_a_share_above_chance_is_the_papers_kind_only_of_as_many_drawings(tables) -> None:
    found = measured(row("above_chance_anml"), tables)
    for models, trajectories, many in ((4, 10, False), (10, 9, False), (10, 10, True)):
        own = replace(found, models=models, trajectories=trajectories)
        assert as_many_drawings(row("above_chance_anml"), own) == many
        assert as_many_drawings(row("anml_600"), own)


def test_a_number_of_a_kind_that_nothing_measures_is_refused(tables):
    with pytest.raises(ValueError, match="nothing measures the metric 'beauty'"):
        measured(row("anml_600") | {"metric": "beauty"}, tables)


def test_the_headline_holds_every_published_number_once_and_in_its_words(tables):
    frame = headline(tables)
    assert set(published()["id"]) <= set(frame["id"])
    assert frame["id"].is_unique
    sheet = headline_sheet(frame, "paper").set_index("number")
    assert "63.8" in sheet["published"].tolist()
    assert "<3" in sheet["published"].tolist()
    assert sheet.loc["ANML: kNN accuracy of NM activations", "replicates"] == "2 models"
    ours = sheet.filter(like="share of classes above chance", axis=0)["measured here"]
    assert len(ours) == 2
    assert ours.str.endswith("at N = 60").all()
    assert coverage(frame).startswith(f"{len(frame)} published numbers: ")
    assert coverage(frame).endswith(" 0 not run at this scale.")


def test_what_was_not_run_says_so_and_nothing_is_made_up():
    frame = headline({"knn": synthetic_results.knn()})
    sheet = headline_sheet(frame, "higherANML replication")
    assert set(sheet["measured here"]) == {"not run at this scale"}
    assert set(sheet["replicates"]) == {"-"}
    assert coverage(frame).endswith(f"{len(frame) - 4} not run at this scale.")


def test_published_numbers_do_not_stand_beside_other_drawings(tables):
    sheet = headline_sheet(headline(tables), "paper", omniglot=False)
    assert list(sheet) == ["number", "N", "measured here", "replicates"]


def test_what_a_rerun_should_give_has_a_column_a_profile_and_no_empty_row(tables):
    sheet = rerun_sheet({"quick": {"knn": tables["knn"]}, "laptop": tables})
    assert list(sheet) == ["number", "quick", "laptop"]
    by_number = sheet.set_index("number")
    known = by_number.loc["ANML: kNN accuracy of NM activations"]
    assert known["quick"] == known["laptop"] != ""
    anml = by_number.loc["ANML, sequential: meta-test testing accuracy, N 600"]
    assert anml["quick"] == "" != anml["laptop"]
    assert len(rerun_sheet({"quick": {"knn": tables["knn"]}})) == 4
