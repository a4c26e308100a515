"""Lengths of models that were meta-trained otherwise: in two pieces, or with redrawn rows kept."""

from dataclasses import replace
from pathlib import Path

import figure_parts
import numpy as np
import pandas as pd
import pytest
import synthetic_lengths as synthetic
import synthetic_results
import synthetic_searches
import torch

from anml.figures import plot_fig3, plot_fig4, plot_lengths
from anml.figures.plot_style import FIVE, TREATMENTS
from anml.findings import curves, kept_rows, lengths_found, lengths_said
from anml.findings.claims import published_points
from anml.findings.found_tables import Found
from anml.findings.headline import KEPT_COLUMN, headline, headline_sheet, kept_replicates, with_kept
from anml.findings.rates_found import found_rates
from anml.results import Table, read_table, write_table
from anml.store.checkpoint import save_checkpoint
from anml.store.tables import TESTING

NARROW, FULL = "64 / 28 channels", "256 / 112 channels (the paper's)"


@pytest.fixture
def tables() -> dict[str, Table]:
    return synthetic.two_widths()


def test_a_training_in_two_pieces_is_said(tables: dict[str, Table], tmp_path: Path) -> None:
    """By the headers of the models that are recorded beside the tables."""
    restart = {"iteration": 4000, "settling": 500, "precision": "float16"}
    for training, seed, restarts in (
        ("anml", 0, []),
        ("anml", 1, [restart]),
        ("oml", 0, [restart]),
    ):
        path = tmp_path / "results" / "paper" / "checkpoints" / f"{training}-seed{seed}.safetensors"
        header = {
            "training": training,
            "seed": seed,
            **({"restarts": restarts} if restarts else {}),
        }
        save_checkpoint(path, {"a": torch.zeros(1)}, header)
    (line,) = lengths_said.restart_lines(lengths_found.restarts(tables, tmp_path))
    assert line.startswith(f"{FULL}, model 1: meta-training did not run in one piece.")
    assert "after 4,000 meta-iterations (weights in float16)" in line
    assert lengths_said.restart_lines(lengths_found.restarts({}, tmp_path)) == []
    for recorded, said in ((True, [line]), (False, [])):
        found = Found(tables["paper"], recorded)
        assert lengths_said.two_pieces(found, tmp_path) == said
    assert lengths_said.two_pieces(Found(tables["laptop"], True), tmp_path) == []


def test_a_training_in_two_pieces_with_redrawn_rows_kept_is_said(
    tables: dict[str, Table], tmp_path: Path
) -> None:
    """By the models recorded in the folder of such a run, of each the furthest."""
    folder = tmp_path / "results" / "paper_redraw_kept" / "lengths" / "9000" / "checkpoints"
    header = {
        "training": "anml-redraw-kept",
        "seed": 1,
        "restarts": [{"iteration": 4000, "settling": 500, "precision": "float16"}],
    }
    save_checkpoint(folder / "anml-redraw-kept-seed1.safetensors", {"a": torch.zeros(1)}, header)
    lines = lengths_said.kept_lines(tables.values(), tmp_path)
    assert lines[:-1] == [f"ANML (redraw kept): {t.provenance.line()}" for t in tables.values()]
    said = f"ANML (redraw kept): {FULL}, model 1: meta-training did not run in one piece."
    assert lines[-1].startswith(said)
    assert lengths_found.restarts(tables, tmp_path).empty
    assert lengths_said.pieces_either_way(tables, tables, tmp_path) == lines[-1:]


def test_what_going_on_from_a_recorded_model_changed(
    tables: dict[str, Table], tmp_path: Path
) -> None:
    """Against the same models and trajectories in one piece, at the length that both have."""
    again = synthetic.accuracy(lengths=(4000,), models=1, gain=0.16)
    path = tmp_path / "results" / "laptop_restarted" / "lengths.parquet"
    write_table(path, again.frame, again.provenance)
    found = Found(tables["laptop"], recorded=True)
    tried = lengths_found.restarted(found, tables, tmp_path)
    assert list(tried) == ["laptop"]
    sheet = lengths_said.restart_sheet(tables, tried)
    assert sheet["width"].unique().tolist() == [NARROW]
    assert sheet["meta-iterations"].unique().tolist() == ["4,000"]
    means = sheet[lengths_said.CHANGE].str.split().str[0].astype(float)
    # Its first length is 0.1 lower than the second of the tables, and 0.16 is more by 0.06.
    by_n = dict(zip(zip(sheet["order"], sheet["N"], strict=True), means, strict=True))
    assert by_n == pytest.approx(
        {(r, n): 6.0 if n == 100 else 3.0 for r in ("sequential", "oracle") for n in (100, 600)}
    )
    own = Found(tables["laptop"], recorded=False)
    assert lengths_found.restarted(own, tables, tmp_path) == {}
    assert lengths_said.restart_sheet(tables, {}).empty


