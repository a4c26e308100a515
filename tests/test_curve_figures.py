"""Figures 3, 4, S7, S8 and S9: the axes, series and labels that each should have."""

from __future__ import annotations

from functools import partial

import matplotlib.colors as mcolors
import numpy as np
import pandas as pd
import pytest
import synthetic_results
import synthetic_table
from figure_parts import curves, marks, words
from matplotlib.figure import Figure

from anml.errors import AnmlError
from anml.figures import plot_fig3, plot_fig4, plot_figs7, plot_figs8, plot_figs9
from anml.figures.plot_regimes import REGIMES
from anml.figures.plot_style import FIVE, SOURCES, TREATMENTS
from anml.findings.claims import published_with_noted
from anml.meta_testing.regimes import REGIMES as RUN
from anml.pages.notebook import picture
from anml.results import Table
from anml.store.tables import TESTING, TRAINING

meta_test = partial(synthetic_results.meta_test, numbers=(10, 50), models=2, trajectories=2)


def fig3(source: Table) -> Figure:
    return plot_fig3.fig3(plot_fig3.fig3_values(source), source.provenance)


def fig4(source: Table) -> Figure:
    drops = plot_fig4.fig4_drops(source)
    return plot_fig4.fig4(plot_fig4.fig4_values(source), drops, source.provenance)


def figs7(source: Table) -> Figure:
    return plot_figs7.figs7(plot_figs7.figs7_values(source), source.provenance)


def figs8(source: Table) -> Figure:
    return plot_figs8.figs8(plot_figs8.figs8_values(source), source.provenance)


def figs9(source: Table) -> Figure:
    return plot_figs9.figs9(plot_figs9.figs9_values(source), source.provenance)


PANELS = {fig3: plot_fig3.fig3_values, figs8: plot_figs8.figs8_values}
GRIDS = {fig4: plot_fig4.fig4_values, figs7: plot_figs7.figs7_values}
BY_NUMBER = [fig3, fig4, figs7, figs8]
EVERY = [*((draw, meta_test) for draw in BY_NUMBER), (figs9, synthetic_results.class_accuracy)]
every = pytest.mark.parametrize(("draw", "make"), EVERY, ids=[draw.__name__ for draw, _ in EVERY])


@pytest.mark.parametrize("draw", PANELS)
def test_the_curves_of_two_panels_are_the_values(draw):
    source = meta_test()
    values, figure = PANELS[draw](source), draw(source)
    assert [axis.get_title(loc="left") for axis in figure.axes] == [
        "Meta-test training accuracy",
        "Meta-test testing accuracy",
    ]
    for axis, metric in zip(figure.axes, (TRAINING, TESTING), strict=True):
        assert axis.get_xlabel() == "Classes learned one after another, N"
        for treatment in dict.fromkeys(values["treatment"]):
            rows = values[(values["metric"] == metric) & (values["treatment"] == treatment)]
            (curve,) = curves(axis, TREATMENTS[treatment].colour)
            np.testing.assert_allclose(curve.get_ydata(), 100 * rows["mean"])
            np.testing.assert_array_equal(curve.get_xdata(), rows["n_classes"])
            assert treatment in words(figure)
    assert figure.axes[0].get_ylabel() == "Accuracy, %"
    assert "chance, 1/N" in words(figure)


@pytest.mark.parametrize("draw", GRIDS)
def test_each_treatment_has_a_column_with_both_regimes(draw):
    source = meta_test()
    values, figure = GRIDS[draw](source), draw(source)
    regimes = list(dict.fromkeys(values["regime"]))
    axes = np.array(figure.axes[:10]).reshape(2, 5)
    assert [axis.get_title(loc="left") for axis in axes[0]] == list(FIVE)
    for row, metric, label in zip(axes, (TRAINING, TESTING), ("Training", "Testing"), strict=True):
        assert row[0].get_ylabel() == f"{label} accuracy, %"
        for axis, treatment in zip(row, FIVE, strict=True):
            own = values[(values["metric"] == metric) & (values["treatment"] == treatment)]
            drawn = curves(axis, TREATMENTS[treatment].colour)
            assert len(drawn) == 2
            for regime, line in zip(regimes, drawn, strict=True):
                rows = own[own["regime"] == regime]
                np.testing.assert_allclose(line.get_ydata(), 100 * rows["mean"])
    for regime in regimes:
        assert REGIMES[regime].label in words(figure)


def test_the_regimes_drawn_are_those_that_are_run():
    assert set(REGIMES) == set(RUN)


