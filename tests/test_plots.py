"""Figures: what they show is what the table and the network hold, and nothing is passed off."""

from __future__ import annotations

import shutil

import pandas as pd
import pytest
import synthetic_table
import torch
from figure_parts import words
from matplotlib.figure import Figure
from torch import nn

from anml.errors import AnmlError
from anml.figures import plot_fig1, plot_fig3
from anml.figures.plot_style import save_figure
from anml.figures.trace import anml_layers, layer_table
from anml.findings.found_tables import Found
from anml.models import ANML
from anml.pages import notebook
from anml.pages.notebook import check_counts, check_parameters, picture
from anml.results import Table


def table(data: str = "omniglot", channels: int = 64, **options: int) -> Table:
    provenance = synthetic_table.provenance(data, channels=channels)
    return Table(synthetic_table.frame(data, **options), provenance)


def drawn(source: Table) -> Figure:
    return plot_fig3.fig3(plot_fig3.fig3_values(source), source.provenance)


def test_the_same_figure_gives_the_same_bytes(tmp_path):
    values = plot_fig3.fig3_values(table())
    for folder in ("one", "two"):
        save_figure(drawn(table()), tmp_path / folder, "x", values)
    for suffix in ("svg", "png", "csv"):
        one, two = (tmp_path / folder / f"x.{suffix}" for folder in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "one" / "x.csv"), values)
    assert picture(drawn(table()), "words").svg == picture(drawn(table()), "words").svg


def test_an_interrupted_save_leaves_the_old_files(tmp_path, monkeypatch):
    values = plot_fig3.fig3_values(table())
    paths = save_figure(drawn(table()), tmp_path, "x", values)
    before = [path.read_bytes() for path in paths]

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(pd.DataFrame, "to_csv", stop)
    with pytest.raises(KeyboardInterrupt):
        save_figure(drawn(table("glyphs")), tmp_path, "x", values)
    assert [path.read_bytes() for path in paths] == before
    assert len(list(tmp_path.iterdir())) == 3


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(AnmlError, match="cannot write figures to"):
        save_figure(Figure(), tmp_path / "file", "x", pd.DataFrame())


@pytest.mark.parametrize(
    ("data", "recorded", "name"),
    [
        ("omniglot", True, "x.svg"),
        ("omniglot", False, "x_quick_omniglot.svg"),
        ("glyphs", True, "x_quick_glyphs.svg"),
    ],
)
def test_only_recorded_omniglot_results_make_the_plain_name(tmp_path, data, recorded, name):
    found = Found(table(data), recorded)
    notebook.save(Figure(), str(tmp_path), "x", pd.DataFrame({"a": [1]}), found)
    assert name in {path.name for path in tmp_path.iterdir()}
    shutil.rmtree(tmp_path)
    notebook.save(Figure(), "", "x", pd.DataFrame(), found)
    assert not tmp_path.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"profile": "huge"}, "allowed: 'smoke', 'quick', 'laptop', 'paper'"),
        ({"data": "mnist"}, "allowed: 'omniglot', 'glyphs'"),
        ({"optimizer": "lion"}, "allowed: 'adam', 'sgd'"),
        ({"seed": "0"}, "whole number"),
        ({"seed": 0.5}, "whole number"),
        ({"seed": True}, "whole number"),
        ({"seed": -1}, "0 or more"),
    ],
)
def test_bad_parameters_are_one_line_that_says_what_is_allowed(change, message):
    good = {"profile": "quick", "data": "omniglot", "seed": 0, "optimizer": "adam"}
    check_parameters(**good)
    with pytest.raises(AnmlError, match=message) as caught:
        check_parameters(**good | change)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [0, -1, 1.5, "64", True])
def test_a_bad_width_is_refused(value):
    check_counts(pln_channels=1)
    with pytest.raises(AnmlError, match="pln_channels"):
        check_counts(pln_channels=value)


class Modules(nn.Module):
    """An ANML of library modules only, unlike the package's, which is made of functions."""

    def __init__(self) -> None:
        super().__init__()

        def tower(channels: int) -> list[nn.Module]:
            widths = (1, channels, channels, channels)
            parts: list[nn.Module] = []
            for place in range(3):
                parts += [
                    nn.Conv2d(widths[place], channels, 3),
                    nn.InstanceNorm2d(channels, affine=True),
                ]
                parts += [nn.ReLU(), *([nn.MaxPool2d(2)] if place < 2 else [])]
            return [*parts, nn.Flatten()]

        self.nm = nn.Sequential(*tower(4), nn.Linear(36, 54), nn.Sigmoid())
        self.pln = nn.Sequential(*tower(6))
        self.head = nn.Linear(54, 10)

    def latent(self, images: torch.Tensor) -> torch.Tensor:
        return self.pln(images)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.nm(images) * self.latent(images))


def test_the_papers_network_is_read_off_a_pass():
    layers = anml_layers(ANML())
    assert sum(layer.count for layer in layers) == 6_041_800
    shapes = {layer.name: layer.shape for layer in layers}
    assert shapes["nm.tower.blocks.0"] == (112, 13, 13)
    assert shapes["nm.gate"] == (2304,)
    assert shapes["pln.blocks.2"] == (256, 3, 3)
    assert shapes["head"] == (1000,)
    assert layer_table(layers)["parameters"].iloc[-1] == "6,041,800"


@pytest.mark.parametrize("model", [ANML(6, 4, 10), Modules()], ids=["functions", "modules"])
def test_the_architecture_is_drawn_with_the_models_own_numbers(model):
    layers = anml_layers(model)
    assert len(layers) == 8
    text = words(plot_fig1.fig1(model))
    for layer in layers:
        assert f"{layer.count:,}" in text
        if len(layer.shape) == 3:
            assert layer.size in text
    assert "conv 3×3, norm" in text
    assert f"{sum(layer.count for layer in layers):,} parameters" in text


def test_the_marks_follow_the_sets_of_weights_that_learn():
    layers = {layer.name: layer for layer in anml_layers(ANML(6, 4, 10))}
    inner, outer, meta_test = plot_fig1.ROLES
    assert {name for name, layer in layers.items() if meta_test.learns(layer)} == {"head"}
    assert not any(inner.learns(layer) for name, layer in layers.items() if name.startswith("nm"))
    assert all(inner.learns(layer) for name, layer in layers.items() if not name.startswith("nm"))
    assert all(outer.learns(layer) for layer in layers.values())


def test_a_network_of_another_kind_is_refused():
    class Added(Modules):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.head(self.nm(images) + self.latent(images))

    with pytest.raises(ValueError, match="not head"):
        anml_layers(Added(), torch.rand(1, 1, 28, 28))
