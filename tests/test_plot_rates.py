"""The figure and the ranking of the baselines' rates."""

from dataclasses import replace

import synthetic_rates
import synthetic_results

from anml.figures.plot_rates import (
    best_rates,
    edge_notes,
    in_full_sheet,
    rates_figure,
    rates_sheet,
    rates_values,
)
from anml.profiles import PROFILES
from anml.results import Table


def test_every_square_is_written_and_the_pair_in_use_is_framed() -> None:
    table = synthetic_rates.table()
    values = rates_values(table)
    figure = rates_figure(values, table.provenance)
    assert "Omniglot; profile quick; one model a pair, 1,000" in figure.get_suptitle()
    titles = [axis.get_title(loc="left") for axis in figure.axes]
    assert titles == [
        *("OML, N = 50", "OML, N = 200", "OML-OLFT, N = 50", "OML-OLFT, N = 200"),
        *("Pretrain & Transfer, N = 10", "Pretrain & Transfer, N = 50"),
    ]
    for axis, (_, rows) in zip(
        figure.axes, values.groupby(["training", "treatment", "n_classes"]), strict=True
    ):
        written = sorted(float(text.get_text()) for text in axis.texts)
        assert written == sorted((100 * rows["value"]).round(1))
        frames = [patch for patch in axis.patches if patch.get_gid() == "chosen"]
        assert len(frames) == rows["chosen"].sum()


def test_the_best_pair_of_each_training_comes_first() -> None:
    best = best_rates(rates_values(synthetic_rates.table()))
    assert len(best) == 16
    for _, rows in best.groupby("training"):
        assert rows["mean"].is_monotonic_decreasing
    assert best["chosen"].sum() == 1


def test_the_sheet_says_it_in_words() -> None:
    sheet = rates_sheet(rates_values(synthetic_rates.table()))
    assert list(sheet) == ["training", "inner rate", "outer rate", "mean accuracy, %", "in use"]
    assert sheet.iloc[0].tolist() == ["OML", "0.01", "0.0001", "90.0", ""]
    assert sheet[sheet["in use"] == "yes"]["mean accuracy, %"].tolist() == ["80.0"]
    pretrain = sheet[sheet["training"] == "Pretrain & Transfer"]
    assert pretrain["inner rate"].tolist() == ["-"] * 4
    assert pretrain["outer rate"].tolist() == ["0.0001", "0.0003", "0.001", "0.003"]


def test_rates_at_which_meta_training_diverged_are_said_to() -> None:
    values = rates_values(synthetic_rates.table())
    lost = values["inner_rate"].eq(0.1) & values["outer_rate"].eq(3e-3)
    judged = ["value", "learning_rate"]
    values[judged] = values[judged].mask(lost, 0.0)
    sheet = rates_sheet(values)
    axes = rates_figure(values, synthetic_rates.table().provenance).axes
    assert sum(text.get_text() == "diverged" for axis in axes for text in axis.texts) == 4
    assert sheet["mean accuracy, %"].eq("diverged").sum() == 1
    assert sheet[sheet["training"] == "OML"].iloc[-1]["mean accuracy, %"] == "diverged"


def test_a_best_rate_at_the_edge_of_its_grid_is_said_to_be_there() -> None:
    values = rates_values(
        synthetic_rates.table()
    )  # the first pair is best: both its rates smallest
    notes = edge_notes(values)
    assert [note.partition(",")[0] for note in notes] == [
        *("The best inner rate of OML", "The best outer rate of OML"),
        "The best outer rate of Pretrain & Transfer",
    ]
    assert all("smallest" in note and "a smaller one" in note for note in notes)
    inside = values["training"].eq("oml") & values["inner_rate"].eq(0.03)
    middle = values.assign(value=values["value"].where(~inside, 0.99))
    assert not any("inner rate of OML" in note for note in edge_notes(middle))


def test_two_runs_in_full_are_compared_where_both_were_run() -> None:
    def run(rate: float, gain: float, treatments: list[str]) -> Table:
        made = synthetic_results.meta_test(treatments=treatments)
        values = {**PROFILES["quick"].values(), "oml_outer_rate": rate}
        frame = made.frame.assign(value=gain, learning_rate=rate / 10)
        return Table(frame, replace(made.provenance, profile_values=values))

    used = run(0.001, 0.25, ["OML", "OML-OLFT", "ANML"])
    sheet = in_full_sheet(used, run(0.003, 0.5, ["OML", "OML-OLFT"]))
    columns = ["treatment", "regime", "N", "oml outer rate 0.001", "oml outer rate 0.003"]
    assert list(sheet) == columns
    assert set(sheet["treatment"]) == {"OML", "OML-OLFT"}
    assert set(sheet[columns[3]]) == {"25.0 (0.0001)"}
    assert set(sheet[columns[4]]) == {"50.0 (0.0003)"}
