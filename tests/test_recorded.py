"""What recorded runs gave, in words: the table that a reader compares a rerun with."""

from __future__ import annotations

import pandas as pd
import pytest
import synthetic_disagreements
import synthetic_learning
import synthetic_probes
import synthetic_rates
import synthetic_results

from anml.figures.plot_fig3 import FIVE
from anml.findings import found_tables
from anml.findings.disagreement_values import question_rows
from anml.pages import recorded
from anml.profiles import PROFILES
from anml.questions import QUESTIONS
from anml.results import Table, write_table
from anml.store.tables import TESTING

TABLE = synthetic_results.meta_test()


def sheet(rows_of: recorded.RowsOf, table: Table = TABLE) -> pd.DataFrame:
    """The sheet of one table that is recorded at `quick`, by quantity."""
    return recorded.spread_sheet({"quick": table}, rows_of).set_index("")


def test_a_cell_is_the_mean_and_the_span_of_single_values():
    shown = sheet(recorded.accuracy_rows(FIVE))
    frame = TABLE.frame
    own = frame[
        (frame["treatment"] == "ANML")
        & (frame["regime"] == "sequential")
        & (frame["n_classes"] == 600)
        & (frame["metric"] == TESTING)
    ]["value"]
    text = f"{100 * own.mean():.1f} ({100 * own.min():.1f} to {100 * own.max():.1f})"
    assert shown.loc["ANML", "quick"] == text
    assert list(shown.index)[-5:] == list(FIVE)
    assert shown.loc["N", "quick"] == "600"
    assert shown.loc["most replicates", "quick"] == "2 models × 3 trajectories"


def test_profiles_with_nothing_to_show_have_no_column():
    tables = {"quick": TABLE, "laptop": synthetic_results.meta_test(treatments=["OML"])}
    shown = recorded.spread_sheet(tables, recorded.accuracy_rows(["ANML"]))
    assert list(shown.columns) == ["", "quick"]
    assert sheet(recorded.accuracy_rows(FIVE, optimizer="sgd")).empty


def test_the_drawings_are_named():
    shown = sheet(recorded.accuracy_rows(FIVE), synthetic_results.meta_test("glyphs"))
    assert shown.loc["drawings", "quick"] == "embedded ones"
    assert sheet(recorded.accuracy_rows(FIVE)).loc["drawings", "quick"] == "Omniglot"


def test_each_quantity_stands_at_the_longest_n_that_it_was_measured_at():
    frame = TABLE.frame
    network = frame["treatment"] == "Scratch"
    shorter = Table(frame[~(network & (frame["n_classes"] == 600))], TABLE.provenance)
    shown = sheet(recorded.accuracy_rows(FIVE), shorter)
    assert shown.loc["N", "quick"] == "600"
    ends = shown["quick"].str.endswith(", N = 50")
    assert list(ends[ends].index) == ["Scratch"]
    assert shown.loc["ANML", "quick"] == sheet(recorded.accuracy_rows(FIVE)).loc["ANML", "quick"]


SETTINGS = [setting for question in QUESTIONS for setting in question.answers.values()]
SHARED = [
    (question, answer)
    for question in QUESTIONS
    for answer, setting in question.answers.items()
    if SETTINGS.count(setting) > 1
]
"""Answers whose setting is another question's as well."""


@pytest.fixture(params=SHARED, ids=lambda shared: f"{shared[0].id}: {shared[1]}")
def older(request) -> tuple[Table, str]:
    """A table that lacks an answer under one question and has it under another, and its words."""
    full = synthetic_disagreements.table({})
    question, answer = request.param
    own = (full.frame["question"] == question.id) & (full.frame["answer"] == answer)
    return Table(full.frame[~own], full.provenance), f"{question.title} {answer}"


def test_an_answer_that_stands_under_another_question_is_shown_under_both(older):
    """As the page does, where a table is older than a question."""
    table, words = older
    assert sheet(recorded.answer_rows, table).loc[words, "quick"]


def test_every_observation_of_an_answer_is_shown_once(older):
    table, _ = older
    shown = recorded.answer_rows(table)
    for question in QUESTIONS:
        own = question_rows(table, question)
        own = own[own["metric"] == TESTING]
        for answer in question.answers:
            values = shown.loc[shown["what"] == f"{question.title} {answer}", "value"]
            assert len(values)
            assert sorted(values) == sorted(own.loc[own["answer"] == answer, "value"])


def test_regimes_are_told_apart():
    shown = sheet(recorded.accuracy_rows(FIVE, ("sequential", "oracle")))
    assert "ANML, sequential" in shown.index
    assert "ANML, oracle" in shown.index


@pytest.mark.parametrize(
    ("table", "rows_of", "what", "count"),
    [
        (
            synthetic_results.everything("omniglot")["class_accuracy"],
            *(recorded.order_rows, "ANML, first tenth of the classes", 4),
        ),
        (
            synthetic_probes.tables("omniglot")["activity"],
            *(recorded.activity_rows, "OML: units active", 4),
        ),
        (
            synthetic_probes.tables("omniglot")["knn"],
            *(recorded.knn_rows, "NM with random weights (control), K = 5", 5),
        ),
        (
            synthetic_disagreements.table({}),
            *(recorded.answer_rows, "Adam or SGD at meta-test? SGD (paper)"),
            sum(len(question.answers) for question in QUESTIONS),
        ),
        (synthetic_learning.table("omniglot"), recorded.remember_rows, "remember set of ANML", 2),
        (synthetic_rates.table(), recorded.rate_rows, "Pretrain & Transfer, outer rate 0.001", 16),
    ],
)
def test_each_kind_of_table_gives_its_quantities(table, rows_of, what, count):
    shown = sheet(rows_of, table)["quick"]
    quantities = shown[shown.str.match(r"[\d.]+($| \()")].drop(["N"], errors="ignore")
    assert what in quantities.index
    assert len(quantities) == count


def test_recorded_tables_are_read_in_the_profiles_order():
    found = found_tables.recorded_tables("meta_test")
    assert list(found) == [name for name in PROFILES if name in found]
    assert {"smoke", "quick", "laptop"} <= set(found)


def test_sets_hold_the_tables_on_the_same_drawings(tmp_path):
    for profile, data in (("smoke", "glyphs"), ("laptop", "omniglot")):
        path = tmp_path / "results" / profile / "knn.parquet"
        table = synthetic_probes.tables(data)["knn"]
        write_table(path, table.frame, table.provenance)
    sets = found_tables.recorded_sets(["knn", "activity"], "omniglot", tmp_path)
    assert {profile: list(tables) for profile, tables in sets.items()} == {"laptop": ["knn"]}
    assert list(found_tables.recorded_sets(["knn"], "glyphs", tmp_path)) == ["smoke"]