def write_kept(folder: Path, lengths: tuple[int, ...]) -> None:
    """Record tables of narrow models whose redrawn rows were kept, after those lengths."""
    kept = {
        "lengths": synthetic.accuracy(lengths=lengths, gain=0.04),
        "length_activity": synthetic.activity(),
        "length_rates": synthetic.rates(lengths=lengths),
    }
    for name, table in kept.items():
        path = folder / "results" / "laptop_redraw_kept" / f"{name}.parquet"
        write_table(path, table.frame.assign(treatment=lengths_found.KEPT), table.provenance)


def test_what_keeping_the_redrawn_row_changed(tables: dict[str, Table], tmp_path: Path) -> None:
    """At every length that both ways have; another one of the kept rows' is left out."""
    write_kept(tmp_path, (1000, 4000, 9000))
    tried = lengths_found.redraw_kept("lengths", tables, tmp_path)
    sheet = lengths_said.redraw_sheet(tables, tried)
    assert sheet["meta-iterations"].unique().tolist() == ["1,000", "4,000"]
    first = sheet[(sheet["N"] == 100) & (sheet["order"] == "sequential")].iloc[0]
    assert (first["in the copy"], first["kept"]) == ("21.0", "25.0")
    assert first[lengths_said.CHANGE].split()[0] == "+4.0"
    gates = lengths_found.redraw_kept("length_activity", tables, tmp_path)
    assert len(lengths_said.gate_lines(gates)) == 1
    values = lengths_found.length_values(tables)
    drawn = lengths_found.with_kept(values, tried)
    assert drawn["redraw"].value_counts().to_dict() == {"copy": len(values), "kept": 8}
    activity = {"laptop": synthetic.activity(), "paper": synthetic.activity("paper")}
    plain = plot_lengths.lengths_figure(tables, activity)
    figure = plot_lengths.lengths_figure(tables, activity, tried, gates)
    for axis, before in zip(figure.axes, plain.axes, strict=True):
        labels = [line.get_label() for line in axis.lines]
        more = f"{NARROW}, redrawn rows kept"
        assert labels.count(more) == 1
        assert len(axis.lines) == len(before.lines) + 1
    assert lengths_said.redraw_sheet(tables, {}).empty
    searched = lengths_found.redraw_kept("length_rates", {"laptop": synthetic.rates()}, tmp_path)
    rates = lengths_said.rate_sheet(searched, lengths_found.KEPT)
    assert rates["meta-iterations"].tolist() == [1000, 4000]
    assert rates["N = 100"].tolist() == ["0.001", "0.0003 \N{DOWNWARDS ARROW}"]


