"""A whole run: its plan and its folder, what it leaves, what it does again."""

import errno
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from refusal import refusal

from anml.drawings.packed import Drawings
from anml.meta_testing.regimes import REGIMES
from anml.meta_train import Job, meta_train
from anml.profiles import Profile, find_profile
from anml.results import read_table
from anml.running import pipeline
from anml.running import plan as plan_module
from anml.running.disagreements import DisagreementJob
from anml.running.evaluations import EvaluateJob, SearchJob
from anml.running.groups import find_group
from anml.running.jobs import PART, Place, TrainJob
from anml.running.pipeline import claim, default_folder, run, run_group
from anml.running.plan import plan
from anml.running.points import Point
from anml.running.probe_jobs import ProbeJob
from anml.store import code_state as code_module
from anml.store.checkpoint import load_checkpoint, save_checkpoint
from anml.store.code_state import code_state, modules_state
from anml.store.tables import LOG_METRICS
from anml.treatments import TRAININGS, TREATMENTS, find_training

POINT = Point("ANML", 5)
TABLES = ("meta_test", "learning_rates", "class_accuracy", "meta_train_log")


# --- the plan


def test_the_plan_holds_every_kind_of_job_and_what_they_wait_for() -> None:
    profile = replace(find_profile("smoke"), model_seeds=2)
    jobs = plan(profile)
    kinds = {type(job) for job in jobs}
    assert {TrainJob, SearchJob, EvaluateJob, ProbeJob, DisagreementJob} <= kinds
    trained = {job.training for job in jobs if isinstance(job, TrainJob)}
    assert trained == set(TRAININGS) - {"scratch"}
    assert all(other in jobs for waits in jobs.values() for other in waits)
    costs = [job.weight() * job.steps(profile) for job in jobs]
    assert costs == sorted(costs, reverse=True)
    assert len({job.name for job in jobs}) == len(jobs)
    assert len({job.result(Place(profile, Path())) for job in jobs}) == len(jobs)


def test_part_of_a_plan_and_what_it_waits_for() -> None:
    profile = find_profile("smoke")
    jobs = plan(profile, ["meta-test oml-olft, SEQUENTIAL, 5 "])
    point = Point("OML-OLFT", 5)
    assert set(jobs) == {EvaluateJob(point, 0), SearchJob(point, 0), TrainJob("oml", 0)}
    both = plan(profile, ["meta-train oml, ", "meta-train anml, "])
    assert set(both) == {TrainJob("oml", 0), TrainJob("anml", 0)}
    message = refusal(lambda: plan(profile, ["nonsense"]))
    assert "'nonsense'" in message
    assert "meta-t" in message


@pytest.mark.parametrize("name", ["smoke", "laptop"])
@pytest.mark.parametrize("optimizers", ["adam", "sgd", "adam,sgd"])
@pytest.mark.parametrize("more", [{}, {"drawings_split": "first", "models": "0", "n_classes": 7}])
def test_every_search_waits_for_the_model_that_it_tries_rates_on(
    name: str, optimizers: str, more: dict[str, object]
) -> None:
    """Those too that no evaluation reads: questions about classes are asked with Adam alone."""
    profile = find_profile(name, {"optimizers": optimizers, **more})
    jobs = plan(profile)
    searches = [job for job in jobs if isinstance(job, SearchJob)]
    assert {job.point.optimizer for job in searches} == {"adam", *optimizers.split(",")}
    for job in searches:
        training = TREATMENTS[job.point.treatment].training
        model = TrainJob(training, job.search % profile.model_seeds)
        assert jobs[job] == ([] if training == "scratch" else [model])


def test_a_job_that_no_planner_plans_is_refused_unless_it_is_a_meta_training(monkeypatch) -> None:
    profile, (test, search) = find_profile("smoke"), (EvaluateJob(POINT, 0), SearchJob(POINT, 0))
    waits = [TrainJob("anml", 0), search]
    monkeypatch.setattr(plan_module, "PLANNERS", [lambda _: {test: waits}])
    with pytest.raises(ValueError, match=re.escape(search.name)):
        plan(profile)
    waits.remove(search)
    assert plan(profile) == {test: waits, waits[0]: []}


# --- the folder


def test_default_folders() -> None:
    smoke = find_profile("smoke")
    assert default_folder(smoke, "glyphs", {}) == Path("runs/smoke-glyphs")
    marked = {
        default_folder(find_profile("smoke", one), "glyphs", one)
        for one in ({"meta_iterations": 5}, {"meta_iterations": 6})
    }
    assert len(marked) == 2
    assert all(re.fullmatch("smoke-glyphs-[0-9a-f]{8}", path.name) for path in marked)


def test_a_marked_folder_stays_the_runs_own_when_the_profile_says_or_has_something_else() -> None:
    text, typed = {"meta_iterations": "1_000", "models": "0"}, {"models": (0,)}
    profile = find_profile("smoke", text)
    folder = default_folder(profile, "glyphs", text)
    later = replace(profile, summary="in other words", nm_channels=17)
    assert default_folder(later, "glyphs", typed | {"meta_iterations": 1000}) == folder
    assert default_folder(profile, "glyphs", typed) != folder


