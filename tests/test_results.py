"""Result tables: what is written is what is read, and what is wrong is refused."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import synthetic_table
from pandas.testing import assert_frame_equal

from anml import results
from anml.errors import AnmlError
from anml.findings.found_tables import find_beside, find_table, find_tables
from anml.profiles import PROFILES
from anml.results import device_name, git_commit, provenance_now, read_table, write_table


@pytest.fixture
def path(tmp_path):
    return tmp_path / "results" / "meta_test.parquet"


def test_a_table_comes_back_as_it_was(path):
    frame, provenance = synthetic_table.frame(), synthetic_table.provenance()
    write_table(path, frame, provenance)
    table = read_table(path)
    keys = list(frame.columns)
    expected = frame.sort_values(keys, ignore_index=True)
    assert_frame_equal(table.frame, expected, check_dtype=False)
    assert table.provenance == provenance
    assert table.frame["value"].dtype == np.float64
    assert table.frame["n_classes"].dtype == np.int64


def test_the_order_of_rows_does_not_change_the_bytes(path, tmp_path):
    frame, provenance = synthetic_table.frame(), synthetic_table.provenance()
    write_table(path, frame, provenance)
    other = tmp_path / "meta_test.parquet"
    shuffled = frame.sample(frac=1, random_state=1)[list(reversed(frame.columns))]
    write_table(other, shuffled, provenance)
    assert other.read_bytes() == path.read_bytes()
    write_table(other, frame.assign(value=frame["value"] / 2), provenance)
    assert other.read_bytes() != path.read_bytes()


BAD = {
    "missing column 'treatment'": lambda f: f.drop(columns="treatment"),
    "no rows": lambda f: f.iloc[:0],
    "between 0 and 1": lambda f: f.assign(value=63.8),
    "finite": lambda f: f.assign(value=np.nan),
    "must hold numbers": lambda f: f.assign(value="high"),
    "whole numbers": lambda f: f.assign(n_classes=10.5),
    "must hold text": lambda f: f.assign(treatment=1),
    "allowed: 'adam', 'sgd'": lambda f: f.assign(optimizer="adamw"),
    "allowed: 'omniglot', 'glyphs'": lambda f: f.assign(data="mnist"),
    "twice": lambda f: pd.concat([f, f.iloc[:1]]),
    "but the provenance says 'omniglot'": lambda f: f.assign(data="glyphs"),
    "but the provenance says 'quick'": lambda f: f.assign(profile="paper"),
}


@pytest.mark.parametrize("message", BAD)
def test_a_bad_frame_is_refused_and_the_old_table_stays(path, message):
    write_table(path, synthetic_table.frame(), synthetic_table.provenance())
    before = path.read_bytes()
    with pytest.raises(AnmlError, match=message) as caught:
        write_table(path, BAD[message](synthetic_table.frame()), synthetic_table.provenance())
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data_source": "mnist"}, "unknown data source"),
        ({"seconds": -1.0}, "compute time"),
        ({"profile_values": {"n": (1, 2)}}, "JSON"),
        ({"profile_values": {"n": np.int64(1)}}, "JSON"),
    ],
)
def test_bad_provenance_is_refused(path, change, message):
    provenance = replace(synthetic_table.provenance(), **change)
    with pytest.raises(AnmlError, match=message):
        write_table(path, synthetic_table.frame(), provenance)


def test_an_interrupted_write_leaves_the_old_table(path, monkeypatch):
    write_table(path, synthetic_table.frame(), synthetic_table.provenance())
    before = path.read_bytes()

    def half(table, file, **_):
        file.write_bytes(b"PAR1 half")
        raise KeyboardInterrupt

    monkeypatch.setattr(results.pq, "write_table", half)
    with pytest.raises(KeyboardInterrupt):
        write_table(path, synthetic_table.frame(), synthetic_table.provenance())
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_what_is_not_a_table_is_refused_in_one_line(path):
    with pytest.raises(AnmlError, match="no results table at"):
        read_table(path)
    write_table(path, synthetic_table.frame(), synthetic_table.provenance())
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(AnmlError, match="truncated"):
        read_table(path)
    pq.write_table(pa.Table.from_pandas(synthetic_table.frame()), path)
    with pytest.raises(AnmlError, match="no provenance"):
        read_table(path)


def test_the_line_says_what_the_data_are():
    line = synthetic_table.provenance().line()
    for part in ("Omniglot", "quick", "CPU, 2 threads", "0123456789ab", "2025-01-02", "25.0 min"):
        assert part in line
    assert "NOT" not in line
    assert "NOT Omniglot" in synthetic_table.provenance(data="glyphs").line()


def test_the_line_says_which_values_are_not_the_profiles_own():
    values = json.loads(json.dumps(PROFILES["quick"].values()))
    as_it_is = replace(synthetic_table.provenance(), profile="quick", profile_values=values)
    assert "| profile quick |" in as_it_is.line()
    changed = {**values, "oml_outer_rate": 0.003, "rate_search_iterations": 0}
    line = replace(as_it_is, profile_values=changed).line()
    assert "| profile quick with oml_outer_rate 0.003, rate_search_iterations 0 |" in line


def test_provenance_now_fills_in_where_and_when():
    made = provenance_now(
        data_source="glyphs",
        data_fingerprint="0" * 16,
        profile="smoke",
        profile_values={"pln_channels": 16},
        seconds=3,
    )
    assert made.device == device_name("cpu")
    assert made.device.startswith("CPU, ")
    assert made.date.endswith("+00:00")


def test_the_commit_tells_changes_and_other_places(tmp_path):
    def git(*arguments):
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    package = tmp_path / "package"
    package.mkdir()
    (package / "a.py").write_text("1\n")
    assert git_commit(package) == "unknown"
    git("init", "-q")
    (tmp_path / "other.txt").write_text("x")
    git("add", "other.txt")
    git("commit", "-qm", "one")
    assert git_commit(package) == "unknown"  # in a repository, but not a part of it
    git("add", "package")
    git("commit", "-qm", "two")
    head = git("rev-parse", "HEAD")
    assert head.startswith(git_commit(package))
    (tmp_path / "other.txt").write_text("changed outside the package")
    assert "+changes" not in git_commit(package)
    (package / "b.py").write_text("2\n")
    assert git_commit(package) == f"{head[:12]}+changes"


def _put(root, folder, data="omniglot", profile="quick"):
    frame, provenance = (f(data, profile) for f in (synthetic_table.frame, _provenance))
    write_table(root / folder / "meta_test.parquet", frame, provenance)


def _provenance(data, profile):
    return synthetic_table.provenance(data, profile)


def test_the_recorded_table_is_found_before_the_readers_own(tmp_path):
    _put(tmp_path, "runs/quick-omniglot/results")
    assert not find_table("meta_test", "quick", "omniglot", root=tmp_path).recorded
    _put(tmp_path, "results/quick")
    assert find_table("meta_test", "quick", "omniglot", root=tmp_path).recorded


def test_a_damaged_run_of_the_readers_does_not_hide_a_recorded_table(tmp_path):
    _put(tmp_path, "results/quick")
    (tmp_path / "runs/quick-omniglot/results").mkdir(parents=True)
    (tmp_path / "runs/quick-omniglot/results/meta_test.parquet").write_text("half a tab")
    assert find_table("meta_test", "quick", "omniglot", root=tmp_path).recorded


def test_a_table_of_other_data_is_never_taken(tmp_path):
    _put(tmp_path, "results/quick", data="glyphs")
    with pytest.raises(AnmlError, match="data 'glyphs'; make it with `make results PROFILE=quick"):
        find_table("meta_test", "quick", "omniglot", root=tmp_path)
    with pytest.raises(AnmlError, match="holds profile 'quick'"):
        find_table("meta_test", "smoke", "glyphs", "results/quick", root=tmp_path)
    _put(tmp_path, "runs/quick-omniglot/results")
    found = find_table("meta_test", "quick", "omniglot", root=tmp_path)
    assert found.table.provenance.data_source == "omniglot"


def test_a_run_with_other_values_is_found_beside_the_profiles_own(tmp_path):
    assert find_beside("meta_test", "larger_rates", "quick", "omniglot", tmp_path) is None
    path = tmp_path / "results" / "quick_larger_rates" / "meta_test.parquet"
    write_table(path, synthetic_table.frame(), synthetic_table.provenance())
    found = find_beside("meta_test", "larger_rates", "quick", "omniglot", tmp_path)
    assert_frame_equal(found.frame, read_table(path).frame)
    assert find_beside("meta_test", "larger_rates", "quick", "glyphs", tmp_path) is None


def test_a_missing_table_names_the_command_that_makes_it(tmp_path):
    with pytest.raises(AnmlError, match="`make results PROFILE=laptop DATA=glyphs`"):
        find_table("meta_test", "laptop", "glyphs", root=tmp_path)


def test_a_table_that_a_profile_never_makes_names_the_profiles_that_do(tmp_path):
    with pytest.raises(AnmlError) as refused:
        find_table("training_rates", "laptop", "omniglot", root=tmp_path)
    assert str(refused.value).endswith(
        "a run of this profile makes none: choose one of 'smoke', 'quick', 'paper'"
    )
    with pytest.raises(AnmlError, match="`make results PROFILE=quick DATA=omniglot`"):
        find_table("training_rates", "quick", "omniglot", root=tmp_path)


def test_several_tables_come_from_one_folder_and_may_be_missing(tmp_path):
    own = tmp_path / "runs" / "quick-omniglot" / "results"
    source = synthetic_table.provenance()
    write_table(own / "meta_test.parquet", synthetic_table.frame(), source)
    names = ("knn", "meta_test")
    assert set(find_tables(names, "quick", "omniglot", root=tmp_path)) == {"meta_test"}
    recorded = tmp_path / "results" / "quick"
    write_table(recorded / "other.parquet", synthetic_table.frame(), source)
    found = find_tables(("meta_test", "other"), "quick", "omniglot", root=tmp_path)
    assert set(found) == {"other"}
    assert found["other"].recorded
    with pytest.raises(AnmlError, match="no knn table of profile 'laptop'"):
        find_tables(names, "laptop", "omniglot", root=tmp_path)