def test_figure_3_has_kept_rows_at_the_profiles_own_length(tmp_path: Path) -> None:
    """A further curve at the N that were measured; another length, or optimiser, is none."""
    source = synthetic_results.meta_test(models=2, trajectories=2)
    source = replace(source, provenance=synthetic.provenance("laptop", "omniglot"))
    found, values = Found(source, recorded=True), plot_fig3.fig3_values(source)
    write_kept(tmp_path, (1000, 9000))
    assert kept_rows.kept_meta_tests(found, root=tmp_path) == {}
    write_kept(tmp_path, (1000, 4000, 9000))
    kept = kept_rows.kept_meta_tests(found, root=tmp_path)
    drawn = plot_fig3.fig3_with_kept(values, kept)
    pd.testing.assert_frame_equal(drawn.iloc[: len(values)], values)
    own = drawn.iloc[len(values) :]
    assert set(own["treatment"]) == {lengths_found.KEPT}
    assert sorted(own.loc[own["metric"] == TESTING, "n_classes"]) == [100, 600]
    # The second of the lengths, with the mean of three trajectories, in sequence.
    assert own.loc[own["n_classes"] == 100, "mean"].tolist() == pytest.approx([0.35, 0.35])
    figure = plot_fig3.fig3(drawn, source.provenance)
    for axis in figure.axes:
        (line,) = figure_parts.curves(axis, TREATMENTS[lengths_found.KEPT].colour)
        assert list(line.get_xdata()) == [100, 600]
    assert lengths_found.KEPT in figure_parts.words(figure)
    sheet = curves.number_table(drawn, TESTING)
    assert list(sheet.columns) == ["N", *FIVE, lengths_found.KEPT]
    beside = plot_fig3.fig3_published_sheet(drawn, source.provenance)
    testing = beside[beside["metric"] == TESTING].set_index("published by")
    # Of the replication's N each curve has others: a row each, and in it the other one's dash.
    usual, row = (one for _, one in testing.loc[["higherANML replication"]].iterrows())
    assert [usual["N"], row["N"]] == ["10, 50, 600", "100, 600"]
    assert usual["ANML"] != "-" == usual[lengths_found.KEPT] == row["ANML"]
    goal = published_points(TESTING).query("source == 'higherANML replication'")
    goal = goal[goal["treatment"] == "ANML"].set_index("n_classes")["value"]
    gaps = [100 * (mean - goal[n]) for n, mean in ((100, 0.35), (600, 0.175))]
    low, high = sorted(gaps)
    assert row[lengths_found.KEPT] == f"{np.mean(gaps):+.1f} [{low:+.1f}, {high:+.1f}]"
    only = 100 * (0.175 - 0.638)
    assert testing.loc["paper", lengths_found.KEPT] == f"{only:+.1f}"
    said = plot_fig3.kept_beside_published(beside)
    assert f"{only:+.1f} beside the paper (N = 600)" in said
    assert "beside the higherANML replication (N = 100, 600)" in said
    without = plot_fig3.fig3_published_sheet(values, source.provenance)
    assert plot_fig3.kept_beside_published(without) == "not measured"
    glyphs = replace(source.provenance, data_source="glyphs")
    assert plot_fig3.fig3_published_sheet(drawn, glyphs).empty
    assert kept_rows.kept_meta_tests(found, "sgd", tmp_path) == {}
    assert kept_rows.kept_meta_tests(Found(source, False), root=tmp_path) == {}
    pd.testing.assert_frame_equal(plot_fig3.fig3_with_kept(values, {}), values)
    own = found_rates(synthetic_searches.table(), FIVE)
    rates = kept_rows.with_kept_rates(own, found, root=tmp_path)
    pd.testing.assert_frame_equal(rates.iloc[: len(own)], own)
    more = rates.iloc[len(own) :]
    assert more[["n_classes", "learning_rate"]].to_numpy().tolist() == [[100, 3e-4], [600, 3e-4]]
    assert set(more["treatment"]) == {lengths_found.KEPT}
    path = tmp_path / "results" / "laptop_redraw_kept" / "length_rates.parquet"
    searched = read_table(path)
    other = searched.frame.assign(model_seed=1, trajectory_seed=1)
    other["value"] = 0.5 * (other["learning_rate"] == 3e-3)
    write_table(path, pd.concat([searched.frame, other]), searched.provenance)
    two = kept_rows.with_kept_rates(own, found, root=tmp_path).iloc[len(own) :]
    assert two.loc[two["n_classes"] == 600, ["learning_rate", "models"]].to_numpy().tolist() == [
        [3e-4, "0"],
        [3e-3, "1"],
    ]
    (note,) = kept_rows.search_note(rates)
    assert "was searched at N = 100, 600, that of ANML at N = 10, 600" in note
    assert kept_rows.search_note(own) == []
    assert kept_rows.search_note(pd.concat([own, more.replace({"n_classes": {100: 10}})])) == []


