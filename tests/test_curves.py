"""Values of the curves: the table's means, every published number, and what is missing said."""

from __future__ import annotations

import pytest
import synthetic_results
import synthetic_table

from anml.errors import AnmlError
from anml.figures.plot_style import FIVE, TREATMENTS
from anml.findings import curves
from anml.findings.claims import published, published_points, published_with_noted
from anml.results import Table
from anml.store.tables import TESTING, TRAINING

BOTH = ("sequential", "oracle")


def test_the_values_are_the_tables_means_in_the_order_of_every_legend():
    source = synthetic_results.meta_test(models=2, trajectories=2)
    values = curves.curve_values(source, FIVE, BOTH)
    frame = source.frame.set_index(curves.KEYS)["value"]
    for row in values.itertuples():
        own = frame.loc[(row.treatment, row.regime, row.metric, row.n_classes)]
        assert row.mean == pytest.approx(own.mean())
        assert row.low <= row.mean <= row.high
        assert (row.models, row.trajectories) == (2, 2)
    pairs = list(dict.fromkeys(zip(values["treatment"], values["regime"], strict=True)))
    assert pairs == [(name, regime) for name in FIVE for regime in BOTH]


def test_an_optimiser_or_a_regime_that_the_table_does_not_hold_is_refused():
    source = synthetic_results.meta_test(regimes=["sequential"], numbers=[10])
    with pytest.raises(AnmlError, match="'sgd' for the treatments shown here; it holds 'adam'"):
        curves.curve_values(source, FIVE, optimizer="sgd")
    with pytest.raises(AnmlError, match=r"'oracle' .* it holds none with any: `make results`"):
        curves.curve_values(source, FIVE, ["oracle"])


def test_what_was_not_run_is_said_in_one_line():
    whole = synthetic_results.meta_test(models=1, trajectories=1)
    assert curves.not_run(curves.curve_values(whole, FIVE, BOTH), FIVE, BOTH) == ""
    part = synthetic_results.meta_test(
        treatments=["ANML", "OML"], regimes=["sequential"], numbers=[10, 50], models=1
    )
    line = curves.not_run(curves.curve_values(part, FIVE, BOTH), FIVE, BOTH)
    assert line.startswith("Not run at this scale: OML-OLFT (sequential), ")
    assert "ANML (oracle)" in line
    assert "ANML (sequential)" not in line
    assert line.endswith("more than 50 classes (the paper goes to 600).")


def test_published_marks_hold_points_and_bounds_and_stand_beside_omniglot_alone():
    marks = curves.published_marks(tuple(TREATMENTS), BOTH, synthetic_table.provenance()).set_index(
        "id"
    )
    assert marks.loc["anml_oracle_600", ["regime", "value"]].tolist() == ["oracle", 0.71]
    assert marks.loc["oml_unlimited", ["kind", "value"]].tolist() == ["bound", 0.01]
    assert marks.loc["scratch_train_50up", ["kind", "n_classes"]].tolist() == ["onwards", 50]
    rows = published_with_noted()
    rows = rows[rows["regime"].isin(BOTH) & rows["metric"].isin([TRAINING, TESTING])]
    assert sorted(marks.index) == sorted(rows["id"])
    glyphs = synthetic_table.provenance("glyphs")
    assert curves.published_marks(tuple(TREATMENTS), BOTH, glyphs).empty


def test_published_points_leave_bounds_out_and_read_training_accuracy_from_the_notes():
    testing, training = published_points(TESTING), published_points(TRAINING)
    by_id = testing.set_index("id")["value"]
    assert by_id["anml_600"] == pytest.approx(0.638)
    assert "oml_unlimited" not in by_id  # a bound, "<1"
    assert "anml_oracle_600" not in by_id  # another regime
    assert training.set_index("id").loc["numenta_600_training", "value"] == pytest.approx(0.93)
    assert set(testing["source"]) <= set(published()["source"])


def test_a_single_value_has_no_made_up_interval():
    source = synthetic_results.meta_test(models=1, trajectories=1)
    values = curves.curve_values(source, FIVE)
    shown = curves.number_table(values, TESTING)
    assert not shown.drop(columns="N").apply(lambda column: column.str.contains(r"\[")).any().any()
    assert "x_anml_test_low" not in curves.glued("x", values, source.provenance)
    several = curves.curve_values(synthetic_results.meta_test(), FIVE)
    shown = curves.number_table(several, TESTING).set_index("N")
    assert shown.iloc[:-1].apply(lambda column: column.str.contains(r"\[")).all().all()


def test_the_last_row_of_the_numbers_counts_the_replicates():
    frame = synthetic_results.meta_test().frame
    few = (frame["treatment"] == "OML") & (frame["n_classes"] == 600) & (frame["model_seed"] > 0)
    table = Table(frame[~few], synthetic_results.meta_test().provenance)
    shown = curves.number_table(curves.curve_values(table, FIVE), TESTING).set_index("N")
    assert shown.index[-1] == "models × trajectories"
    assert shown.iloc[-1]["ANML"] == "2 × 3"
    assert shown.iloc[-1]["OML"] == "1 × 3, 2 × 3"


def test_glued_values_are_plain_and_rounded():
    source = synthetic_results.meta_test(numbers=[10, 50])
    values = curves.curve_values(source, FIVE, BOTH)
    glued = curves.glued("x", values, source.provenance, "oracle")
    means = source.frame.groupby(curves.KEYS)["value"].mean()
    for name, treatment in (("anml", "ANML"), ("pretrain_transfer", "Pretrain & Transfer")):
        expected = 100 * means[treatment, "oracle", TESTING, 50]
        assert glued[f"x_{name}_test"] == pytest.approx(expected, abs=0.051)
    assert glued["x_longest_n"] == 50
    assert {type(value) for value in glued.values()} <= {int, float, str}


def test_replicates_are_said_as_a_range_where_points_differ():
    values = curves.curve_values(synthetic_results.meta_test(models=1, numbers=[10]), FIVE)
    assert curves.replicate_words(values) == "1 model × 3 trajectories"
    values.loc[0, "models"] = 4
    assert curves.replicate_words(values).endswith("to 4 models × 3 trajectories")
