"""The picture on the first page: which curves and marks each panel has, and what prose cites."""

from __future__ import annotations

import figure_parts
import pytest

from anml.figures import plot_overview
from anml.figures.plot_style import FIVE, TREATMENTS
from anml.findings.lengths_found import KEPT
from anml.store.tables import TESTING


@pytest.fixture(scope="module")
def found():
    return plot_overview.overview_tables()


@pytest.fixture(scope="module")
def values(found):
    return plot_overview.overview_values(found)


def test_each_panel_has_its_treatments_in_sequence(values) -> None:
    assert set(values["metric"]) == {TESTING}
    assert set(values["regime"]) == {"sequential"}
    panels = {profile: set(own["treatment"]) for profile, own in values.groupby("profile")}
    assert panels == {"paper": {"ANML", KEPT}, "laptop": set(FIVE)}


def test_the_curves_are_the_values_and_no_mark_stands_beside_another_treatments(
    found, values
) -> None:
    figure = plot_overview.overview(values, found)
    for axis, profile in zip(figure.axes, plot_overview.PANELS, strict=True):
        own = values[values["profile"] == profile]
        for treatment, points in own.groupby("treatment"):
            (line,) = figure_parts.curves(axis, TREATMENTS[treatment].colour)
            assert list(line.get_xdata()) == list(points["n_classes"])
            assert list(line.get_ydata()) == pytest.approx(list(100 * points["mean"]))
    left, right = (figure_parts.marks([axis]) for axis in figure.axes)
    assert list(right) == pytest.approx([18.2, 44.2, 63.8])  # what the paper states at N = 600
    assert len(left) == 8 + 5 + 5 + 1  # two replications, the released code, the paper
    said = figure_parts.words(figure)
    for label in plot_overview.LABELS.values():
        assert said.count(label) == 1
    assert "256 / 112 channels, 20,000 meta-iterations" in said
    assert "64 / 28 channels, 4,000 meta-iterations" in said


def test_prose_cites_the_longest_n(found, values) -> None:
    said = plot_overview.overview_glue(values, found)
    assert said["overview_n"] == 600
    at = values[(values["profile"] == "paper") & (values["n_classes"] == 600)]
    at = at.set_index("treatment")
    assert said["overview_kept"] == pytest.approx(100 * at.loc[KEPT, "mean"])
    assert said["overview_anml_low"] == pytest.approx(100 * at.loc["ANML", "low"])
    assert said["overview_replicates"] == "1 model × 10 trajectories"
    assert said["overview_published"].startswith("63.8 (paper), 65 (higherANML replication)")


def test_every_source_is_named(found) -> None:
    lines = found.lines()
    assert ["profile laptop" in line for line in lines] == [False, False, True]
    assert "anml-redraw-kept" in lines[1]
