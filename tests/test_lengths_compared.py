"""ANML beside others after equally long training: what is shared, said and drawn."""

from dataclasses import replace
from pathlib import Path

import figure_parts
import pandas as pd
import pytest
import synthetic_lengths as synthetic
from refusal import refusal

from anml.figures import plot_lengths
from anml.figures.plot_style import TREATMENTS
from anml.findings import lengths_compared as compared
from anml.findings import lengths_found
from anml.findings.found_tables import Found
from anml.results import Table, write_table

LESS = {"oml": {"OML": 0.1, "OML-OLFT": 0.05}, "pretrain": {"Pretrain & Transfer": 0.08}}
"""By training: how much less they know in sequence after 100 classes; in random order all know the
same.
"""
BEHIND = LESS["oml"] | LESS["pretrain"]


def of_another(training: str, lengths: tuple[int, ...], trajectories: int) -> Table:
    """ANML's made-up rows with `LESS` of a training."""
    table = synthetic.accuracy("paper", lengths=lengths, trajectories=trajectories)
    parts = []
    for name, less in LESS[training].items():
        rows = table.frame.assign(treatment=name)
        rows.loc[rows["regime"] == "sequential", "value"] -= less
        parts.append(rows)
    return Table(pd.concat(parts, ignore_index=True), table.provenance)


@pytest.fixture
def rows(tmp_path: Path) -> pd.DataFrame:
    """OML was measured at one of ANML's two lengths, pretraining on two of three trajectories."""
    measured = {"oml": ((1000, 9000), 3), "pretrain": ((1000, 4000), 2)}
    for training, (lengths, trajectories) in measured.items():
        table = of_another(training, lengths, trajectories)
        path = tmp_path / "results" / f"paper_{training}" / "lengths.parquet"
        write_table(path, table.frame, table.provenance)
    tables = {"laptop": synthetic.accuracy(), "paper": synthetic.accuracy("paper")}
    beside = compared.of_others("lengths", tables, tmp_path)
    assert {training: set(own) for training, own in beside.items()} == {
        "oml": {"paper"},
        "pretrain": {"paper"},
    }
    return compared.shared_rows(tables, beside)


def test_only_what_was_measured_of_all_is_compared(rows: pd.DataFrame) -> None:
    assert set(rows["width"]) == {"256 / 112 channels (the paper's)"}
    assert set(rows["iterations"]) == {1000}
    counted = rows.groupby(["treatment", "regime", "n_classes"], sort=False)["trajectory_seed"]
    assert set(counted.nunique()) == {2}
    assert list(rows["treatment"].unique()) == ["ANML", *BEHIND]


def test_the_sheet_has_both_orders_the_drop_and_the_papers_numbers(rows: pd.DataFrame) -> None:
    sheet = compared.compared_sheet(rows).set_index(["N", "treatment"])
    anml, oml = sheet.loc[(100, "ANML")], sheet.loc[(100, "OML")]
    assert anml[compared.ORDERS["oracle"]].split()[0] == "25.5"
    assert oml[compared.ORDERS["sequential"]].split()[0] == "10.5"
    assert oml[compared.LOST].split()[0] == f"{100 * (1 - 0.105 / 0.255):.1f}"
    assert sheet.loc[(600, "OML"), compared.IN_PAPER] == "18.2%; drop 70.32%"
    assert anml[compared.IN_PAPER] == "-"


def test_a_missing_order_is_said(rows: pd.DataFrame) -> None:
    sheet = compared.compared_sheet(rows[rows["regime"] == "sequential"])
    assert set(sheet[compared.LOST]) == {"-"}
    assert set(sheet[compared.ORDERS["oracle"]]) == {"-"}


def test_one_sentence_has_the_longest_n(rows: pd.DataFrame) -> None:
    said = compared.compared_words(rows)
    words = (
        "256 / 112 channels (the paper's), after 1,000 meta-iterations or batches each, N = 600: "
        "ANML 10.2 ["
    )
    assert said.startswith(words)
    last = "%, Pretrain & Transfer 2.3 [2.0,\N{NO-BREAK SPACE}2.5]% (1 model × 2 trajectories)"
    assert said.endswith(last)
    assert compared.compared_words(rows[:0]) == ""


