"""Recorded results that grow: another run's rows and models added, and what is refused."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import synthetic_lengths as synthetic
import torch
from refusal import refusal

from anml import cli
from anml.checkpoint import load_checkpoint
from anml.combine import combine, finish
from anml.data import Drawings
from anml.gather import write_tables
from anml.jobs import Place, TrainJob
from anml.lengths import LengthJob
from anml.probe_jobs import ProbeJob
from anml.profiles import PROFILES, Profile
from anml.record import record
from anml.results import Table, read_table, write_table
from anml.tables import checked
from anml.verify import verify


def of_model(table: Table, seed: int) -> Table:
    """The rows of one model of a made-up table, as another commit made them."""
    frame = table.frame[table.frame["model_seed"] == seed]
    made = {"commit": f"{seed}" * 12, "device": f"CPU {seed}", "seconds": 100.0 + seed}
    return Table(frame, replace(table.provenance, **made))


@pytest.fixture
def two_models() -> Table:
    return synthetic.accuracy(models=2)


def test_rows_of_both_runs_come_out_with_both_origins(two_models: Table) -> None:
    both = combine("lengths", of_model(two_models, 0), of_model(two_models, 1))
    assert checked("lengths", both.frame).equals(checked("lengths", two_models.frame))
    source = both.provenance
    assert source.commit == f"{'0' * 12}; {'1' * 12}"
    assert source.device == "CPU 0; CPU 1"
    assert source.seconds == 201.0


def test_the_same_observation_twice_is_refused(two_models: Table) -> None:
    message = refusal(lambda: combine("lengths", two_models, of_model(two_models, 1)))
    rows = len(two_models.frame) // 2
    assert message.startswith(f"lengths: {rows} of the run's {rows} rows are recorded already")
    assert "without --add" in message


def test_a_table_without_keys_is_compared_by_everything_but_its_values() -> None:
    table = synthetic.rates()
    moved = Table(table.frame.assign(value=table.frame["value"] / 2), table.provenance)
    assert "recorded already" in refusal(lambda: combine("length_rates", table, moved))
    other = Table(table.frame.assign(model_seed=1), table.provenance)
    assert len(combine("length_rates", table, other).frame) == 2 * len(table.frame)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"data_fingerprint": "0" * 16}, "drawings"),
        ({"profile": "quick"}, "profile"),
        ({"package_version": "9"}, "version"),
        ({"profile_values": {"anml_inner_rate": 0.3}}, "'anml_inner_rate'"),
    ],
)
def test_what_does_not_belong_together_is_refused(
    change: dict[str, object], said: str, two_models: Table
) -> None:
    standing, new = of_model(two_models, 0), of_model(two_models, 1)
    values = PROFILES["laptop"].settings()
    standing = replace(standing, provenance=replace(standing.provenance, profile_values=values))
    other = {"profile_values": values, **change}
    if "profile_values" in change:
        other["profile_values"] = values | change["profile_values"]
    new = replace(new, provenance=replace(new.provenance, **other))
    message = refusal(lambda: combine("lengths", standing, new))
    assert said in message
    assert "--to" in message


def test_how_much_was_measured_may_differ_and_becomes_what_either_has(two_models: Table) -> None:
    standing, new = (
        replace(table, provenance=replace(table.provenance, profile_values=values))
        for table, values in (
            (of_model(two_models, 0), {"length_models": 1, "length_iterations": [1000, 4000]}),
            (of_model(two_models, 1), {"length_models": 2, "length_iterations": [1000, 2000]}),
        )
    )
    values = combine("lengths", standing, new).provenance.profile_values
    assert values == {"length_models": 2, "length_iterations": [1000, 2000, 4000]}


def test_totals_are_summed_and_the_later_state_of_what_is_under_way_stays() -> None:
    provenance = synthetic.accuracy().provenance
    rows = {"profile": "laptop", "data": "omniglot", "stage": "lengths", "device": "CPU"}
    hours = [
        pd.DataFrame([{**rows, "group": group, "jobs": jobs, "seconds": seconds}])
        for group, jobs, seconds in (("a", 2, 10.0), ("a", 1, 5.0), ("b", 1, 1.0))
    ]
    standing, new = hours[0], pd.concat(hours[1:])
    both = combine("stages", Table(standing, provenance), Table(new, provenance)).frame
    assert checked("stages", both)[["group", "jobs", "seconds"]].values.tolist() == [
        ["a", 3, 15.0],
        ["b", 1, 1.0],
    ]
    rows |= {"treatment": "anml", "metric": "meta-loss", "asked": 9, "value": 1.0}
    rows.pop("stage")
    states = {
        (seed, done): {**rows, "model_seed": seed, "done": done, "iteration": done, "seconds": done}
        for seed, done in ((0, 3), (0, 5), (1, 4))
    }
    before = pd.DataFrame([states[0, 3], states[1, 4]])
    after = pd.DataFrame([states[0, 5]])
    both = combine("unfinished_log", Table(before, provenance), Table(after, provenance))
    frame = both.frame
    assert sorted(zip(frame["model_seed"], frame["done"], strict=True)) == [(0, 5), (1, 4)]
    assert both.provenance.seconds == 5 + 4  # not the 3 of the earlier state again


def curve(seed: int, iterations: list[int], asked: int = 12, **columns: object) -> pd.DataFrame:
    """The rows of a log: one metric of one meta-training at `iterations`."""
    rows = {"profile": "laptop", "data": "omniglot", "treatment": "anml", "model_seed": seed}
    own = {"iteration": iterations, "metric": "meta-loss", "value": 1.0}
    return pd.DataFrame({**own, **rows, "asked": asked, **columns})


def test_a_curve_that_begins_on_its_way_keeps_what_was_recorded_before() -> None:
    provenance = synthetic.accuracy().provenance
    made = {"seconds": 3.0, "device": "CPU"}
    before = Table(curve(0, [2, 4, 6], done=6, **made), provenance)
    after = Table(curve(0, [8, 12], done=12, **made | {"seconds": 7.0}), provenance)
    both = combine("unfinished_log", before, after)
    assert sorted(both.frame["iteration"]) == [2, 4, 8, 12]
    assert set(both.frame["done"]) == {12}
    assert both.provenance.seconds == 7.0
    whole = Table(curve(0, [4, 8, 12], done=12, **made), provenance)
    assert sorted(combine("unfinished_log", before, whole).frame["iteration"]) == [4, 8, 12]


def test_a_finished_meta_training_is_under_way_no_longer() -> None:
    provenance = synthetic.accuracy().provenance
    made = {"device": "CPU", "done": 6}
    begun = [curve(seed, [2, 4, 6], **made, seconds=3.0 + seed) for seed in (0, 1)]
    log = Table(curve(1, [8, 12]).drop(columns="asked"), replace(provenance, seconds=9.0))
    left, whole = finish(Table(pd.concat(begun), provenance), log)
    assert set(left.frame["model_seed"]) == {0}
    assert left.provenance.seconds == 3.0
    assert sorted(whole.frame["iteration"]) == [2, 4, 8, 12]
    assert list(whole.frame) == list(log.frame)
    assert whole.provenance.seconds == 9.0
    left, _ = finish(Table(begun[1], provenance), log)
    assert left is None


@pytest.mark.parametrize(
    ("standing", "new", "expected"),
    [([1], [0], [0, 1]), ([], [1], []), ([1], [], []), (None, [1], [])],
)
def test_the_models_of_runs_that_are_added(
    standing: list[int] | None, new: list[int], expected: list[int]
) -> None:
    """None named are all of them, as in tables from before a run could name some."""
    tables = []
    for seed, models in enumerate((standing, new)):
        table = synthetic.accuracy()
        values = dict(table.provenance.profile_values) | {"models": models}
        if models is None:
            del values["models"]
        provenance = replace(table.provenance, profile_values=values)
        tables.append(Table(table.frame.assign(model_seed=seed), provenance))
    both = combine("meta_test", *(Table(t.frame.iloc[:4], t.provenance) for t in tables))
    assert both.provenance.profile_values["models"] == expected


# --- whole runs


@pytest.fixture
def runs(tiny: Profile, noise_drawings: Drawings, tmp_path: Path) -> dict[int, Place]:
    """Two runs of a profile, each with lengths of a model of its own."""
    profile = replace(tiny, length_models=2, model_seeds=2)
    found = {}
    for seed in (0, 1):
        place = Place(profile, tmp_path / f"run{seed}")
        jobs = [LengthJob(seed, 4, 0), LengthJob(seed, 12, 4)]
        for job in jobs:
            job.run(place, noise_drawings, lambda n: None)
        write_tables(place, noise_drawings, jobs)
        found[seed] = place
    return found


def of_length(iterations: int, run: Place, drawings: Drawings, folder: Path) -> Place:
    """A run beside `run` that measures its model 0 after so many meta-iterations."""
    profile = replace(run.profile, length_iterations=(iterations,))
    place = replace(run, profile=profile, folder=folder / f"length{iterations}")
    job = LengthJob(0, iterations, 0)
    job.run(place, drawings, lambda n: None)
    write_tables(place, drawings, [job])
    return place


def recorded_files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_second_run_is_added_with_the_furthest_model_of_each(
    runs: dict[int, Place], noise_drawings: Drawings, tmp_path: Path
) -> None:
    folder = tmp_path / "results" / "smoke"
    record(runs[0], folder)
    record(runs[1], folder, add=True, half=True)
    models = [f"lengths/12/checkpoints/anml-seed{seed}.safetensors" for seed in (0, 1)]
    names = ("lengths", "length_rates", "length_activity", "stages")
    assert recorded_files(folder) == {*models, *(f"{name}.parquet" for name in names)}
    assert set(read_table(folder / "lengths.parquet").frame["model_seed"]) == {0, 1}
    kinds = [
        {tensor.dtype for tensor in load_checkpoint(folder / model)[0].values()} for model in models
    ]
    assert kinds == [{torch.float32}, {torch.float16}]
    table = read_table(folder / "lengths.parquet")
    told: list[str] = []
    checks = verify(table, folder, noise_drawings, sample=100, longest=3, tell=told.append)
    assert {check.what.rpartition("after ")[2] for check in checks} == {"12 meta-iterations"}
    assert all(check.agrees for check in checks)
    assert any("model 1" in check.what for check in checks)
    assert "left out" in told[0]


def test_nothing_is_written_when_what_is_to_be_added_stands_there(
    runs: dict[int, Place], tmp_path: Path
) -> None:
    folder = tmp_path / "results" / "smoke"
    record(runs[0], folder)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    message = refusal(lambda: record(runs[0], folder, add=True))
    assert "--without-models" in message
    message = refusal(lambda: record(runs[0], folder, add=True, models=False))
    assert "recorded already" in message
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_further_state_of_a_model_takes_the_place_of_a_shorter_one(
    runs: dict[int, Place], noise_drawings: Drawings, tmp_path: Path
) -> None:
    folder = tmp_path / "results" / "smoke"
    for place in runs.values():
        record(place, folder, add=True)
    record(of_length(20, runs[0], noise_drawings, tmp_path), folder, add=True)
    models = {name for name in recorded_files(folder) if "checkpoints" in name}
    assert models == {
        "lengths/20/checkpoints/anml-seed0.safetensors",
        "lengths/12/checkpoints/anml-seed1.safetensors",
    }
    frame = read_table(folder / "lengths.parquet").frame
    assert set(frame.loc[frame["model_seed"] == 0, "iterations"]) == {4, 12, 20}


def test_a_recorded_model_may_be_measured_further_by_another_run(
    tiny: Profile, noise_drawings: Drawings, tmp_path: Path
) -> None:
    """Its curve and the time of its meta-training stay recorded once; another model is refused."""
    folder, trained = tmp_path / "results" / "smoke", TrainJob("anml", 0)
    profile = replace(tiny, probed=("anml",))
    first, second = Place(profile, tmp_path / "first"), Place(profile, tmp_path / "second")
    trained.run(first, noise_drawings, lambda n: None)
    write_tables(first, noise_drawings, [trained])
    record(first, folder)
    again = trained.result(second)
    again.parent.mkdir(parents=True)
    again.write_bytes(trained.result(first).read_bytes())
    ProbeJob(0).run(second, noise_drawings, lambda n: None)
    write_tables(second, noise_drawings, [trained, ProbeJob(0)])
    before = read_table(folder / "meta_train_log.parquet")
    record(second, folder, add=True, models=False)
    after = read_table(folder / "meta_train_log.parquet")
    pd.testing.assert_frame_equal(after.frame, before.frame)
    assert after.provenance == before.provenance
    stages = read_table(folder / "stages.parquet")
    assert sorted(stages.frame["group"]) == ["meta-train.anml-seed0", "probe.seed0"]
    assert stages.frame["jobs"].tolist() == [1, 1]
    assert stages.provenance.seconds == pytest.approx(stages.frame["seconds"].sum())
    assert (folder / "knn.parquet").is_file()

    other = Place(replace(profile, anml_outer_rate=2e-3), tmp_path / "other")
    trained.run(other, noise_drawings, lambda n: None)
    write_tables(replace(other, profile=profile), noise_drawings, [trained])
    message = refusal(lambda: record(replace(other, profile=profile), folder, add=True))
    assert "another model" in refusal(
        lambda: record(replace(other, profile=profile), folder, add=True, models=False)
    )
    assert "--without-models" in message


def test_a_shorter_state_is_not_kept_beside_a_further_one(
    runs: dict[int, Place], noise_drawings: Drawings, tmp_path: Path
) -> None:
    """Its rows are added all the same."""
    folder = tmp_path / "results" / "smoke"
    record(runs[0], folder)
    record(of_length(2, runs[0], noise_drawings, tmp_path), folder, add=True)
    models = {name for name in recorded_files(folder) if "checkpoints" in name}
    assert models == {"lengths/12/checkpoints/anml-seed0.safetensors"}
    assert set(read_table(folder / "lengths.parquet").frame["iterations"]) == {2, 4, 12}


def test_a_model_of_the_profiles_own_length_is_recorded_once(
    runs: dict[int, Place], noise_drawings: Drawings, tmp_path: Path
) -> None:
    folder = tmp_path / "results" / "smoke"
    record(runs[0], folder)
    longer = replace(runs[0].profile, meta_iterations=20, length_iterations=(4, 12, 20))
    own = replace(runs[0], profile=longer)
    jobs = [TrainJob("anml", 0), LengthJob(0, 20, 12)]
    for job in jobs:
        job.run(own, noise_drawings, lambda n: None)
    write_tables(own, noise_drawings, jobs)
    record(own, folder)
    models = {name for name in recorded_files(folder) if "checkpoints" in name}
    assert models == {"checkpoints/anml-seed0.safetensors"}


def test_a_run_takes_the_place_of_what_stands_there_unless_it_is_added(
    runs: dict[int, Place], tmp_path: Path
) -> None:
    folder = tmp_path / "results" / "smoke"
    record(runs[0], folder)
    record(runs[1], folder)
    assert "lengths/12/checkpoints/anml-seed0.safetensors" not in recorded_files(folder)
    assert set(read_table(folder / "lengths.parquet").frame["model_seed"]) == {1}


def test_the_command_adds_more_models_to_a_profile_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
    packed_noise: Path,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setattr("anml.notebook.repository_root", lambda: tmp_path)
    run, usual = tmp_path / "run", tmp_path / "results" / "laptop"
    own = synthetic.accuracy()
    write_table(usual / "lengths.parquet", own.frame, own.provenance)
    other = of_model(synthetic.accuracy(models=2), 1)
    write_table(run / "results" / "lengths.parquet", other.frame, other.provenance)
    command = ["results", "record", "--profile", "laptop", "--data", str(packed_noise)]
    command += ["--out", str(run), "--set", "length_models=2"]
    assert cli.main(command) == 2
    assert "--to" in capsys.readouterr().err
    assert cli.main([*command, "--set", "anml_inner_rate=0.3", "--add"]) == 2
    assert cli.main([*command, "--add"]) == 0
    assert set(read_table(usual / "lengths.parquet").frame["model_seed"]) == {0, 1}