@pytest.mark.parametrize(
    ("draw", "regimes", "treatments", "sources"),
    [
        (fig3, ["sequential"], FIVE, list(SOURCES)),
        (figs7, ["oracle", "oracle 20 epochs"], FIVE, ["paper"]),
        (figs8, ["sequential"], plot_figs8.TREATMENTS, ["paper"]),
    ],
)
def test_every_published_number_is_a_mark_beside_its_curve(draw, regimes, treatments, sources):
    rows = published_with_noted()
    rows = rows[rows["regime"].isin(regimes) & rows["treatment"].isin(list(treatments))]
    rows = rows[rows["source"].isin(sources) & rows["metric"].isin([TRAINING, TESTING])]
    figure = draw(meta_test())
    expected = np.sort(rows["value"].str.lstrip("<").astype(float))
    np.testing.assert_allclose(marks(figure.axes), expected)
    assert SOURCES["paper"].label in words(figure)
    assert ("paper: below this" in words(figure)) == rows["value"].str.startswith("<").any()


def test_the_relative_drops_are_drawn_beside_the_papers():
    source = meta_test()
    drops = plot_fig4.fig4_drops(source)
    axis = fig4(source).axes[-1]
    assert [label.get_text() for label in axis.get_yticklabels()] == list(FIVE)
    assert "Oracle's accuracy that is lost, %" in axis.get_xlabel()
    paper = plot_fig4.published_drops(source.provenance)["value"]
    assert sorted(paper) == pytest.approx([0.10, 0.272, 0.7032, 0.99, 0.99])
    np.testing.assert_allclose(marks([axis], "x"), np.sort(100 * np.append(paper, drops["drop"])))
    assert (drops["low"] <= drops["drop"]).all()
    assert (drops["drop"] <= drops["high"]).all()
    table = plot_fig4.drop_table(drops, source.provenance)
    assert table["treatment"].tolist() == list(FIVE)
    assert table["paper"].iloc[1] == "70.32 (N = 600)"


def test_a_missing_oracle_leaves_its_place_empty_and_says_so():
    source = meta_test(treatments=["ANML", "Scratch"], regimes=["sequential"])
    figure = fig4(source)
    assert words(figure).count("not run\nat this scale") == 6
    assert words(figure).count("oracle:\nnot run") == 4
    drops = plot_fig4.fig4_drops(source)
    assert drops.empty
    assert plot_fig4.drop_table(drops, source.provenance).empty


@every
def test_the_embedded_drawings_are_labelled_and_no_published_mark_is_beside_them(draw, make):
    real, embedded = draw(make()), draw(make("glyphs"))
    assert "EMBEDDED DRAWINGS, NOT OMNIGLOT" in words(embedded)
    assert "EMBEDDED" not in words(real)
    assert "Published: " not in words(embedded)
    panels = embedded.axes[:10] if draw is fig4 else embedded.axes
    assert marks(panels).size == 0


@every
def test_the_figure_says_width_profile_replicates_and_interval(draw, make):
    text = words(draw(make(models=2, trajectories=3)))
    for part in ("NARROW", "PLN 64 (paper 256)", "Profile quick", "2 models × 3 traj", "95%"):
        assert part in text
    assert "trajectories only: one model" in words(draw(make(models=1)))


@every
def test_the_same_table_gives_the_same_picture(draw, make):
    pictures = [picture(draw(make()), "words").svg for _ in range(2)]
    assert pictures[0] == pictures[1]


def test_full_width_is_not_called_narrow():
    source = meta_test()
    full = synthetic_table.provenance(channels=256)
    assert "full-width networks" in words(fig3(Table(source.frame, full)))


def test_bins_of_the_order_are_means_over_ten_classes():
    source = synthetic_results.class_accuracy(n_classes=35, models=1, trajectories=2)
    values = plot_figs9.figs9_values(source)
    assert values.loc[values["treatment"] == "ANML", ["first", "last"]].to_numpy().tolist() == [
        [1, 10],
        [11, 20],
        [21, 30],
        [31, 35],
    ]
    frame = source.frame
    last = frame[(frame["treatment"] == "OML") & (frame["position"] >= 30)]
    row = values[(values["treatment"] == "OML") & (values["first"] == 31)].iloc[0]
    assert row["mean"] == pytest.approx(last["value"].mean())
    figure = figs9(source)
    (axis,) = figure.axes
    (curve,) = curves(axis, TREATMENTS["ANML"].colour)
    np.testing.assert_allclose(curve.get_xdata(), [5.5, 15.5, 25.5, 33])
    assert set(values["treatment"]) == {"ANML", "OML"}
    assert "chance, 1/N = 2.9%" in words(figure)
    assert axis.get_xlabel() == "Place in the order of learning, 1 to N = 35; bins of 10 classes"
    assert axis.get_ylabel() == "Testing accuracy at the end, %"