def test_the_lead_is_taken_pair_by_pair(rows: pd.DataFrame) -> None:
    lead = compared.lead_sheet(rows).set_index(["N", "order", "ahead of"])[compared.AHEAD]
    for name, less in BEHIND.items():
        points = f"+{100 * less:.1f}"
        assert lead[100, "sequential", name] == f"{points} [{points}, {points}]"
        assert lead[600, "oracle", name].split()[0] == "+0.0"


def test_an_oracle_that_knows_nothing_can_lose_nothing(rows: pd.DataFrame) -> None:
    rows["value"] = rows["value"].where(rows["regime"] == "sequential", 0.0)
    assert set(compared.compared_sheet(rows)[compared.LOST]) == {"-"}


def test_the_widest_comes_first_and_the_paper_is_a_star(rows: pd.DataFrame) -> None:
    narrow = rows.assign(profile="laptop", width="64 / 28 channels", value=rows["value"] / 2)
    values = compared.compared_values(pd.concat([rows, narrow]))
    assert list(values["profile"].unique()) == ["paper", "laptop"]
    figure = plot_lengths.compared_figure(values)
    titles = [axis.get_title("left") for axis in figure.axes]
    assert [title.startswith("256") for title in titles] == [True, True, False, False]
    stars = [figure_parts.marks([axis]).tolist() for axis in figure.axes]
    assert stars == [[], [18.2, 44.2, 63.8, 71.0]] * 2


def test_omls_active_units_and_rates_are_said(tmp_path: Path) -> None:
    own = synthetic.activity("paper", lengths=(1000,))
    frame = own.frame[own.frame["layer"] == "latent"].assign(layer="oml", treatment="OML")
    frame.loc[frame["metric"] == "dead units", "value"] = 0.25
    path = tmp_path / "results" / "paper_oml" / "length_rates.parquet"
    rates = synthetic.rates("paper")
    write_table(path, rates.frame.assign(treatment="OML"), rates.provenance)
    source = replace(own.provenance, profile_values={"pln_channels": 256, "oml_channels": 256})
    tables = {"paper": Table(frame, source)}
    counted = "60.0% of the representation's units are active for a drawing, 25.0% for none."
    assert compared.activity_lines({"oml": tables, "pretrain": tables}) == [
        f"OML, 256 channels, after 1,000 meta-iterations: {counted}",
        f"Pretrain & Transfer, 256 channels, after 1,000 batches: {counted}",
    ]
    assert [line.split(":")[0] for line in compared.source_lines({"pretrain": tables})] == [
        "Pretrain & Transfer"
    ]
    found = compared.searched({"paper": rates}, tmp_path)
    assert list(found) == ["OML", "OML-OLFT"]
    assert set(found["OML"]["paper"].frame["treatment"]) == {"OML"}
    assert compared.searched({"laptop": synthetic.rates()}, tmp_path) == {}


def test_a_page_about_anml_refuses_a_table_of_others() -> None:
    table = of_another("oml", (1000,), 2)
    message = refusal(lambda: lengths_found.require_anml(Found(table, False)))
    assert "OML and OML-OLFT" in message
    kept = table.frame.assign(treatment="ANML (redraw kept)")
    message = refusal(
        lambda: lengths_found.require_anml(Found(Table(kept, table.provenance), True))
    )
    assert "the table holds ANML (redraw kept)" in message
    lengths_found.require_anml(Found(synthetic.accuracy(), True))


def test_the_figure_has_a_line_a_treatment_and_order(rows: pd.DataFrame) -> None:
    values = compared.compared_values(rows)
    figure = plot_lengths.compared_figure(values)
    assert [axis.get_title("left").rpartition(" = ")[2] for axis in figure.axes] == ["100", "600"]
    for axis in figure.axes:
        for name in ("ANML", *BEHIND):
            curves = figure_parts.curves(axis, TREATMENTS[name].colour)
            assert [line.get_linestyle() for line in curves] == ["--", "-"]
    last = values[(values["n_classes"] == 600) & (values["regime"] == "sequential")]
    (drawn,) = (
        line
        for line in figure_parts.curves(figure.axes[1], TREATMENTS["OML"].colour)
        if line.get_linestyle() == "-"
    )
    assert list(drawn.get_ydata()) == list(100 * last.loc[last["treatment"] == "OML", "mean"])


