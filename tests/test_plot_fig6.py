"""Figure 6 shows the tables' places and accuracies, and the paper's beside Omniglot's only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import synthetic_probes
from figure_parts import words
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from anml.errors import AnmlError
from anml.figures import plot_fig6
from anml.figures.plot_probes import comparison_sheet, shown_model
from anml.figures.plot_style import TREATMENTS
from anml.findings.claims import published
from anml.pages.notebook import picture
from anml.results import Table
from anml.store.tables import TABLES


def drawn(
    data: str = "omniglot", models: int = 2, seed: int = 0, probed: Sequence[str] = ("anml", "oml")
) -> Figure:
    made = synthetic_probes.tables(data, models)
    for name, table in made.items():
        profile = table.provenance.profile_values | {"probed": list(probed)}
        made[name] = replace(table, provenance=replace(table.provenance, profile_values=profile))
    values = plot_fig6.fig6_values(made["knn"])
    return plot_fig6.fig6(made["tsne"], made["knn"], values, seed)


def test_each_map_holds_the_places_of_one_representation_class_by_class():
    frame = synthetic_probes.tables()["tsne"].frame
    for axis, name in zip(drawn(seed=1).axes[:3], plot_fig6.MAPS, strict=True):
        rows = frame[(frame["representation"] == name) & (frame["model_seed"] == 1)]
        assert len(axis.lines) == 10
        for line, (_, own) in zip(axis.lines, rows.groupby("class"), strict=True):
            np.testing.assert_allclose(line.get_xydata(), own[["x", "y"]])
        assert len({(line.get_marker(), line.get_markerfacecolor()) for line in axis.lines}) == 10
        assert len({line.get_marker() for line in axis.lines}) == 10
        assert axis.get_title(loc="left") == plot_fig6.MAPS[name]


def test_each_map_says_its_own_models_accuracy_at_five():
    frame = synthetic_probes.tables()["knn"].frame
    for axis, name in zip(drawn(seed=1).axes[:3], plot_fig6.MAPS, strict=True):
        rows = frame[(frame["representation"] == name) & (frame["k"] == 5)]
        value = rows[rows["model_seed"] == 1]["value"].item()
        assert f"{100 * value:.1f}%" in axis.get_xlabel()


def test_curves_are_the_means_over_models_for_every_k():
    frame, axis = synthetic_probes.tables()["knn"].frame, drawn().axes[3]
    curves = [line for line in axis.lines if line.get_linestyle() != "None"]
    assert len(curves) == len(plot_fig6.CURVES) == len(TABLES["knn"]["representation"].allowed)
    for line, (name, (_, mark)) in zip(curves, plot_fig6.CURVES.items(), strict=True):
        means = frame[frame["representation"] == name].groupby("k")["value"].mean()
        np.testing.assert_array_equal(line.get_xdata(), range(1, 21))
        np.testing.assert_allclose(line.get_ydata(), 100 * means)
        assert to_hex(line.get_color()) == mark.colour.lower()
    looks = {(mark.marker, mark.line) for _, mark in plot_fig6.CURVES.values()}
    assert len(looks) == len(plot_fig6.CURVES)


def test_treatments_keep_their_colours():
    for name, (_, mark) in plot_fig6.CURVES.items():
        expected = {"oml": TREATMENTS["OML"].colour, "nm random": plot_fig6.MUTED}
        assert mark.colour == expected.get(name, TREATMENTS["ANML"].colour)


def test_the_papers_values_stand_at_five_and_only_beside_omniglot():
    paper = published().set_index("id")["value"].astype("str")
    hollow = [line for line in drawn().axes[3].lines if line.get_linestyle() == "None"]
    shown = {float(y) for line in hollow for y in line.get_ydata()}
    expected = [float(value) for name, value in paper.items() if name.startswith("knn_")]
    assert sorted(shown) == pytest.approx(sorted(expected))
    assert {float(x) for line in hollow for x in line.get_xdata()} == {5.0}
    assert "hollow: the paper" in words(drawn())
    glyphs = drawn("glyphs")
    assert not [line for line in glyphs.axes[3].lines if line.get_linestyle() == "None"]
    assert "left off" in words(glyphs)
    assert "EMBEDDED DRAWINGS, NOT OMNIGLOT" in words(glyphs)


def test_the_heading_says_how_many_models_stand_behind_the_curves():
    assert "interval over 2 models" in words(drawn())
    assert "one model, so no interval" in words(drawn(models=1))


def test_the_heading_says_of_which_meta_training_anml_is() -> None:
    """Beside OML a run probes one meta-training of ANML's network, whichever it is."""
    assert "meta-trained as" not in words(drawn())
    text = words(drawn(probed=("anml-redraw-kept", "oml")))
    assert "ANML meta-trained as anml-redraw-kept; maps:" in text


def test_the_sheet_and_the_comparison_hold_the_figures_values():
    knn = synthetic_probes.tables()["knn"]
    values = plot_fig6.fig6_values(knn)
    sheet = plot_fig6.fig6_sheet(values).set_index("kNN accuracy, %")
    assert list(sheet.columns) == ["K = 1", "K = 5", "K = 10", "K = 15", "K = 20"]
    at = values.set_index(["representation", "k"])["mean"]
    label = plot_fig6.CURVES["nm random"][0]
    assert sheet.loc[label, "K = 10"].startswith(f"{100 * at['nm random', 10]:.1f} [")
    compared = plot_fig6.fig6_comparison(knn).set_index("id")
    assert compared.loc["knn_after", "mean"] == pytest.approx(100 * at["gated", 5])
    assert set(compared.index) == {"knn_nm", "knn_nm_random", "knn_before", "knn_after"}


