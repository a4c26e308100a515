"""OML at the paper's width at several outer rates: what was recorded, and the sheet of it."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import synthetic_lengths as synthetic

from anml.findings.outer_rates import tried, tried_sheet
from anml.results import Table, write_table

RATES = (3e-4, 1e-4, 1e-3)
DEAD = {1e-4: 0.0, 3e-4: 0.125, 1e-3: 0.25}


def at_rate(table: Table, rate: float) -> Table:
    values = table.provenance.profile_values | {"oml_outer_rate": rate}
    return replace(table, provenance=replace(table.provenance, profile_values=values))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three runs; that with the largest rate lost most of its units."""
    for rate in RATES:
        accuracy = synthetic.accuracy("paper", lengths=(1500,), trajectories=3)
        frames = [accuracy.frame.assign(treatment=name) for name in ("OML-OLFT", "OML")]
        frames[1].loc[frames[1]["regime"] == "sequential", "value"] *= rate / 1e-3
        activity = synthetic.activity("paper", lengths=(1500,))
        rows = activity.frame[activity.frame["layer"] == "latent"]
        rows = rows.assign(layer="oml", treatment="OML")
        rows.loc[rows["metric"] == "dead units", "value"] = DEAD[rate]
        tables = {
            "lengths": replace(accuracy, frame=pd.concat(frames, ignore_index=True)),
            "length_activity": replace(activity, frame=rows),
        }
        for name, table in tables.items():
            path = tmp_path / "results" / f"paper_oml_outer_{rate:g}" / f"{name}.parquet"
            write_table(path, table.frame, at_rate(table, rate).provenance)
    return tmp_path


def test_runs_are_found_the_smallest_rate_first(root: Path) -> None:
    found = [one.provenance.profile_values["oml_outer_rate"] for one in tried("lengths", root)]
    assert found == sorted(RATES)
    assert tried("length_rates", root) == []


def test_the_sheet_has_a_row_a_rate_and_treatment(root: Path) -> None:
    sheet = tried_sheet(tried("lengths", root), tried("length_activity", root))
    rates = ["0.0001", "0.0003", "0.001"]
    names = ["OML", "OML-OLFT"]
    assert list(zip(sheet["outer rate"], sheet["treatment"], strict=True)) == [
        (rate, name) for rate in rates for name in names
    ]
    assert set(sheet["meta-iterations"]) == {"1,500"}
    rows = sheet.set_index(["outer rate", "treatment"])
    assert [rows.loc[(rate, "OML"), "N = 100"].split()[0] for rate in rates] == [
        "2.1",
        "6.3",
        "21.0",
    ]
    assert {text.split()[0] for text in sheet["N = 600, oracle"]} == {"15.5"}
    dead = [rows.loc[(rate, "OML-OLFT"), "for none, %"] for rate in rates]
    assert dead == ["0.0", "12.5", "25.0"]


def test_lengths_have_rows_of_their_own(root: Path) -> None:
    (first, *_), (units, *_) = tried("lengths", root), tried("length_activity", root)
    longer = [
        replace(one, frame=pd.concat([one.frame, one.frame.assign(iterations=9000, value=0.5)]))
        for one in (first, units)
    ]
    sheet = tried_sheet(*([one] for one in longer))
    assert list(sheet["meta-iterations"]) == ["1,500", "1,500", "9,000", "9,000"]
    assert list(sheet["for none, %"]) == ["0.0", "0.0", "50.0", "50.0"]
    assert list(sheet["N = 100"].str.split().str[0]) == ["2.1", "21.0", "50.0", "50.0"]


def test_drawings_of_our_own_are_not_shown(root: Path) -> None:
    path = root / "results" / "paper_oml_outer_0.001" / "lengths.parquet"
    table = tried("lengths", root)[-1]
    source = replace(table.provenance, data_source="glyphs")
    write_table(path, table.frame.assign(data="glyphs"), source)
    assert len(tried("lengths", root)) == len(RATES) - 1


def test_where_units_were_not_counted_a_dash_stands(root: Path) -> None:
    sheet = tried_sheet(tried("lengths", root), tried("length_activity", root)[:2])
    assert list(sheet["for none, %"]) == ["0.0", "0.0", "12.5", "12.5", "-", "-"]