def test_a_folder_belongs_to_one_run(tiny: Profile, noise_drawings: Drawings, tmp_path) -> None:
    claim(Place(tiny, tmp_path), noise_drawings)
    claim(Place(replace(tiny, summary="in other words"), tmp_path), noise_drawings)
    other = replace(tiny, meta_iterations=9)
    assert "--out" in refusal(lambda: claim(Place(other, tmp_path), noise_drawings))
    drawings = replace(noise_drawings, fingerprint="f" * 16)
    assert "--out" in refusal(lambda: claim(Place(tiny, tmp_path), drawings))


def test_a_folder_of_another_versions_profiles_is_taken_for_their_defaults(
    tiny: Profile, noise_drawings: Drawings, tmp_path: Path
) -> None:
    claim(Place(tiny, tmp_path), noise_drawings)
    mark = tmp_path / "run.json"
    settings = json.loads(mark.read_text())
    del settings["profile"]["models"]
    settings["profile"]["no_longer"] = "a value"
    mark.write_text(json.dumps(settings))
    claim(Place(tiny, tmp_path), noise_drawings)
    some = replace(tiny, models=(0,))
    assert "--out" in refusal(lambda: claim(Place(some, tmp_path), noise_drawings))
    mark.write_text("{}")
    assert "--out" in refusal(lambda: claim(Place(tiny, tmp_path), noise_drawings))


def test_a_damaged_mark_and_an_unwritable_folder_are_one_line(
    tiny: Profile, noise_drawings: Drawings, tmp_path: Path
) -> None:
    for text in ('{"profile": ', "[]", '{"profile": [1]}'):
        (tmp_path / "run.json").write_text(text)
        assert "damaged" in refusal(lambda: claim(Place(tiny, tmp_path), noise_drawings))
    (tmp_path / "run.json").write_text('{"profile": {"name": []}}')
    assert "other settings" in refusal(lambda: claim(Place(tiny, tmp_path), noise_drawings))
    place = Place(tiny, tmp_path / "run.json" / "x")
    assert "cannot write" in refusal(lambda: claim(place, noise_drawings))


