"""Figure 5 shows what the tables hold, unit by unit, and no drawing that may not be shown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import synthetic_probes
from figure_parts import words
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from refusal import refusal

from anml.drawings.packed import Drawings
from anml.errors import AnmlError
from anml.figures import plot_fig5
from anml.figures.plot_probes import comparison_glue, comparison_sheet
from anml.findings.claims import published
from anml.pages.notebook import picture
from anml.probes import ACTIVE, probe_set
from anml.results import Table


def drawn(data: str = "omniglot", seed: int = 0, drawings: np.ndarray | None = None) -> Figure:
    made = synthetic_probes.tables(data)
    values = plot_fig5.fig5_values(made["units"], made["activity"], seed)
    return plot_fig5.fig5(made["units"], values, seed, drawings)


def pictures(figure: Figure) -> list[AxesImage]:
    return [image for axis in figure.axes for image in axis.images]


@pytest.mark.parametrize(
    ("units", "form"),
    [(2304, (48, 48)), (576, (24, 24)), (288, (16, 18)), (54, (6, 9)), (7, (1, 7))],
)
def test_units_fill_the_squarest_rectangle(units, form):
    assert plot_fig5.rectangle(units) == form


def test_each_picture_is_the_tables_units_in_their_order():
    made, seen = synthetic_probes.tables()["units"].frame, pictures(drawn(seed=1))
    assert len(seen) == 3 * 4
    for image, (layer, drawing) in zip(
        seen, [(la, dr) for la in plot_fig5.LAYERS for dr in plot_fig5.COLUMNS], strict=True
    ):
        rows = made[(made["layer"] == layer) & (made["drawing"] == drawing)]
        rows = rows[rows["model_seed"] == 1].sort_values("unit")
        np.testing.assert_allclose(image.get_array().ravel(), rows["value"])
        assert image.get_array().shape == (6, 9)


def test_what_is_not_active_is_grey_and_latents_share_a_scale():
    seen = pictures(drawn())
    for image in seen:
        values = image.get_array().ravel()
        grey = np.isclose(image.to_rgba(values)[:, :3], 0xF2 / 255).all(axis=1)
        np.testing.assert_array_equal(grey, values < ACTIVE)
        assert 0 < grey.sum() < len(values)
    ends = [image.norm.vmax for image in seen]
    assert ends[4] == 1.0
    assert ends[0] == ends[8] != 1.0


def test_the_printed_shares_are_counted_and_the_average_is_that_of_the_test_set():
    made = synthetic_probes.tables()
    values = plot_fig5.fig5_values(made["units"], made["activity"])
    frame = made["units"].frame
    for row in values[values["drawing"] != "mean"].itertuples():
        same = (frame["drawing"] == row.drawing) & (frame["layer"] == row.layer)
        units = frame[same & (frame["model_seed"] == 0)]["value"]
        assert row.share == (units > ACTIVE).sum() / synthetic_probes.UNITS
    rows = made["activity"].frame
    rows = rows[(rows["model_seed"] == 0) & (rows["metric"] == "share active")]
    average = values[values["drawing"] == "mean"].set_index("layer")["share"]
    text = words(drawn())
    for layer in plot_fig5.LAYERS:
        assert average[layer] == rows[rows["layer"] == layer]["value"].item()
        assert f"on average {100 * average[layer]:.1f}% active" in text
    assert plot_fig5.fig5_sheet(values).iloc[2, -1] == f"{100 * average['gated']:.1f}"


def test_after_the_gate_is_compared_with_before_between_models():
    few = plot_fig5.fig5_tests(synthetic_probes.tables()["activity"])
    assert few[["of", "against"]].iloc[0].tolist() == [
        "ANML, latent after the gate",
        "ANML, latent before the gate",
    ]
    assert few["test"].str.contains("too few").all()
    table = synthetic_probes.tables(models=4)["activity"]
    many = plot_fig5.fig5_tests(table).iloc[0]
    rows = table.frame[table.frame["metric"] == "share active"]
    means = 100 * rows.groupby("layer")["value"].mean()
    assert many["difference"] == f"{means['gated'] - means['latent']:+.1f}"
    assert "(4 and 4 replicates)" in many["test"]
    assert "p = " in many["test"]


def test_the_heading_says_data_width_profile_and_threshold():
    text = words(drawn())
    for part in ("Omniglot", "NARROW", "54 units as 6 × 9 cells", "Profile quick, model 0", "0.01"):
        assert part in text
    assert "EMBEDDED DRAWINGS, NOT OMNIGLOT" in words(drawn("glyphs"))


def test_the_drawings_are_the_probed_ones_of_the_same_data_set(noise_drawings, monkeypatch):
    made = synthetic_probes.tables()["units"].provenance
    here = replace(made, data_fingerprint=noise_drawings.fingerprint)
    monkeypatch.setattr(plot_fig5, "load", lambda source: noise_drawings)
    found = plot_fig5.fig5_drawings(here, "any")
    np.testing.assert_array_equal(found, probe_set(noise_drawings).shown)
    figure = drawn(drawings=found)
    assert len(pictures(figure)) == 3 + 3 * 4
    np.testing.assert_array_equal(pictures(figure)[1].get_array(), 255 - found[1])
    with pytest.raises(AnmlError, match="are not those of the results"):
        plot_fig5.fig5_drawings(made, "any")


def test_omniglots_drawings_are_shown_only_when_asked_for_and_never_under_the_plain_name(
    monkeypatch,
):
    def refuse(source: str) -> Drawings:
        raise AssertionError("the data set is not read")

    monkeypatch.setattr(plot_fig5, "load", refuse)
    omniglot, glyphs = (
        synthetic_probes.tables(data)["units"].provenance for data in ("omniglot", "glyphs")
    )
    assert plot_fig5.fig5_drawings(omniglot) is None
    assert plot_fig5.fig5_drawings(glyphs, "none") is None
    with pytest.raises(AssertionError):
        plot_fig5.fig5_drawings(glyphs)
    with pytest.raises(AnmlError, match="drawings='yes' is unknown; allowed: 'embedded'"):
        plot_fig5.fig5_drawings(glyphs, "yes")
    three = np.zeros((3, 28, 28), np.uint8)
    assert plot_fig5.fig5_name(omniglot, three) != plot_fig5.NAME
    assert (
        plot_fig5.fig5_name(omniglot, None) == plot_fig5.fig5_name(glyphs, three) == plot_fig5.NAME
    )


def test_an_unknown_model_is_refused():
    made = synthetic_probes.tables()
    with pytest.raises(
        AnmlError, match="model_seed=2: the table holds no such model; allowed: '0'"
    ):
        plot_fig5.fig5_values(made["units"], made["activity"], 2)


def test_every_published_share_stands_beside_the_measured_one():
    made = synthetic_probes.tables()
    compared = plot_fig5.fig5_comparison({"activity": made["activity"]}).set_index("id")
    paper = published().set_index("id")
    assert set(compared.index) == {i for i in paper.index if i.startswith(("active_", "dead_"))}
    frame = made["activity"].frame
    rows = frame[(frame["layer"] == "gate") & (frame["metric"] == "share active")]
    assert compared.loc["active_nm", "mean"] == pytest.approx(100 * rows["value"].mean())
    assert compared.loc["active_nm", "published"] == float(paper.loc["active_nm", "value"])
    assert compared.loc["dead_oml", "treatment"] == "OML"
    sheet = comparison_sheet(compared.reset_index())
    assert list(sheet.columns) == ["treatment", "%", "paper", "measured", "models"]
    assert sheet["measured"].str.contains("[", regex=False).all()
    assert set(comparison_glue(compared.reset_index())) == set(compared.index)


def test_no_published_number_stands_beside_the_embedded_drawings():
    made = synthetic_probes.tables("glyphs", models=1)
    compared = plot_fig5.fig5_comparison({"activity": made["activity"]})
    assert compared["published"].isna().all()
    assert "paper" not in comparison_sheet(compared)
    assert not comparison_sheet(compared)["measured"].str.contains("[", regex=False).any()


def test_the_same_tables_give_the_same_svg():
    assert picture(drawn(), "x").svg == picture(drawn(), "x").svg
    assert picture(drawn(), "x").svg != picture(drawn(seed=1), "x").svg


def test_what_keeping_the_redrawn_row_changed_is_of_anmls_units():
    """Over the models that both have, and the layers of the page; OML has no gate."""
    own = synthetic_probes.tables(models=3)["activity"]
    frame = own.frame[(own.frame["model_seed"] < 2) & (own.frame["treatment"] == "ANML")]
    values = own.provenance.profile_values | {"meta_iterations": 5000}
    kept = Table(
        frame.assign(value=frame["value"] + 0.125, treatment="ANML (redraw kept)"),
        replace(own.provenance, profile_values=values),
    )
    sheet = plot_fig5.fig5_kept_sheet(own, kept)
    assert sheet["%"].tolist() == [
        *("units active before the gate", "units active after the gate"),
        *("units active in NM's last layer", "dead units after the gate"),
    ]
    assert set(sheet["change, points"]) == {"+12.5"}
    assert set(sheet["models"]) == {2}
    dead = frame[(frame["metric"] == "dead units") & (frame["layer"] == "gated")]["value"]
    assert sheet.iloc[-1]["in the copy, after 20,000"] == f"{100 * dead.mean():.1f}"
    assert sheet.iloc[-1]["kept, after 5,000"] == f"{100 * dead.mean() + 12.5:.1f}"


def test_units_of_another_network_than_anmls_are_refused_in_a_line():
    """As of a run with `probed=anml-redraw-kept`."""
    made = synthetic_probes.tables()
    frame = made["activity"].frame
    kept = frame[frame["treatment"] == "ANML"].assign(treatment="ANML (redraw kept)")
    activity = Table(kept, made["activity"].provenance)
    line = refusal(lambda: plot_fig5.fig5_values(made["units"], activity))
    assert "the table holds those of 'ANML (redraw kept)': name results" in line
    compared = plot_fig5.fig5_comparison({"activity": activity})
    assert comparison_sheet(compared).empty
    assert comparison_glue(compared) == {}
