"""OML at the paper's width at several outer rates: what was recorded, and the sheets of it."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import synthetic_lengths as synthetic

from anml.findings.outer_rates import IN_USE, accuracy_sheet, logs, state_sheet, tables, tried
from anml.results import Table, read_table, write_table
from anml.store.tables import LOG_METRICS

RATES = {1e-4: "paper_oml_outer_0.0001", 3e-4: "paper_oml_outer_0.0003", 1e-3: "paper_oml"}
DEAD = {1e-4: 0.0, 3e-4: 0.125, 1e-3: 0.25}
LENGTH = 1500
COUNTED = "models \N{MULTIPLICATION SIGN} trajectories"


def at_rate(table: Table, rate: float) -> Table:
    values = table.provenance.profile_values | {"oml_outer_rate": rate}
    return replace(table, provenance=replace(table.provenance, profile_values=values))


def losses(table: Table) -> Table:
    """A log of OML and of ANML whose loss falls by one a stretch to zero."""
    rows = [
        {
            "profile": "paper",
            "data": "omniglot",
            "treatment": training,
            "model_seed": 0,
            "iteration": LENGTH * (i + 1) // 20,
            "metric": metric,
            "value": float(19 - i) / (1 if metric == LOG_METRICS[0] else 20),
            "done": LENGTH,
            "asked": 20_000,
            "seconds": 10.0,
            "device": "CPU",
        }
        for i in range(20)
        for metric in LOG_METRICS
        for training in ("anml", "oml")
    ]
    return Table(pd.DataFrame(rows), table.provenance)


def record(root: Path, folder: str, name: str, table: Table) -> None:
    write_table(root / "results" / folder / f"{name}.parquet", table.frame, table.provenance)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three runs; a larger rate knows more after a sequence, and lost more of its units."""
    for rate, folder in RATES.items():
        accuracy = at_rate(synthetic.accuracy("paper", lengths=(LENGTH,), trajectories=3), rate)
        frames = [accuracy.frame.assign(treatment=name) for name in ("OML-OLFT", "OML")]
        frames[1].loc[frames[1]["regime"] == "sequential", "value"] *= rate / IN_USE
        activity = at_rate(synthetic.activity("paper", lengths=(LENGTH,)), rate)
        rows = activity.frame[activity.frame["layer"] == "latent"]
        rows = rows.assign(layer="oml", treatment="OML")
        rows.loc[rows["metric"] == "dead units", "value"] = DEAD[rate]
        record(tmp_path, folder, "lengths", replace(accuracy, frame=pd.concat(frames)))
        record(tmp_path, folder, "length_activity", replace(activity, frame=rows))
        logs = "paper" if rate == IN_USE else folder
        record(tmp_path, logs, "unfinished_log", losses(accuracy))
    record(tmp_path, "paper", "lengths", at_rate(synthetic.accuracy("paper"), IN_USE))
    return tmp_path


def test_runs_are_found_the_smallest_rate_first_and_hold_oml_alone(root: Path) -> None:
    found = tables("lengths", root)
    assert [one.provenance.profile_values["oml_outer_rate"] for one in found] == sorted(RATES)
    assert {name for one in found for name in one.frame["treatment"]} == {"OML", "OML-OLFT"}
    assert tried("length_rates", root).empty


def test_a_row_a_treatment_number_of_classes_and_order(root: Path) -> None:
    sheet = accuracy_sheet(tried("lengths", root))
    assert list(sheet["treatment"]) == ["OML"] * 4 + ["OML-OLFT"] * 4
    assert list(sheet["N"]) == [100, 100, 600, 600] * 2
    assert set(sheet["meta-iterations"]) == {"1,500"}
    assert set(sheet[COUNTED]) == {"1 \N{MULTIPLICATION SIGN} 3"}
    first = sheet[sheet["order"].eq("class after class") & sheet["N"].eq(100)].set_index(
        "treatment"
    )
    row = first.loc["OML"]
    at = ["at 0.0001", "at 0.0003", "at 0.001 (in use)"]
    assert [row[name].split()[0] for name in at] == ["2.1", "6.3", "21.0"]
    # Pair by pair the three trajectories differ by 18, 18.9 and 19.8 points.
    assert row["change at 0.0001, in points"] == "-18.9 [-19.8, -18.0]"
    assert row["change at 0.0003, in points"].split()[0] == "-14.7"
    assert first.loc["OML-OLFT", "change at 0.0003, in points"] == "+0.0 [+0.0, +0.0]"


def test_pairs_that_only_one_rate_has_change_nothing(root: Path) -> None:
    rows = tried("lengths", root)
    rows = rows[rows["rate"].isin((3e-4, IN_USE))]
    only = rows[
        (rows["rate"] == IN_USE) | (rows["trajectory_seed"] == rows["trajectory_seed"].min())
    ]
    row = accuracy_sheet(only).iloc[1]
    assert row["change at 0.0003, in points"] == "-14.0"
    assert row[COUNTED] == "1 \N{MULTIPLICATION SIGN} 1, 1 \N{MULTIPLICATION SIGN} 3"
    apart = rows[(rows["rate"] == IN_USE) | (rows["n_classes"] == 100)]
    assert list(accuracy_sheet(apart)["N"]) == [100, 100] * 2


def test_the_state_of_each_network(root: Path) -> None:
    sheet = state_sheet(tried("length_activity", root), logs(root))
    assert list(sheet["outer rate"]) == ["0.0001", "0.0003", "0.001 (in use)"]
    assert list(sheet["meta-loss at the end"]) == ["0.50"] * 3  # of 1 and 0, the last tenth
    assert list(sheet["units active for a drawing, %"]) == ["60.0"] * 3
    assert list(sheet["for none, %"]) == ["0.0", "12.5", "25.0"]
    without = state_sheet(tried("length_activity", root), logs(root).iloc[:0])
    assert list(without["meta-loss at the end"]) == ["-"] * 3


def test_the_loss_is_that_at_the_measured_length_of_a_log_that_goes_on_or_is_finished(
    root: Path,
) -> None:
    activity, logged = tried("length_activity", root), logs(root)
    half = activity.assign(iterations=LENGTH // 2)  # row 10 of 20, whose loss is 10
    assert list(state_sheet(half, logged)["meta-loss at the end"]) == ["10.00"] * 3
    further = activity.assign(iterations=LENGTH + 1)
    assert list(state_sheet(further, logged)["meta-loss at the end"]) == ["-"] * 3
    others = activity.assign(model_seed=1)
    assert list(state_sheet(others, logged)["meta-loss at the end"]) == ["-"] * 3
    path = root / "results" / "paper" / "unfinished_log.parquet"
    table = read_table(path)
    record(root, "paper", "meta_train_log", table)
    path.unlink()
    assert list(state_sheet(activity, logs(root))["meta-loss at the end"]) == ["0.50"] * 3


def test_nothing_recorded_makes_empty_sheets(tmp_path: Path) -> None:
    assert state_sheet(tried("length_activity", tmp_path), logs(tmp_path)).empty
    assert accuracy_sheet(tried("lengths", tmp_path)).empty


def test_drawings_of_our_own_are_not_shown(root: Path) -> None:
    table = tables("lengths", root)[-1]
    source = replace(table.provenance, data_source="glyphs")
    glyphs = Table(table.frame.assign(data="glyphs"), source)
    record(root, "paper_oml", "lengths", glyphs)
    assert IN_USE not in set(tried("lengths", root)["rate"])