def test_figure_4_has_the_drop_either_way_at_the_numbers_of_both(tmp_path: Path) -> None:
    source = synthetic_results.meta_test(models=2, trajectories=2)
    source = replace(source, provenance=synthetic.provenance("laptop", "omniglot"))
    write_kept(tmp_path, (1000, 4000))
    (kept,) = kept_rows.kept_meta_tests(Found(source, recorded=True), root=tmp_path).values()
    sheet = plot_fig4.fig4_kept_sheet(source, kept)
    assert sheet["N"].tolist() == [600]  # of 10, 50, 600 and 100, 600
    (row,) = sheet.to_dict("records")
    # Half of 0.3, 0.31, 0.32 and of the gain; the Oracle has 0.05 more.
    assert row["in sequence"].startswith("17.5 [")
    assert row["Oracle"].startswith("22.5 [")
    assert row["relative drop"].startswith("22.2 [")
    drops = plot_fig4.fig4_drops(source).set_index("treatment")["drop"]
    assert row["relative drop, in the copy"].startswith(f"{100 * drops['ANML']:.1f} [")
    of_sequence = replace(kept, frame=kept.frame[kept.frame["regime"] == "sequential"])
    assert plot_fig4.fig4_kept_sheet(source, of_sequence).empty


def test_published_numbers_have_kept_rows_beside_them(tmp_path: Path) -> None:
    """Where they were measured at the published N and the profile's own length."""
    made = synthetic.provenance("laptop", "omniglot")
    found = {
        name: Found(replace(table, provenance=made), recorded=True)
        for name, table in synthetic_results.everything().items()
    }
    assert kept_rows.kept_tables(found, root=tmp_path) == {}
    write_kept(tmp_path, (1000, 4000))
    folder = tmp_path / "results" / "laptop_redraw_kept"
    shorter = replace(made, profile_values=made.profile_values | {"meta_iterations": 10})
    for name, own in (("knn", made), ("activity", shorter)):
        frame = found[name].table.frame.assign(profile="laptop")
        frame = frame.replace({"treatment": {"ANML": lengths_found.KEPT}})
        write_table(folder / f"{name}.parquet", frame, own)
    probed = kept_rows.kept_beside("knn", found["knn"], tmp_path)["laptop"]
    assert (
        kept_rows.of_which(probed)
        == f"{lengths_found.KEPT} after 4,000 meta-iterations, models 0, 1"
    )
    others = kept_rows.kept_tables(found, root=tmp_path)
    assert list(others) == ["meta_test", "knn"]  # those that are of as long a meta-training
    assert set(others["meta_test"].frame["treatment"]) == {"ANML"}
    frame = headline({name: one.table for name, one in found.items()})
    sheet = headline_sheet(frame, "paper", kept=headline(others))
    saved = with_kept(frame, headline(others)).set_index("id")
    assert saved.loc["anml_600", ["kept", "kept_models"]].tolist() == pytest.approx([17.5, 1])
    assert saved.loc["oml_600", ["kept_models", "kept_trajectories"]].tolist() == [0, 0]
    assert saved["kept"].notna().sum() == (saved["kept_models"] > 0).sum() > 0
    pd.testing.assert_frame_equal(with_kept(frame, None), frame)
    by_number = sheet.set_index(["number", "N"])[KEPT_COLUMN]
    # Half of 0.3, 0.31, 0.32, and half of the gain.
    cell = by_number["ANML, sequential: meta-test testing accuracy", "600"]
    assert cell.startswith("17.5 [")
    assert cell.endswith("] (1 model × 3 trajectories)")  # the row's own are 2 models
    fewer = replace(found["meta_test"].table, frame=others["meta_test"].frame)
    alike = headline_sheet(headline({"meta_test": fewer}), "paper", kept=headline(others))
    same = alike.set_index(["number", "N"])[KEPT_COLUMN]
    assert same["ANML, sequential: meta-test testing accuracy", "600"].endswith("]")
    assert kept_replicates(headline(others)) == [
        "Redrawn rows kept: 1 model × 3 trajectories, 2 models."
    ]
    assert kept_replicates(None) == []
    assert by_number["ANML: kNN accuracy of NM activations", ""]
    assert not by_number["ANML: units active after the gate", ""]
    assert not by_number["OML, sequential: meta-test testing accuracy", "600"]
    assert KEPT_COLUMN not in headline_sheet(frame, "paper")