def test_nothing_is_compared_where_others_were_not_measured() -> None:
    rows = compared.shared_rows({"paper": synthetic.accuracy("paper")}, {})
    assert rows.empty


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """A companion's folder with ANML's lengths, kept rows 0.1 better, all choices 0.08 better."""
    for folder, name, gain in (
        ("paper", "ANML", 0.0),
        ("paper_redraw_kept", "ANML (redraw kept)", 0.1),
        ("paper_as_released", "ANML (as released)", 0.08),
    ):
        table = synthetic.accuracy("paper", lengths=(1000,), trajectories=3)
        rows = table.frame.assign(treatment=name, value=table.frame["value"] + gain)
        write_table(tmp_path / "results" / folder / "lengths.parquet", rows, table.provenance)
    return tmp_path


def test_the_codes_ways_are_compared_with_anml_and_with_kept_rows(recorded: Path) -> None:
    page = Found(synthetic.accuracy(), True)
    own = compared.papers_width("lengths", page, recorded)
    ways = compared.of_others("lengths", own, recorded, compared.WAYS)
    assert list(ways) == ["anml-redraw-kept", "anml-as-released"]
    sheet = compared.change_sheet(own, ways, [1000])
    in_sequence = "class after class, change in points"
    found = sheet[sheet["N"] == 600].set_index(["treatment", "against"])[in_sequence]
    assert dict(found) == {
        ("ANML (redraw kept)", "ANML"): "+10.0 [+10.0, +10.0]",
        ("ANML (as released)", "ANML"): "+8.0 [+8.0, +8.0]",
        ("ANML (as released)", "ANML (redraw kept)"): "-2.0 [-2.0, -2.0]",
    }
    assert set(sheet[compared.REPLICATES]) == {"1 \N{MULTIPLICATION SIGN} 3"}


def test_the_rates_are_of_what_is_compared(recorded: Path) -> None:
    own = compared.papers_width("lengths", Found(synthetic.accuracy(), True), recorded)
    rows = compared.shared_rows(own, compared.of_others("lengths", own, recorded, compared.WAYS))
    searched = synthetic.rates("paper")
    kept = replace(searched, frame=searched.frame.assign(treatment="ANML (redraw kept)"))
    rates = {"anml": {"paper": searched}, "anml-redraw-kept": {"paper": kept}}
    sheet = compared.found_rates_sheet(rows, rates)
    assert sheet["treatment"].tolist() == ["ANML", "ANML (redraw kept)"]
    assert set(sheet["meta-iterations"]) == {1000}  # of the two lengths that were searched
    assert {"N = 100", "N = 600"} <= set(sheet)


def test_each_change_is_over_what_both_have(recorded: Path) -> None:
    """One way lacks the Oracle at 600, and another lacks nothing."""
    own = compared.papers_width("lengths", Found(synthetic.accuracy(), True), recorded)
    ways = compared.of_others("lengths", own, recorded, compared.WAYS)
    frame = ways["anml-redraw-kept"]["paper"].frame
    kept = frame[(frame["n_classes"] == 100) | (frame["regime"] == "sequential")]
    ways["anml-redraw-kept"]["paper"] = replace(ways["anml-redraw-kept"]["paper"], frame=kept)
    sheet = compared.change_sheet(own, ways, [1000]).set_index(["N", "treatment", "against"])
    random = sheet["random order (Oracle), change in points"]
    assert random[600, "ANML (redraw kept)", "ANML"] == "-"
    assert random[600, "ANML (as released)", "ANML"].startswith("+8.0")
    assert "-" not in set(random[100])
    assert compared.change_sheet(own, ways, [4000]).empty


def test_the_papers_width_is_shown_beside_recorded_omniglot_alone(recorded: Path) -> None:
    table = synthetic.accuracy()
    assert list(compared.papers_width("lengths", Found(table, True), recorded)) == ["paper"]
    assert compared.papers_width("lengths", Found(table, False), recorded) == {}
    glyphs = replace(table, provenance=replace(table.provenance, data_source="glyphs"))
    assert compared.papers_width("lengths", Found(glyphs, True), recorded) == {}
