"""The ledger: verdicts are earned, nothing of the paper is missing, rows that fail stay."""

from __future__ import annotations

from dataclasses import replace

import pytest
import synthetic_results
from synthetic_results import with_values

from anml.findings.claim_notes import WHY
from anml.findings.claims import published_with_noted
from anml.findings.directions import DIRECTIONS
from anml.findings.found_tables import find_tables
from anml.findings.ledger import (
    DIRECTION,
    MODELS,
    NOT,
    NOT_COMPARABLE,
    NOT_RUN,
    REPRODUCED,
    TABLES,
    Entry,
    judge,
    ledger,
    tolerance,
)
from anml.findings.measure import measured
from anml.findings.qualitative import CLAIMS
from anml.profiles import PROFILES
from anml.results import Table
from anml.store.tables import TESTING, TRAINING

ROWS = published_with_noted()
PAPER = ROWS[ROWS["source"] == "paper"]


def wide(table: Table) -> Table:
    """The same rows, as if measured at the paper's scale."""
    return Table(table.frame, replace(table.provenance, profile_values=PROFILES["paper"].values()))


def entries(tables: dict[str, Table], *ids: str) -> dict[str, Entry]:
    """The rows with these ids; without any, all."""
    return {entry.id: entry for entry in ledger(tables, only=ids or None)}


def entry_of(table: Table, row: str, name: str = "meta_test") -> Entry:
    """The row with the id `row`, from a table called `name` alone."""
    return entries({name: table}, row)[row]


@pytest.fixture(scope="module")
def meta_test() -> Table:
    return wide(synthetic_results.meta_test(models=MODELS))


def test_every_number_and_claim_has_one_row_whatever_is_missing():
    expected = [*ROWS["id"], *(claim.id for claim in CLAIMS)]
    assert len(set(expected)) == len(expected)
    for tables in ({}, synthetic_results.everything()):
        assert sorted(entry.id for entry in ledger(tables)) == sorted(expected)


def test_directions_and_notes_are_of_rows_that_exist():
    claims = {claim.id for claim in CLAIMS}
    without = {"dead_anml", "dead_oml", "active_before", "active_after", "active_nm"}
    assert set(DIRECTIONS) == set(PAPER["id"]) - without
    assert set(WHY) <= claims | set(PAPER["id"])


def test_the_published_numbers_lie_in_their_own_direction():
    # Where the other side of a direction is published too, the two must agree with it.
    def value(row):
        return float(row["value"].removeprefix("<"))

    compared = 0
    for _, row in PAPER[PAPER["id"].isin(list(DIRECTIONS))].iterrows():
        direction = DIRECTIONS[row["id"]]
        other = {**row, **direction.other}
        columns = ["treatment", "regime", "n_classes", "metric"]
        there = PAPER[(PAPER[columns] == [other[name] for name in columns]).all(axis=1)]
        for _, against in there.iterrows():
            compared += 1
            assert (value(row) > value(against)) == (direction.side == "above"), row["id"]
    assert compared > 15


def test_nothing_is_reproduced_without_a_table():
    for entry in ledger({}):
        assert entry.verdict == NOT_RUN
        assert entry.measured == entry.why == ""
    for name in TABLES:
        rest = {key: wide(t) for key, t in synthetic_results.everything().items() if key != name}
        found = entries(rest)
        missing = [row["id"] for _, row in ROWS.iterrows() if measured(row, rest) is None]
        assert missing
        assert {found[name].verdict for name in missing} == {NOT_RUN}


def test_a_number_is_reproduced_only_at_the_papers_scale(meta_test):
    chosen = {"treatment": "ANML", "regime": "sequential", "metric": TESTING}
    same = with_values(meta_test, 0.638, **chosen)
    assert entry_of(same, "anml_600").verdict == REPRODUCED
    narrow = Table(same.frame, synthetic_results.meta_test().provenance)
    few = Table(same.frame[same.frame["model_seed"] < MODELS - 1], same.provenance)
    values = {**same.provenance.profile_values, "meta_iterations": 19_999}
    brief = Table(same.frame, replace(same.provenance, profile_values=values))
    for table in (narrow, few, brief):
        found = entries({"meta_test": table}, "anml_600", "scratch_drop_600")
        assert found["anml_600"].verdict == DIRECTION
        too_short = "Trained for 19,999 iterations, not 20,000."
        assert (too_short in found["anml_600"].why) == (table is brief)
        assert too_short not in found["scratch_drop_600"].why  # nobody trains it
    probes = {name: wide(table) for name, table in synthetic_results.everything().items()}
    probes["knn"] = Table(probes["knn"].frame, brief.provenance)
    assert too_short not in entry_of(probes["knn"], "knn_nm_random", "knn").why
    shorter = Table(same.frame[same.frame["n_classes"] < 600], same.provenance)
    entry = entry_of(shorter, "anml_600")
    assert (entry.verdict, entry.n_classes) == (NOT_COMPARABLE, "50")  # below OML-OLFT at 50
    assert "All that it takes was measured up to N = 50, not 600" in entry.why


