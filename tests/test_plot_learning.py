"""Learning curves: averaged without loss, a line a model and one for their mean."""

import numpy as np
import pytest
import synthetic_learning
from synthetic_learning import STEPS

from anml.figures.plot_learning import POINTS, ends, learning_figure, learning_values
from anml.results import Table
from anml.store.tables import LOG_METRICS
from anml.treatments import TRAININGS, treatment_of


@pytest.fixture
def table() -> Table:
    return synthetic_learning.table()


def test_stretches_are_equal_and_keep_the_mean(table: Table) -> None:
    values = learning_values(table)
    one = values[
        (values["training"] == "anml")
        & (values["model_seed"] == 1)
        & (values["metric"] == LOG_METRICS[0])
    ]
    assert one["iteration"].tolist() == list(range(50, 2001, 50))
    assert len(one) == POINTS
    assert one["value"].mean() == pytest.approx(0.1 + (STEPS - 1) / 2 / STEPS)


def test_a_short_log_is_kept_as_it_is(table: Table) -> None:
    short = table.frame[table.frame["iteration"] <= 30]
    values = learning_values(Table(short, table.provenance))
    assert sorted(values["iteration"].unique()) == [10, 20, 30]


def test_stretches_are_equal_in_iterations_where_a_part_was_logged_more_often(
    table: Table,
) -> None:
    """As of a meta-training that a second run went on with."""
    odd = table.frame["iteration"] % 20 > 0
    frame = table.frame[~(odd & (table.frame["iteration"] <= 1000))]
    values = learning_values(Table(frame, table.provenance))
    one = values[(values["training"] == "oml") & (values["metric"] == LOG_METRICS[0])]
    expected = [50 * (i + 1) - (10 if i % 2 == 0 and i < 20 else 0) for i in range(POINTS)]
    assert one["iteration"].tolist() == expected


def test_ends_are_means_over_models_and_the_last_tenth(table: Table) -> None:
    rows = ends(learning_values(table)).set_index("training")
    assert rows.loc["anml", "models"] == 2
    assert rows.loc["oml", "iterations"] == 2000
    expected = np.mean([step / STEPS for step in range(180, 200)])
    assert rows.loc["oml", LOG_METRICS[0]] == pytest.approx(expected)
    assert rows.loc["anml", LOG_METRICS[0]] == pytest.approx(expected + 0.05)


def test_the_figure_has_a_line_a_model_and_one_for_their_mean(table: Table) -> None:
    values = learning_values(table)
    figure = learning_figure(values, table.provenance)
    assert "2 models at most\nNARROW networks" in figure.get_suptitle()
    loss, remembered = figure.axes
    assert loss.get_ylabel() == "meta-loss (cross-entropy)"
    assert remembered.get_ylabel() == "accuracy, %"
    assert [line.get_linewidth() for line in loss.lines] == [0.7, 0.7, 2, 2]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["ANML", "OML"]
    own = values[(values["training"] == "oml") & (values["metric"] == LOG_METRICS[2])]
    np.testing.assert_allclose(remembered.lines[-1].get_ydata(), 100 * own["value"])


def test_every_meta_training_has_a_colour() -> None:
    from anml.figures.plot_style import TREATMENTS

    names = {name for name, training in TRAININGS.items() if training.procedure != "none"}
    assert {treatment_of(name) for name in names} <= set(TREATMENTS)
