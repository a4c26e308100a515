"""Pages of recorded results: their profiles' order, the tables that they read, and their size."""

import re
import tomllib
from pathlib import Path

import nbformat
import pytest
from notebook_table import TABLE

from anml.findings.ledger import TABLES
from anml.profiles import PROFILES
from anml.recording.record import MOST_MODEL_BYTES, MOST_TABLE_BYTES
from anml.results import read_table

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results"
RECORDED = [row for row in tomllib.loads(TABLE.read_text())["notebook"] if row.get("recorded")]
each = pytest.mark.parametrize("row", RECORDED, ids=lambda row: row["output"])


def tables_read(source: str) -> set[str]:
    """The names of the tables that a notebook looks for at its own profile and data."""
    notebook = nbformat.read(ROOT / "notebooks" / f"{source}.ipynb", as_version=4)
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    several = TABLES if re.search(r"find_tables\(\s*TABLES\b|read_figure\(", code) else ()
    return {*re.findall(r"find_table\(\s*\"(\w+)\"", code), *several}


@each
def test_profiles_go_from_the_largest_to_the_smallest(row):
    places = [list(PROFILES).index(profile) for profile in row["recorded"]]
    assert places == sorted(set(places), reverse=True)


@each
def test_each_profile_has_the_tables_of_its_page_on_omniglot(row):
    names = tables_read(row.get("source", row["output"]))
    assert names
    for profile in row["recorded"]:
        for name in names:
            source = read_table(RESULTS / profile / f"{name}.parquet").provenance
            assert (source.profile, source.data_source) == (profile, "omniglot"), (profile, name)


@each
def test_what_is_recorded_in_part_has_some_of_the_tables_of_its_page(row):
    assert not set(row.get("in_part", ())) & set(row["recorded"])
    names = tables_read(row.get("source", row["output"]))
    for profile in row.get("in_part", ()):
        there = [path for name in names for path in (RESULTS / profile).glob(f"{name}.parquet")]
        sources = [read_table(path).provenance for path in there]
        assert {(s.profile, s.data_source) for s in sources} == {(profile, "omniglot")}


def test_what_is_recorded_stays_small():
    files = [path for path in RESULTS.rglob("*") if path.is_file()]
    models = [path for path in files if path.parent.name == "checkpoints"]
    tables = [path for path in files if path.parent.name != "checkpoints"]
    assert sum(path.stat().st_size for path in tables) <= MOST_TABLE_BYTES
    assert sum(path.stat().st_size for path in models) <= MOST_MODEL_BYTES
