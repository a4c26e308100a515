"""What a table of the head's other ways says: best rates, tenths of the classes, sentences."""

import pytest
import synthetic_head
from synthetic_head import LEVELS

from anml.figures.plot_head import RULES, head_figure
from anml.findings import head_found
from anml.meta_testing.head_rules import HEAD_RULES
from anml.pages import recorded
from anml.results import Table
from anml.running.head_jobs import PARTS
from anml.store.tables import LEARNED, TESTING


def test_the_best_rate_of_each_way_is_that_of_the_mean() -> None:
    table = synthetic_head.table()
    best = head_found.best_rates(table)
    assert best == {name: rule.rates[2] for name, rule in HEAD_RULES.items()}
    values = head_found.part_values(table)
    assert list(values["rule"].unique()) == list(HEAD_RULES)
    assert set(values.loc[values["best"], "learning_rate"]) == set(best.values())
    whole = head_found.whole_values(table)
    testing = whole[whole["best"] & (whole["metric"] == TESTING)].set_index("rule")["mean"]
    assert testing.to_dict() == pytest.approx(LEVELS, abs=1e-3)


def test_the_sheet_has_every_way_and_rate_and_both_ends_of_the_order() -> None:
    sheet = head_found.rate_sheet(synthetic_head.table())
    assert len(sheet) == sum(len(rule.rates) for rule in HEAD_RULES.values())
    starred = sheet[sheet["rate"].str.endswith("*")]
    assert starred["way"].tolist() == list(HEAD_RULES)
    names = ("first tenth, testing", "all, testing", "last tenth, testing", "last tenth, training")
    first, testing, last, learned = (
        starred[name].str.split().str[0].astype(float) for name in names
    )
    assert (learned - last).tolist() == pytest.approx([20.0] * 4, abs=0.11)
    assert (testing - first).tolist() == pytest.approx([4.5] * 4, abs=0.11)
    assert (last - testing).tolist() == pytest.approx([4.5] * 4, abs=0.11)


def test_the_sentences_compare_each_way_with_the_usual_one_pair_by_pair() -> None:
    table = synthetic_head.table()
    usual, held, zero, sgd = head_found.lines(table)
    assert usual.startswith(
        "Adam, as everywhere else here: 50.0% after 50 classes "
        "(2 models \N{MULTIPLICATION SIGN} 2 trajectories), at its best rate"
    )
    assert "10.0% at its best rate, 0.001: -40.0 [-40." in held
    assert "55.0% at its best rate, 0.001: +5.0 [+" in zero
    assert sgd.startswith("With SGD: 20.0% at its best rate, 0.01: -30.0")
    frame = table.frame[table.frame["rule"] != head_found.HELD]
    assert len(head_found.lines(Table(frame, table.provenance))) == 3


def test_the_figure_draws_adams_rates_and_every_way_at_its_best() -> None:
    table = synthetic_head.table()
    values = head_found.part_values(table)
    left, right = head_figure(values, table.provenance).axes
    labels = [line.get_label() for line in left.lines if not line.get_label().startswith("_")]
    assert labels == ["0.0001", "0.0003", "0.001, the best", "0.003"]
    drawn = {line.get_label(): line for line in right.lines if "(" in line.get_label()}
    assert [label.rpartition(" (")[0] for label in drawn] == list(RULES)
    at_best = values[values["best"] & (values["metric"] == TESTING)]
    for label, line in drawn.items():
        own = at_best[at_best["rule"] == label.rpartition(" (")[0]]
        assert line.get_ydata().tolist() == pytest.approx((100 * own["mean"]).tolist())
        assert line.get_xdata().tolist() == list(range(1, PARTS + 1))


def test_a_rerun_is_compared_at_the_best_rates() -> None:
    rows = recorded.head_rows(synthetic_head.table())
    assert list(rows["what"].unique()) == list(HEAD_RULES)
    means = rows.groupby("what")["value"].mean().to_dict()
    assert means == pytest.approx(LEVELS, abs=1e-3)
    sheet = recorded.spread_sheet({"quick": synthetic_head.table()}, recorded.head_rows)
    assert "50" in sheet["quick"].tolist()


def test_what_rows_answer_has_a_line_for_every_way_and_rate() -> None:
    sheet = head_found.output_sheet(synthetic_head.outputs(), synthetic_head.table())
    whole = head_found.rate_sheet(synthetic_head.table())
    assert sheet[["way", "rate"]].equals(whole[["way", "rate"]])
    own, rows, above, known, others = sheet.drop(columns=["way", "rate"]).iloc[0]
    assert (own, rows, known, others) == ("-0.5", "-1.0", "-1.0", "-2.0")
    assert above.split()[0] == "20.5"
    assert "[20.0" in above
    assert head_found.half_words(synthetic_head.outputs()) == "25 of 50"


def test_what_few_classes_do_not_have_is_a_dash() -> None:
    table = synthetic_head.outputs()
    frame = table.frame[table.frame["metric"] != LEARNED]
    fewer = Table(frame[frame["rule"] != head_found.SGD], table.provenance)
    sheet = head_found.output_sheet(fewer, synthetic_head.table())
    assert set(sheet["class to come: rows learned"]) == {"-"}
    assert head_found.SGD not in set(sheet["way"])
