"""What a run will take: time from a few steps, room on the disk from sizes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from refusal import refusal

from anml import cli
from anml.drawings.packed import Drawings
from anml.meta_train import Job, meta_train
from anml.profiles import Profile
from anml.running import disk, jobs, side_by_side, staleness
from anml.running import estimate as estimate_module
from anml.running.disk import bytes_to_write, require_space
from anml.running.estimate import estimate
from anml.running.groups import groups
from anml.running.jobs import Place, TrainJob
from anml.running.lengths import LengthJob
from anml.running.plan import plan
from anml.running.rate_search import plan_rate_search
from anml.treatments import find_training


def test_every_kind_of_job_is_counted_and_timed(
    tiny: Profile, noise_drawings: Drawings, tmp_path: Path
) -> None:
    place = Place(tiny, tmp_path)
    jobs = plan(tiny)
    found = estimate(place, noise_drawings, jobs)
    assert sum(one.jobs for one in found) == len(jobs)
    stages = {"meta-train", "meta-test", "probe", "paper-versus-code", "lengths", "head"}
    assert {one.stage for one in found} == stages
    assert {one.group for one in found} == set(groups(tiny))
    assert all(one.seconds > 0 and one.finished == 0 for one in found)
    TrainJob("oml", 0).run(place, noise_drawings, lambda n: None)
    (after,) = estimate(place, noise_drawings, {TrainJob("oml", 0): []})
    assert (after.group, after.finished) == ("meta-train.oml-seed0", 1)
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoints"}


def test_seeds_that_run_side_by_side_are_timed_so(
    tiny: Profile, noise_drawings: Drawings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, for which a CPU stands in: each has its part of what all of them take."""
    monkeypatch.setattr(side_by_side, "on_gpu", lambda device: True)
    timed: list[tuple[int, ...]] = []
    clock = iter(range(0, 10_000, 6))

    def at_once(job: Job, *, progress: bool, on_step: Callable[[int, int], None]) -> None:
        timed.append(job.seeds)
        for done in range(job.iterations):
            on_step(done + 1, job.iterations)

    monkeypatch.setattr(estimate_module, "meta_train", at_once)
    monkeypatch.setattr(estimate_module, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    seeds, place = (0, 2, 5), Place(tiny, tmp_path)
    asked = {TrainJob("oml", seed): [] for seed in seeds}
    found = estimate(place, noise_drawings, asked)
    assert timed == [seeds]
    assert [one.seconds for one in found] == [2 * tiny.meta_iterations] * 3


def test_what_seeds_have_begun_side_by_side_is_not_counted(
    tiny: Profile, noise_drawings: Drawings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(side_by_side, "on_gpu", lambda device: True)
    monkeypatch.setattr(estimate_module, "step_timer", lambda *_: lambda job: 1.0)
    half = replace(tiny, meta_iterations=tiny.meta_iterations // 2)
    job = Job(find_training("oml"), half, noise_drawings, (0, 2), tmp_path / "checkpoints")
    for path in meta_train(job, progress=False):
        path.unlink()
    asked = {TrainJob("oml", seed): [] for seed in (0, 1, 2)}
    found = {
        one.group: one.seconds for one in estimate(Place(tiny, tmp_path), noise_drawings, asked)
    }
    left = tiny.meta_iterations - half.meta_iterations
    assert list(found.values()) == [left, tiny.meta_iterations, left]


def test_what_other_code_made_is_left_to_do_unless_it_is_kept(
    tiny: Profile, noise_drawings: Drawings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, asked = Place(tiny, tmp_path), {TrainJob("oml", 0): []}
    TrainJob("oml", 0).run(place, noise_drawings, lambda n: None)
    for module in (staleness, jobs):  # that ask by which code a result and a beginning were made
        monkeypatch.setattr(module, "code_state", lambda *made: "other code")
    stale = staleness.stale_jobs(place, asked, asked)
    (again,) = estimate(place, noise_drawings, asked, stale)
    assert (again.finished, again.seconds > 0) == (0, True)
    (kept,) = estimate(replace(place, keep=True), noise_drawings, asked)
    assert (kept.finished, kept.seconds) == (1, 0.0)


def test_room_is_for_what_is_not_there_yet(
    tiny: Profile, noise_drawings: Drawings, tmp_path: Path
) -> None:
    place, job = Place(tiny, tmp_path), TrainJob("oml", 0)
    before = bytes_to_write(place, {job: []})
    job.run(place, noise_drawings, lambda n: None)
    written = sum(path.stat().st_size for path in (tmp_path / "checkpoints").iterdir())
    assert written < before < 3 * written
    assert bytes_to_write(place, {job: []}) == 0


def test_a_search_of_rates_needs_the_room_of_its_models(tiny: Profile, tmp_path: Path) -> None:
    place = Place(replace(tiny, rate_search_iterations=7), tmp_path)
    jobs = plan_rate_search(place.profile)
    one = bytes_to_write(place, {TrainJob("oml", 0): []})
    assert bytes_to_write(place, jobs) > len(jobs) * one / 2


def test_a_length_of_meta_training_needs_the_room_of_a_model(tiny: Profile, tmp_path: Path) -> None:
    place = Place(tiny, tmp_path)
    as_long = replace(place, profile=replace(tiny, meta_iterations=12))
    needed = bytes_to_write(place, {LengthJob(0, 12, 4): []})
    assert needed == bytes_to_write(as_long, {TrainJob("anml", 0): []})
    assert needed > bytes_to_write(place, {TrainJob("anml", 0): []})


def test_a_disk_that_is_too_full_is_told_before_the_work(
    tiny: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tiny, tmp_path / "not there yet" / "run")
    require_space(place, plan(tiny))
    monkeypatch.setattr(disk, "free_bytes", lambda folder: 1000)
    message = refusal(lambda: require_space(place, plan(tiny)))
    assert "0.0 GB free and the run needs 0.2 GB" in message
    assert "--out" in message


def test_the_command(
    packed_noise: Path,
    tiny: Profile,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = tiny.values()
    options = ["--data", str(packed_noise), "--out", str(tmp_path / "run"), "--workers", "2"]
    options += ["--csv", str(tmp_path / "plan.csv")]
    for name in ("pln_channels", "nm_channels", "oml_channels", "oml_hidden", "meta_iterations"):
        options += ["--set", f"{name}={values[name]}"]
    assert cli.main(["plan", *options]) == 0
    out = capsys.readouterr().out
    assert "with 2 processes here" in out
    assert "GB free" in out
    assert "meta-train" in out
    assert not (tmp_path / "run").exists()
    table = pd.read_csv(tmp_path / "plan.csv")
    assert list(table.columns) == ["stage", "group", "jobs", "finished", "seconds"]
    assert (table["seconds"] >= 0).all()
    monkeypatch.setattr("anml.running.estimate.estimate", lambda *a: pytest.fail("too early"))
    assert cli.main(["plan", *options, "--csv", str(tmp_path)]) == 2
    assert f"{tmp_path} is a folder: choose a file with --csv" in capsys.readouterr().err
