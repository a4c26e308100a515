"""How much meta-training is worth: values by width, gains, the sheet, the figure."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import synthetic_lengths as synthetic

from anml.figures import plot_lengths
from anml.findings import lengths_found, lengths_said
from anml.findings.found_tables import Found
from anml.findings.lengths_found import PAPER_LENGTH
from anml.results import Table, write_table
from anml.store.tables import checked

NARROW, FULL = "64 / 28 channels", "256 / 112 channels (the paper's)"


@pytest.fixture
def tables() -> dict[str, Table]:
    return synthetic.two_widths()


@pytest.fixture
def activity() -> dict[str, Table]:
    return {"laptop": synthetic.activity(), "paper": synthetic.activity("paper")}


def test_the_made_up_tables_have_the_real_columns() -> None:
    for name, table in synthetic.tables().items():
        assert len(checked(name, table.frame)) == len(table.frame)


def test_values_are_means_over_trajectories_widest_first(tables: dict[str, Table]) -> None:
    values = lengths_found.length_values(tables)
    assert values["width"].drop_duplicates().tolist() == [FULL, NARROW]
    assert set(values["regime"]) == {"sequential", "oracle"}
    values = lengths_found.in_sequence(values)
    one = values[(values["width"] == NARROW) & (values["iterations"] == 4000)].set_index(
        "n_classes"
    )
    assert one.loc[100, "mean"] == pytest.approx(0.31)
    assert one.loc[600, "mean"] == pytest.approx(0.155)
    assert one.loc[100, "low"] < 0.31 < one.loc[100, "high"]
    assert (one.loc[100, "models"], one.loc[100, "trajectories"]) == (1, 3)


def test_the_sheet_has_a_row_a_width_and_length(
    tables: dict[str, Table], activity: dict[str, Table]
) -> None:
    values, gate = lengths_found.length_values(tables), lengths_found.gate_values(activity)
    sheet = lengths_said.length_sheet(values, gate)
    assert list(sheet) == [
        *("width", "meta-iterations", "accuracy at N = 100", "accuracy at N = 600"),
        *("accuracy at N = 100, oracle", "accuracy at N = 600, oracle"),
        *("units active after the gate", "models \N{MULTIPLICATION SIGN} trajectories"),
    ]
    assert sheet.iloc[2]["accuracy at N = 600, oracle"].startswith("15.5 [")
    times = "\N{MULTIPLICATION SIGN}"
    assert sheet.iloc[:, -1].tolist() == [f"1 {times} 2"] * 2 + [f"1 {times} 3"] * 3
    assert sheet["width"].tolist() == [FULL] * 2 + [NARROW] * 3
    assert sheet["meta-iterations"].tolist() == [1000, 4000, 1000, 4000, 20_000]
    assert sheet.iloc[2]["accuracy at N = 100"].startswith("21.0 [")
    assert sheet["units active after the gate"].tolist() == ["30.0", "20.0", "30.0", "20.0", "-"]


def test_widths_are_compared_at_equal_length_over_what_both_have(tables: dict[str, Table]) -> None:
    gains = lengths_found.width_gains(tables).set_index("n_classes")
    assert set(gains["iterations"]) == {4000}  # the narrow network's 20,000 has no partner
    assert gains.loc[100, "gain"] == pytest.approx(0.2)
    assert gains.loc[600, "gain"] == pytest.approx(0.1)
    assert (gains.loc[100, "models"], gains.loc[100, "trajectories"]) == (1, 2)
    assert gains.loc[100, ["wide", "narrow"]].tolist() == [FULL, NARROW]


def test_the_last_stretch_is_the_one_between_the_two_longest(tables: dict[str, Table]) -> None:
    gains = lengths_found.length_gains(tables)
    narrow = gains[(gains["width"] == NARROW) & (gains["n_classes"] == 100)]
    assert narrow["regime"].tolist() == ["sequential", "oracle"]
    assert set(zip(narrow["shorter"], narrow["longer"], strict=True)) == {(4000, 20_000)}
    np.testing.assert_allclose(narrow["gain"], 0.1)
    assert lengths_found.length_gains({"laptop": synthetic.accuracy(lengths=(1000,))}).empty


def test_a_stretch_is_measured_on_the_models_that_have_both_its_ends() -> None:
    """A second model that stopped half-way must not pass for a loss of the longer training."""
    first = synthetic.accuracy(lengths=(1000, 4000))
    both = synthetic.accuracy(lengths=(1000, 4000), models=2, gain=0.3)
    second = both.frame[(both.frame["model_seed"] == 1) & (both.frame["iterations"] == 1000)]
    table = Table(pd.concat([first.frame, second]), first.provenance)
    gains = lengths_found.length_gains({"laptop": table}).set_index(["n_classes", "regime"])
    assert gains.loc[(100, "sequential"), "gain"] == pytest.approx(0.1)
    assert gains.loc[(100, "sequential"), "models"] == 1
    values = lengths_found.length_values({"laptop": table})
    sheet = lengths_said.length_sheet(
        values, lengths_found.gate_values({"laptop": synthetic.activity()})
    )
    times = "\N{MULTIPLICATION SIGN}"
    assert sheet.iloc[:, -1].tolist() == [f"2 {times} 3", f"1 {times} 3"]


def test_what_is_forgotten_is_the_lead_of_the_same_drawings_in_random_order(
    tables: dict[str, Table],
) -> None:
    lost = lengths_found.forgotten(tables).set_index(["width", "n_classes"])
    assert set(lost["iterations"]) == {4000, 20_000}
    one = lost.loc[(FULL, 600)]
    assert one["oracle"] == pytest.approx(0.3025)
    assert one["sequential"] == pytest.approx(0.2525)
    assert one["lost"] == pytest.approx(0.05)
    assert (one["models"], one["trajectories"]) == (1, 2)
    assert lengths_found.forgotten({"laptop": synthetic.accuracy(oracle=False)}).empty
    sheet = lengths_said.forgotten_sheet(tables)
    assert len(sheet) == 4
    assert sheet.iloc[1].tolist() == [
        *(FULL, "4,000", 600, "30.2", "25.2", "-5.0 [-5.0, -5.0]", "-7.2 (71.0, 63.8)"),
        "1 \N{MULTIPLICATION SIGN} 2",
    ]
    assert sheet["in the paper"].tolist().count("-") == 3


def test_the_distance_to_the_paper_is_split_by_the_oracle(tables: dict[str, Table]) -> None:
    (line,) = lengths_said.parts_lines(tables)
    assert line == (
        "N = 600, 1 model \N{MULTIPLICATION SIGN} 2 trajectories in both orders: of -38.5 points "
        "to the paper -40.8 stand between the Oracles already (30.2% and 71.0%), and +2.2 come of "
        "the order of the classes."
    )
    assert lengths_said.parts_lines({"laptop": tables["laptop"]}) == []
    assert lengths_said.parts_lines({"laptop": synthetic.accuracy(oracle=False)}) == []


def test_gains_stand_in_points_with_their_replicates(tables: dict[str, Table]) -> None:
    sheet = lengths_said.gain_sheet(tables)
    assert len(sheet) == 8
    narrow = sheet[(sheet["width"] == NARROW) & (sheet["N"] == 100)]
    assert narrow["order"].tolist() == ["sequential", "oracle"]
    for row in narrow.itertuples(index=False):
        assert row[1] == "4,000 to 20,000"
        assert row[-2:] == ("+10.0 [+10.0, +10.0]", "1 \N{MULTIPLICATION SIGN} 3")
    wide = lengths_said.width_sheet(tables)
    assert wide.iloc[0].tolist() == [
        *(FULL, NARROW, "4,000", 100, "+20.0 [+20.0, +20.0]", "1 \N{MULTIPLICATION SIGN} 2")
    ]
    assert lengths_said.width_sheet({"laptop": tables["laptop"]}).empty


def test_how_far_each_width_is_stands_in_one_line(tables: dict[str, Table]) -> None:
    words = lengths_said.furthest_words(lengths_found.length_values(tables))
    times, gap = "\N{MULTIPLICATION SIGN}", "\N{NO-BREAK SPACE}"
    assert words == (
        f"at N = 600, {FULL} after 4,000 meta-iterations 25.2 [25.0,{gap}25.5]% (1 model {times} 2 "
        f"trajectories); {NARROW} after 20,000 meta-iterations 20.5 [20.0,{gap}21.0]% (1 model "
        f"{times} 3 trajectories)"
    )


def test_a_single_trajectory_of_a_single_length_has_no_interval_and_no_second_end() -> None:
    tables = {
        "laptop": synthetic.accuracy(lengths=(1000,), trajectories=1),
        "paper": synthetic.accuracy("paper", lengths=(1000,), trajectories=1, gain=0.2),
    }
    values = lengths_found.length_values(tables)
    gate = {"laptop": synthetic.activity(lengths=(1000,))}
    said = [
        *lengths_said.width_sheet(tables)[lengths_said.CHANGE],
        lengths_said.furthest_words(values),
        *lengths_said.length_sheet(values, lengths_found.gate_values(gate)).iloc[0].map(str),
    ]
    assert len(said) == 2 + 1 + 8
    assert not [words for words in said if "nan" in words or "[" in words]
    assert lengths_said.gate_lines(gate) == [
        f"{NARROW}: 30.0% of the units are active after the gate after 1,000 meta-iterations."
    ]


def test_the_distance_to_the_paper_is_said_at_its_width_and_n_alone(
    tables: dict[str, Table],
) -> None:
    lines = lengths_said.distance_lines(lengths_found.length_values(tables))
    assert lines == [
        f"{FULL} after 4,000 of 20,000 meta-iterations, N = 600: 25.2%, the paper 63.8%: -38.5 "
        "points."
    ]
    narrow = lengths_found.length_values({"laptop": tables["laptop"]})
    assert lengths_said.distance_lines(narrow) == []


def test_what_the_gate_leaves_is_said_at_both_ends(activity: dict[str, Table]) -> None:
    lines = lengths_said.gate_lines(activity)
    assert len(lines) == 2
    assert lines[1] == (
        f"{NARROW}: 30.0% of the units are active after the gate after 1,000 meta-iterations, "
        "20.0% after 4,000."
    )


def test_what_the_gate_leaves_is_told_of_the_same_models(activity: dict[str, Table]) -> None:
    """Another model, which went on to no further length, does not count."""
    own = activity["laptop"]
    early = own.frame[own.frame["iterations"] == own.frame["iterations"].min()]
    early = early.assign(model_seed=1, iterations=500, value=1.0)
    frame = pd.concat([early, early.assign(iterations=1000), own.frame])
    always = {"laptop": replace(own, frame=own.frame.assign(value=1.0))}
    assert "100.0% after 4,000" in lengths_said.gate_lines(always)[0]
    assert lengths_said.gate_lines({"laptop": replace(own, frame=frame)}) == (
        lengths_said.gate_lines({"laptop": own})
    )


def test_rates_at_the_edge_have_an_arrow() -> None:
    sheet = lengths_said.rate_sheet({"laptop": synthetic.rates()})
    assert sheet["meta-iterations"].tolist() == [1000, 4000]
    assert sheet["model"].tolist() == [0, 0]
    assert sheet["N = 100"].tolist() == ["0.001", "0.0003 \N{DOWNWARDS ARROW}"]


def test_larger_rates_are_said_where_they_were_tried_beside_a_recorded_run(tmp_path: Path) -> None:
    rates = {"laptop": synthetic.rates(), "paper": synthetic.rates("paper")}
    tried = synthetic.rates("paper", lengths=(4000,))
    path = tmp_path / "results" / "paper_larger_rates" / "length_rates.parquet"
    write_table(path, tried.frame, tried.provenance)
    found = Found(rates["laptop"], recorded=True)
    larger = lengths_found.larger_rates(found, rates, root=tmp_path)
    assert set(larger) == {"paper"}
    assert lengths_said.larger_lines(larger)[0] == (
        f"{FULL} after 4,000 meta-iterations, model 0, N = 100, 1 trajectory: 10.0% at 0.0003, "
        "50.0% at 0.001, 10.0% at 0.003."
    )
    assert lengths_found.larger_rates(found, rates, kept=True, root=tmp_path) == {}
    more = tried.frame.assign(trajectory_seed=7, value=0.0)
    both = replace(tried, frame=pd.concat([tried.frame, more], ignore_index=True))
    line = lengths_said.larger_lines({"paper": both})[0]
    assert "2 trajectories: 5.0% at 0.0003, 25.0% at 0.001" in line
    another = replace(tried, frame=pd.concat([tried.frame, more.assign(model_seed=2)]))
    line = lengths_said.larger_lines({"paper": another})[0]
    assert "models 0, 2, N = 100, 1 trajectory each: 5.0% at 0.0003, 25.0% at 0.001" in line
    own = Found(rates["laptop"], recorded=False)
    assert lengths_found.larger_rates(own, rates, root=tmp_path) == {}
    assert lengths_said.larger_lines({}) == []


def test_only_recorded_tables_of_other_widths_and_the_same_drawings_stand_beside(
    tables: dict[str, Table], tmp_path: Path
) -> None:
    recorded = {
        "smoke": synthetic.accuracy("smoke", "glyphs"),
        "quick": synthetic.accuracy("quick"),
        **tables,
    }
    for profile, table in recorded.items():
        path = tmp_path / "results" / profile / "lengths.parquet"
        write_table(path, table.frame, table.provenance)
    found = Found(recorded["laptop"], recorded=True)
    assert set(lengths_found.beside("lengths", found, tmp_path)) == {"laptop", "paper"}
    shorter = Found(recorded["quick"], recorded=True)  # the page's own, though laptop goes further
    assert list(lengths_found.beside("lengths", shorter, tmp_path)) == ["quick", "paper"]
    own = Found(recorded["laptop"], recorded=False)
    assert set(lengths_found.beside("lengths", own, tmp_path)) == {"laptop"}
    assert set(lengths_found.recorded_widths("lengths", tmp_path)) == {"laptop", "paper"}
    drawn = Found(recorded["smoke"], recorded=True)
    assert set(lengths_found.beside("lengths", drawn, tmp_path)) == {"smoke"}


def test_the_figure_has_a_line_a_width_and_published_marks(
    tables: dict[str, Table], activity: dict[str, Table]
) -> None:
    figure = plot_lengths.lengths_figure(tables, activity)
    titles = [axis.get_title(loc="left") for axis in figure.axes]
    assert titles == [
        *("Class after class, N = 100", "Class after class, N = 600"),
        *("In random order (Oracle), N = 600", "Units active after the gate"),
    ]
    lines = {line.get_label(): line for line in figure.axes[1].lines}
    np.testing.assert_allclose(lines[NARROW].get_ydata(), [10.5, 15.5, 20.5])
    assert {FULL, NARROW, "paper"} < set(lines)
    assert lines["paper"].get_ydata() == [63.8]
    assert lines["paper"].get_xdata()[0] == pytest.approx(PAPER_LENGTH, rel=0.2)
    assert lines["higherANML replication"].get_xdata() == [30_000]
    assert [tick.get_text() for tick in figure.axes[1].get_xticklabels()][-1] == "20,000"
    oracle = {line.get_label(): line for line in figure.axes[2].lines}
    np.testing.assert_allclose(oracle[NARROW].get_ydata(), [15.5, 20.5, 25.5])
    assert oracle["paper"].get_ydata() == [71.0]
    gate = {line.get_label(): line for line in figure.axes[3].lines}
    assert gate["paper"].get_ydata() == [5.9]
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words[:2] == [FULL, NARROW]
    assert len(words) == len(set(words))
    assert "Omniglot; ANML" in figure.get_suptitle()


def test_the_embedded_drawings_are_named_and_have_no_published_marks() -> None:
    tables = {"smoke": synthetic.accuracy("smoke", "glyphs", oracle=False)}
    figure = plot_lengths.lengths_figure(tables, {"smoke": synthetic.activity("smoke", "glyphs")})
    assert "NOT Omniglot" in figure.get_suptitle()
    assert [len(axis.lines) for axis in figure.axes] == [1, 1, 1]