def test_the_papers_two_tests_are_between_models():
    few = plot_fig6.fig6_tests(synthetic_probes.tables()["knn"])
    assert list(few["against"]) == [plot_fig6.CURVES[n][0] for n in ("latent", "nm random")]
    assert few["test"].str.contains("too few").all()
    many = plot_fig6.fig6_tests(synthetic_probes.tables(models=4)["knn"])
    assert many["test"].str.contains("p [=<]").all()


def test_a_representation_that_was_not_probed_is_said_to_be_missing():
    tables = synthetic_probes.tables()
    knn, tsne = (
        Table(t.frame[t.frame["representation"] != "oml"], t.provenance)
        for t in (tables["knn"], tables["tsne"])
    )
    figure = plot_fig6.fig6(tsne, knn, plot_fig6.fig6_values(knn))
    labels = [axis.get_xlabel() for axis in figure.axes[:3]]
    assert [label.endswith("not run at this scale") for label in labels] == [False, False, True]


def test_a_page_shows_the_first_model_unless_another_is_asked_for():
    table = synthetic_probes.tables(models=3)["knn"]
    some = Table(table.frame[table.frame["model_seed"] > 0], table.provenance)
    assert (shown_model(some, -1), shown_model(some, 2)) == (1, 2)


def test_an_unknown_model_is_refused():
    with pytest.raises(AnmlError, match="model_seed=7"):
        drawn(seed=7)


def test_the_same_tables_give_the_same_svg():
    assert picture(drawn(), "x").svg == picture(drawn(), "x").svg


def test_what_keeping_the_redrawn_row_changed_is_of_the_models_that_both_have():
    knn = synthetic_probes.tables(models=3)["knn"]
    frame = knn.frame[(knn.frame["model_seed"] < 2) & (knn.frame["representation"] != "oml")]
    values = knn.provenance.profile_values | {"meta_iterations": 5000}
    other = replace(knn.provenance, profile_values=values)
    kept = Table(frame.assign(value=frame["value"] + 0.125), other)
    sheet = plot_fig6.fig6_kept_sheet(knn, kept)
    own = frame[(frame["k"] == 5) & (frame["representation"] == "gated")]
    row = sheet.iloc[0]
    assert row.iloc[0] == plot_fig6.CURVES["gated"][0]
    assert row["kept, after 5,000"] == f"{100 * own['value'].mean() + 12.5:.1f}"
    assert set(sheet["change, points"]) == {"+12.5"}
    assert set(sheet["models"]) == {2}
    assert len(sheet) == 4


def test_the_sheet_of_distances_has_each_layer_by_each_and_what_the_gate_adds():
    made = synthetic_probes.tables(models=3)
    distances = made["knn_distances"]
    own = distances.frame[distances.frame["model_seed"] < 2]
    sheet = plot_fig6.fig6_distance_sheet(made["knn"], Table(own, distances.provenance))
    sheet = sheet.set_index("kNN accuracy, %, K = 5")
    assert set(sheet.pop("models")) == {2}
    assert list(sheet.columns) == ["Euclidean", "cosine", "active units"]
    layers = [label for label, _ in plot_fig6.CURVES.values()]
    assert list(sheet.index[:-1]) == layers
    knn = made["knn"].frame[made["knn"].frame["model_seed"] < 2].assign(distance="Euclidean")
    rows = pd.concat([knn, own])
    means = rows[rows["k"] == 5].groupby(["distance", "representation"])["value"].mean()
    for distance in sheet.columns:
        for name, (label, _) in plot_fig6.CURVES.items():
            assert sheet.loc[label, distance].startswith(f"{100 * means[distance, name]:.1f} [")
        added = means[distance, "gated"] - means[distance, "latent"]
        assert sheet.iloc[-1][distance] == f"{100 * added:+.1f}"
    of_oml = [
        Table(t.frame[t.frame["representation"] == "oml"], t.provenance)
        for t in (made["knn"], distances)
    ]
    assert len(plot_fig6.fig6_distance_sheet(*of_oml)) == 1


def test_where_oml_alone_was_probed_nothing_is_compared():
    made = {
        name: Table(table.frame[table.frame["representation"] == "oml"], table.provenance)
        for name, table in synthetic_probes.tables().items()
        if name in ("knn", "tsne")
    }
    assert comparison_sheet(plot_fig6.fig6_comparison(made["knn"])).empty
    tests = plot_fig6.fig6_tests(made["knn"])
    assert (list(tests), len(tests)) == (["of", "against", "difference", "test"], 0)
    values = plot_fig6.fig6_values(made["knn"])
    figure = plot_fig6.fig6(made["tsne"], made["knn"], values)
    labels = [axis.get_xlabel() for axis in figure.axes[:3]]
    assert [label == "not run at this scale" for label in labels] == [True, True, False]
