"""The tables of a run: gathered from what its jobs have left, finished or not."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from refusal import refusal

from anml.drawings.packed import Drawings
from anml.profiles import Profile
from anml.results import device_name, read_table, running_commit
from anml.running import gather as gathering
from anml.running.evaluations import EvaluateJob, SearchJob
from anml.running.gather import learning_curve, write_tables
from anml.running.jobs import Place, TrainJob, write_part
from anml.running.pipeline import gather
from anml.running.plan import plan
from anml.running.points import Point
from anml.store.checkpoint import save_checkpoint
from anml.store.tables import LOG_METRICS


def test_a_learning_curve_is_means_over_stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "LOG_POINTS", 3)
    log = torch.arange(21.0, dtype=torch.float64).view(7, 3)
    rows = pd.DataFrame(learning_curve(TrainJob("anml", 4), log))
    assert set(rows["model_seed"]) == {4}
    assert set(rows["treatment"]) == {"anml"}
    one = rows[rows["metric"] == LOG_METRICS[1]]
    assert one["iteration"].tolist() == [3, 6, 7]
    assert one["value"].tolist() == [4.0, 13.0, 19.0]


def test_any_table_that_a_part_names_is_gathered(
    tiny: Profile, noise_drawings: Drawings, tmp_path: Path
) -> None:
    place = Place(tiny, tmp_path)
    first, second = (EvaluateJob(Point("ANML", n), 0) for n in (2, 3))
    write_part(first, place, {"odd": [{"x": 1}], "even": []}, 1.5)
    write_part(second, place, {"odd": [{"x": 3}, {"x": 5}]}, 2.0)
    part = json.loads(second.result(place).read_text())
    second.result(place).write_text(json.dumps(part | {"commit": "other", "made_on": "a GPU"}))
    folder = write_tables(place, noise_drawings, [first, second])
    assert {path.name for path in folder.iterdir()} == {"odd.parquet", "stages.parquet"}
    table = read_table(folder / "odd.parquet")
    assert table.frame["x"].tolist() == [1, 3, 5]
    assert set(table.frame["profile"]) == {"smoke"}
    assert set(table.frame["data"]) == {"omniglot"}
    assert table.provenance.seconds == 3.5
    assert set(table.provenance.commit.split("; ")) == {running_commit(), "other"}
    assert set(table.provenance.device.split("; ")) == {device_name(), "a GPU"}
    stages = read_table(folder / "stages.parquet").frame
    columns = ["stage", "group", "device", "jobs", "seconds"]
    group = ["meta-test", "meta-test.anml-sequential"]
    expected = [[*group, device_name(), 1, 1.5], [*group, "a GPU", 1, 2.0]]
    assert stages[columns].to_numpy().tolist() == expected


def test_a_recorded_model_in_a_run_has_no_learning_curve(
    tiny: Profile, noise_drawings: Drawings, tmp_path: Path
) -> None:
    """It was recorded without its log; what it took is counted all the same."""
    place, job = Place(tiny, tmp_path), TrainJob("anml", 0)
    header = {"seconds": 2.5, "commit": "c", "made_on": "d"}
    save_checkpoint(job.result(place), {"nm.gate.bias": torch.zeros(3)}, header)
    folder = write_tables(place, noise_drawings, [job])
    assert [path.name for path in folder.iterdir()] == ["stages.parquet"]
    assert read_table(folder / "stages.parquet").frame["seconds"].tolist() == [2.5]


def test_gathering_takes_what_is_there_and_says_what_is_not(
    tiny: Profile, noise_drawings: Drawings, tmp_path: Path
) -> None:
    place = Place(tiny, tmp_path / "run")
    assert "nothing that is finished" in refusal(lambda: gather(place, noise_drawings))
    assert not place.folder.exists()
    jobs = plan(tiny)
    (search,) = [job for job in jobs if isinstance(job, SearchJob)][:1]
    write_part(search, place, {"odd": [{"x": 1}]}, 1.0)
    folder, missing = gather(place, noise_drawings)
    assert missing == len(jobs) - 1
    assert read_table(folder / "odd.parquet").frame["x"].tolist() == [1]
    other = Place(replace(tiny, meta_iterations=9), place.folder)
    assert "other settings" in refusal(lambda: gather(other, noise_drawings))