@pytest.mark.parametrize(("value", "verdict"), [(0.64, DIRECTION), (0.4, NOT)])
def test_a_number_that_has_nothing_beside_it_stands_by_its_value(meta_test, value, verdict):
    """ANML alone, one model of it: neither reproduced, nor said not to be where it is the same."""
    chosen = {"treatment": "ANML", "regime": "sequential", "metric": TESTING}
    table = with_values(meta_test, value, **chosen)
    rows = (table.frame["treatment"] == "ANML") & (table.frame["model_seed"] == 0)
    alone = Table(table.frame[rows], table.provenance)
    assert entry_of(alone, "anml_600").verdict == verdict


@pytest.mark.parametrize(
    ("value", "models", "verdict"),
    [(0.64, MODELS, REPRODUCED), (0.64, 1, DIRECTION), (0.4, 1, NOT), (0.4, MODELS, NOT)],
)
def test_a_replications_number_over_few_models(meta_test, value, models, verdict):
    """At the paper's scale: the same number over few models is no failure to reproduce it."""
    chosen = {"treatment": "ANML", "regime": "sequential", "metric": TESTING}
    table = with_values(meta_test, value, **chosen)
    some = Table(table.frame[table.frame["model_seed"] < models], table.provenance)
    assert entry_of(some, "released_600").verdict == verdict


@pytest.mark.parametrize(
    ("value", "verdict"),
    [(0.638, REPRODUCED), (0.589, REPRODUCED), (0.5875, DIRECTION), (0.9, DIRECTION), (0.3, NOT)],
)
def test_the_tolerance_and_the_direction_decide(meta_test, value, verdict):
    others = with_values(meta_test, 0.4, treatment="OML-OLFT")
    chosen = {"treatment": "ANML", "regime": "sequential", "metric": TESTING}
    assert entry_of(with_values(others, value, **chosen), "anml_600").verdict == verdict


def test_what_a_number_is_compared_with_is_said_to_be_missing(meta_test):
    assert entry_of(meta_test, "anml_600").direction == "above OML-OLFT"
    frame = meta_test.frame
    alone = Table(frame[frame["treatment"] == "ANML"], meta_test.provenance)
    found = entries({"meta_test": alone}, "anml_600", "anml_oracle_600")
    assert found["anml_600"].direction == "above OML-OLFT (not measured)"
    assert found["anml_oracle_600"].direction == "above sequential"


@pytest.mark.parametrize(("value", "verdict"), [(0.029, REPRODUCED), (0.031, DIRECTION)])
def test_a_bound_has_no_tolerance(meta_test, value, verdict):
    chosen = {"treatment": "Scratch", "regime": "sequential", "metric": TRAINING}
    table = with_values(meta_test, value, **chosen)
    assert entry_of(table, "scratch_train_50up").verdict == verdict


def test_small_numbers_have_a_small_tolerance():
    assert [tolerance(x) for x in (63.8, 5.9, 3.89, 0.0)] == [5.0, 2.95, 1.945, 1.0]


def test_embedded_drawings_reproduce_nothing():
    for entry in ledger(synthetic_results.everything("glyphs")):
        assert entry.verdict == (NOT_COMPARABLE if entry.measured else NOT_RUN)
        assert not entry.measured or "Not measured on Omniglot" in entry.why


def test_the_rule_of_the_verdicts():
    facts = {"omniglot": True, "as_stated": True, "agrees": True, "direction": True, "same_n": True}
    assert judge(**facts) == REPRODUCED
    assert judge(**facts | {"omniglot": False}) == NOT_COMPARABLE
    assert judge(**facts | {"agrees": False}) == DIRECTION
    assert judge(**facts | {"as_stated": False}) == DIRECTION
    assert judge(**facts | {"agrees": False, "direction": False}) == NOT
    against = facts | {"as_stated": False, "direction": False}
    assert judge(**against) == NOT
    assert judge(**against | {"same_n": False}) == NOT_COMPARABLE
    assert judge(**facts | {"as_stated": False, "direction": None}) == NOT_COMPARABLE