def test_the_order_is_shown_in_ten_rows_however_long_it_is():
    table = plot_figs9.order_table(synthetic_results.class_accuracy(n_classes=200, trajectories=1))
    assert table["classes learned"].tolist()[::9] == ["1 to 20", "181 to 200"]
    assert list(table) == ["classes learned", "ANML", "OML"]


def test_shares_above_chance_stand_beside_the_papers_or_say_that_they_cannot_be_had():
    source = synthetic_results.class_accuracy()
    table = plot_figs9.chance_table(source, source.provenance).set_index("treatment")
    assert table["paper"].tolist() == ["99.3 (N = 600)", "79.7 (N = 600)", "-"]
    assert table["drawings a class"].tolist() == [30] * 3
    few = synthetic_results.class_accuracy(n_classes=5, models=1, trajectories=1)
    table = plot_figs9.chance_table(few, few.provenance)
    assert table.iloc[:, 2].tolist() == ["too few drawings to tell"] * 3


def test_what_was_learned_for_fewer_classes_is_named_and_keeps_its_share():
    tables = [
        synthetic_results.class_accuracy(treatments=names, n_classes=n)
        for names, n in ((["ANML"], 60), (["OML", "OML-OLFT"], 40))
    ]
    source = Table(pd.concat([one.frame for one in tables]), tables[0].provenance)
    assert set(plot_figs9.figs9_values(source)["treatment"]) == {"ANML"}
    assert plot_figs9.figs9_left_out(source) == [
        "Not measured class by class at N = 60, and so left out of the figure: "
        "OML (up to 40 classes)."
    ]
    assert plot_figs9.figs9_left_out(tables[0]) == []
    shares = plot_figs9.chance_table(source, source.provenance).set_index("treatment")["N"]
    assert shares.to_dict() == {"ANML": 60, "OML": 40, "OML-OLFT": 40}


def test_oracles_of_the_plastic_layers_are_shown_where_they_were_run():
    values = plot_figs8.figs8_oracles(meta_test())
    assert set(values["regime"]) == {"oracle", "oracle 20 epochs"}
    assert plot_figs8.figs8_oracles(meta_test(regimes=["sequential"])) is None
    assert plot_figs8.figs8_oracles(meta_test(), "sgd") is None


def test_a_table_without_the_treatments_of_the_figure_is_refused():
    source = synthetic_results.class_accuracy(treatments=["OML-OLFT"], models=1, trajectories=1)
    with pytest.raises(AnmlError, match="'ANML', 'OML'; it holds 'OML-OLFT'"):
        plot_figs9.figs9_values(source)


def test_few_models_get_no_p_value_and_four_do():
    assert not plot_fig3.fig3_tests(meta_test())["test"].str.contains("p [=<]").any()
    assert plot_fig3.fig3_tests(meta_test(models=4))["test"].str.contains("p [=<]").all()


def test_colours_are_distinct_to_the_eye_and_to_dichromats():
    # Viénot, Brettel and Mollon's projections (1999), linear RGB, for red- and green-blindness.
    protan = np.array([[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]])
    deutan = np.array([[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]])
    colours = np.array([mcolors.to_rgb(mark.colour) for mark in TREATMENTS.values()])
    for seen in (np.eye(3), protan, deutan):
        rgb = np.clip(colours**2.2 @ seen.T, 0, 1) ** (1 / 2.2)
        gaps = np.linalg.norm(rgb[:, None] - rgb[None], axis=-1)
        assert gaps[np.triu_indices(len(rgb), 1)].min() > 0.1
    assert len({mark.marker for mark in TREATMENTS.values()}) == len(TREATMENTS)


def test_each_treatment_that_is_run_has_a_mark_of_its_own():
    from anml.treatments import TREATMENTS as ROWS

    assert set(ROWS) <= set(TREATMENTS)
    assert pd.Index(TREATMENTS).is_unique


def test_stars_stand_where_anml_differs_from_every_other_and_models_are_enough():
    table = synthetic_results.meta_test(treatments=plot_fig3.FIVE, models=4)
    stars = plot_fig3.fig3_stars(table)
    assert stars == [10, 50, 600]
    figure = plot_fig3.fig3(plot_fig3.fig3_values(table), table.provenance, stars=stars)
    drawn = [text for text in figure.axes[1].texts if text.get_text() == "*"]
    assert sorted(text.xy[0] for text in drawn) == stars
    frame = table.frame.copy()
    frame.loc[(frame["treatment"] == "Scratch") & (frame["n_classes"] == 50), "value"] = 0.5
    frame.loc[(frame["treatment"] == "ANML") & (frame["n_classes"] == 50), "value"] = 0.5
    assert plot_fig3.fig3_stars(Table(frame, table.provenance)) == [10, 600]
    assert plot_fig3.fig3_stars(synthetic_results.meta_test(models=3)) == []