def test_a_full_disk_is_one_line_and_leaves_the_folder_to_nobody(
    tiny: Profile, noise_drawings: Drawings, tmp_path: Path, monkeypatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        message = refusal(lambda: claim(Place(tiny, tmp_path), noise_drawings))
    assert message.startswith(f"cannot write {tmp_path / 'run.json'}: No space left on device")
    claim(Place(replace(tiny, meta_iterations=9), tmp_path), noise_drawings)


def test_of_two_runs_that_claim_a_folder_at_once_one_is_refused(
    tiny: Profile, noise_drawings: Drawings, tmp_path: Path, monkeypatch
) -> None:
    other, refused = Place(replace(tiny, meta_iterations=9), tmp_path), []

    def claim_other() -> None:
        refused.append(refusal(lambda: claim(other, noise_drawings)))

    second = threading.Thread(target=claim_other)
    real = pipeline.replacing

    @contextmanager
    def replacing_while_another_comes(path: Path) -> Iterator[Path]:
        with real(path) as temporary:
            if not second.ident:
                second.start()
                second.join(0.5)  # it has to wait; if it did not, it would be through by then
            yield temporary

    monkeypatch.setattr(pipeline, "replacing", replacing_while_another_comes)
    claim(Place(tiny, tmp_path), noise_drawings)
    second.join()
    assert [("other settings" in message) for message in refused] == [True]
    claim(Place(tiny, tmp_path), noise_drawings)


def test_a_meta_training_of_several_seeds_is_not_begun_anew_one_by_one(
    tiny: Profile, noise_drawings: Drawings, packed_noise: Path, tmp_path: Path
) -> None:
    shared = tmp_path / "checkpoints" / "anml-first-order-seeds0_1.resume.safetensors"
    shared.parent.mkdir()
    shared.touch()
    args = (tiny, noise_drawings, str(packed_noise), tmp_path)
    text = refusal(lambda: run(*args, only=["first-order, seed 0"]))
    assert "`anml meta-train anml-first-order --seeds 0,1 --resume --out " in text


def test_what_other_code_began_of_several_seeds_is_set_aside(
    tiny: Profile, noise_drawings: Drawings, packed_noise: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "checkpoints"
    job = Job(find_training("anml-first-order"), tiny, noise_drawings, (0, 1), folder)
    for path in meta_train(job, progress=False):
        path.unlink()
    tensors, header = load_checkpoint(job.resume_path)
    save_checkpoint(job.resume_path, tensors, header | {"code": "of another day"})
    run(tiny, noise_drawings, str(packed_noise), tmp_path, only=["first-order, seed 0"], workers=1)
    assert job.model_path(0).is_file()
    assert [path.name for path in (tmp_path / "stale").rglob("*.*s")] == [job.resume_path.name]


def test_a_run_clears_what_killed_ones_left_half_written(
    tiny: Profile, noise_drawings: Drawings, packed_noise: Path, tmp_path: Path, monkeypatch
) -> None:
    left = tmp_path / "checkpoints" / ".anml-seed0.0123abcd.safetensors"
    mine = tmp_path / "checkpoints" / ".keep.safetensors"
    left.parent.mkdir()
    left.touch()
    mine.touch()
    monkeypatch.setattr("anml.running.pipeline.run_jobs", lambda *a: None)
    args = (tiny, noise_drawings, str(packed_noise), tmp_path)
    assert "nothing that is finished" in refusal(lambda: run(*args))
    assert not left.exists()
    assert mine.exists()


@pytest.mark.parametrize("how", ["run", "group"])
def test_code_that_is_edited_during_a_run_leaves_its_results_to_it(
    how: str, tiny: Profile, noise_drawings: Drawings, tmp_path: Path, monkeypatch
) -> None:
    """Its workers imported the tree as it was at the beginning."""
    place, job = Place(tiny, tmp_path), EvaluateJob(Point("Scratch", 2), 0)
    state, real = code_state(job.code, *job.rows), code_module.bare_source

    def work_while_somebody_edits(*_: object) -> None:
        part = dict.fromkeys(PART, "unknown") | {"tables": {}, "seconds": 1.0, "code": state}
        job.result(place).parent.mkdir()
        job.result(place).write_text(json.dumps(part))
        monkeypatch.setattr(code_module, "bare_source", lambda path: f"{real(path)} edited")

    monkeypatch.setattr("anml.running.pipeline.run_jobs", work_while_somebody_edits)
    modules_state.cache_clear()
    try:
        if how == "run":
            assert run(tiny, noise_drawings, "", tmp_path)[1] == len(plan(tiny)) - 1
        else:
            run_group(place, noise_drawings, "", find_group(tiny, "meta-test.scratch-sequential"))
        assert code_state(job.code, *job.rows) == state
    finally:
        modules_state.cache_clear()


# --- a whole run


@pytest.mark.slow
def test_a_whole_run_and_doing_only_what_is_missing(
    tiny: Profile, noise_drawings: Drawings, packed_noise: Path, tmp_path: Path
) -> None:
    """Every treatment from drawings to tables; then with parts of it gone."""

    def everything() -> tuple[Path, int]:
        return run(tiny, noise_drawings, str(packed_noise), tmp_path, workers=2)

    results, missing = everything()
    assert (results, missing) == (tmp_path / "results", 0)
    assert {path.stem for path in results.iterdir()} >= set(TABLES)
    tables = {name: read_table(results / f"{name}.parquet") for name in TABLES}
    for table in tables.values():
        source = table.provenance
        assert source.profile == "smoke"
        assert source.data_source == "omniglot"
        assert source.data_fingerprint == noise_drawings.fingerprint
        assert source.profile_values == tiny.values()
        assert source.seconds > 0
        assert set(table.frame["profile"]) == {"smoke"}
    tested = tables["meta_test"].frame
    # Four treatments at two N with two trajectories, six at one with one; 20 epochs once each.
    assert len(tested) == 2 * (2 * (4 * 2 * 2 + 6) + 10)
    points = tested[["treatment", "regime"]].drop_duplicates()
    assert len(points) == len(TREATMENTS) * len(REGIMES)
    searched = tables["learning_rates"].frame
    assert len(searched) == 2 * (4 * 2 + 6)
    rates = tested.groupby(["treatment", "regime", "n_classes"])["learning_rate"].nunique()
    assert set(rates) == {1}
    assert set(tested["learning_rate"]) <= set(tiny.learning_rates)
    assert len(tables["class_accuracy"].frame) == 4 * 2 * 3
    log = tables["meta_train_log"].frame
    assert set(log["treatment"]) == set(TRAININGS) - {"scratch"}
    assert set(log["metric"]) == set(LOG_METRICS)
    assert log["iteration"].max() == 8

    place = Place(tiny, tmp_path)
    files = {job.result(place) for job in plan(tiny)}
    assert all(path.is_file() for path in files)
    gone = {TrainJob("oml", 0).result(place), EvaluateJob(Point("ANML", 3), 0).result(place)}
    before = {path: path.stat().st_mtime_ns for path in files}
    model = load_checkpoint(TrainJob("oml", 0).result(place))[0]
    for path in gone:
        path.unlink()
    everything()
    assert {path for path in files if path.stat().st_mtime_ns != before[path]} == gone
    again = load_checkpoint(TrainJob("oml", 0).result(place))[0]
    assert all(torch.equal(tensor, model[name]) for name, tensor in again.items())
    pd.testing.assert_frame_equal(read_table(results / "meta_test.parquet").frame, tested)

    other = replace(tiny, meta_iterations=9)
    refusal(lambda: run(other, noise_drawings, str(packed_noise), tmp_path))