def test_a_claim_about_every_n_is_refuted_by_one_n(meta_test):
    good = entry_of(meta_test, "anml_best")
    assert good.verdict == REPRODUCED
    bad = with_values(meta_test, 0.1, treatment="ANML", n_classes=10)
    short = Table(bad.frame[bad.frame["n_classes"] < 600], bad.provenance)
    for table in (bad, short):
        entry = entry_of(table, "anml_best")
        assert entry.verdict == NOT
        assert "N = 10" in entry.measured


def test_a_claim_that_holds_on_less_than_the_paper_has_is_direction_only(meta_test):
    frame = meta_test.frame
    assert entry_of(meta_test, "plasticity_hurts").verdict == REPRODUCED
    short = Table(frame[frame["n_classes"] < 600], meta_test.provenance)
    fewer = Table(frame[frame["model_seed"] < MODELS - 1], meta_test.provenance)
    one = frame[(frame["model_seed"] == 0) & (frame["trajectory_seed"] == 0)]
    narrow = Table(frame, synthetic_results.meta_test().provenance)
    for table in (short, fewer, Table(one, meta_test.provenance), narrow):
        assert entry_of(table, "plasticity_hurts").verdict == DIRECTION


def test_a_claim_about_treatments_measured_unequally_far_says_which_and_where_it_is_hardest(
    meta_test,
):
    """The margin is that of a case at 600; another one was measured up to 50 only."""
    frame = meta_test.frame
    gap = frame["regime"].eq("oracle 20 epochs") & frame["metric"].eq(TRAINING)
    scratch = frame["treatment"].eq("Scratch") & frame["regime"].eq("oracle 20 epochs")
    wider = frame["value"] + 0.3 * (gap & frame["treatment"].eq("Scratch"))
    wider += 0.1 * (gap & frame["treatment"].eq("Pretrain & Transfer"))
    frame = frame.assign(value=wider)
    short = frame[~(scratch & (frame["n_classes"] == 600))]
    entry = entry_of(Table(short, meta_test.provenance), "epochs_memorise")
    assert (entry.verdict, entry.n_classes) == (DIRECTION, "50 to 600")
    assert "(hardest of the cases measured: gap: " in entry.measured
    assert "Pretrain & Transfer" in entry.measured
    assert entry.why.startswith("Scratch (oracle 20 epochs) was measured up to N = 50, not 600.")
    whole = entry_of(Table(frame, meta_test.provenance), "epochs_memorise")
    assert whole.n_classes == "600"
    assert "hardest of" not in whole.measured


def test_a_replication_has_no_direction_so_narrow_networks_say_nothing_of_it():
    for entry in ledger(synthetic_results.everything()):
        if entry.kind == "replication":
            assert (entry.direction, entry.verdict) == (
                "",
                NOT_COMPARABLE if entry.measured else NOT_RUN,
            )


@pytest.mark.parametrize(
    ("share", "verdict"), [(0.5277, DIRECTION), (0.3, NOT_COMPARABLE)], ids=["the same", "another"]
)
def test_a_number_that_is_compared_with_nothing_refutes_nothing_at_another_scale(share, verdict):
    chosen = {"treatment": "ANML", "layer": "latent", "metric": "share active"}
    table = with_values(synthetic_results.activity(), share, **chosen)
    assert entry_of(table, "active_before", "activity").verdict == verdict
    there = Table(table.frame, wide(table).provenance)
    assert (entry_of(there, "active_before", "activity").verdict == NOT) == (share == 0.3)


def test_another_optimiser_has_its_own_ledger(meta_test):
    assert all(e.verdict == NOT_RUN for e in ledger({"meta_test": meta_test}, optimizer="sgd"))


@pytest.mark.parametrize(
    ("profile", "data"), [("smoke", "glyphs"), ("quick", "omniglot"), ("laptop", "omniglot")]
)
def test_recorded_results_are_judged_by_the_same_rule(profile, data):
    tables = {name: f.table for name, f in find_tables(TABLES, profile, data).items()}
    found = ledger(tables)
    # All are narrower than the paper: none of its numbers can be reproduced.
    assert REPRODUCED not in {entry.verdict for entry in found if entry.kind != "claim"}
    for entry in found:
        assert (entry.measured == "") == (entry.verdict == NOT_RUN)


def test_what_has_no_n_is_measured_of_models_alone():
    for entry in ledger(synthetic_results.everything()):
        if entry.measured:
            assert ("trajector" in entry.replicates) == bool(entry.n_classes), entry.id
            assert "model" in entry.replicates
