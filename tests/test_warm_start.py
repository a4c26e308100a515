"""Meta-training that goes on from recorded models: what changes first, what is said, refusals."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from refusal import refusal
from training_runs import DISTINCT, recorded_models

from anml.data import Drawings
from anml.meta_train import initial_state, meta_train
from anml.meta_training.training_job import Job
from anml.meta_training.warm_start import warm_start
from anml.profiles import Profile
from anml.recording.record import record
from anml.recording.verify import verify
from anml.results import read_table
from anml.running.gather import learning_curve, write_tables
from anml.running.jobs import Place, TrainJob
from anml.running.lengths import LengthJob
from anml.running.pipeline import gather
from anml.store.checkpoint import load_checkpoint, read_header, save_checkpoint
from anml.store.tables import LOG_METRICS
from anml.treatments import find_training

HEAD = "head."


def longer(
    job: Callable[..., Job], tmp_path: Path, training: str = "anml", **options: object
) -> Job:
    """A job of 12 meta-iterations, four more than others have."""
    lengths = {"meta_iterations": 12, "pretrain_iterations": 12}
    return job(training, **lengths, folder=tmp_path / "longer", **options)


@pytest.mark.parametrize("training", DISTINCT)
def test_only_the_head_has_changed_when_it_goes_on(
    training: str, job: Callable[..., Job], tmp_path: Path
) -> None:
    folder = recorded_models(job(training), tmp_path / "recorded")
    one = longer(job, tmp_path, training)
    warm_start(one, folder, settling=5, progress=False)
    recorded, _ = load_checkpoint(folder / one.model_path(0).name)
    working, header = load_checkpoint(one.resume_path)
    fresh = {name: t[0] for name, t in initial_state(one).items() if name.startswith(HEAD)}
    assert header["iteration"] == 8
    assert working["step"] == 5
    for name, tensor in recorded.items():
        assert torch.equal(working[f"weights/{name}"][0], tensor), name
    moments = [working[f"exp_avg_sq/{name}"].any() for name in recorded if "weight" in name]
    assert sum(moments) > len(moments) / 2
    for name, tensor in fresh.items():
        assert not torch.equal(working[f"weights/{name}"][0], tensor), name


@pytest.mark.parametrize("training", ["anml", "pretrain"])
def test_it_goes_on_to_the_end_and_says_where_it_began_anew(
    training: str, job: Callable[..., Job], tmp_path: Path
) -> None:
    folder = recorded_models(job(training), tmp_path / "recorded", half=True)
    one = longer(job, tmp_path, training)
    warm_start(one, folder, settling=500, progress=False)
    heard = []
    (path,) = meta_train(one, resume=True, progress=False, on_step=lambda n, _: heard.append(n))
    assert heard == [9, 10, 11, 12]
    tensors, header = load_checkpoint(path)
    assert header["restarts"] == [{"iteration": 8, "settling": 8, "precision": "float16"}]
    assert header["seconds"] > read_header(folder / path.name)["seconds"]
    assert tensors["log"][:8].isnan().all()
    assert tensors["log"][8:].isfinite().all()
    rows = learning_curve(TrainJob(training, 0), tensors["log"])
    assert {row["iteration"] for row in rows} == {9, 10, 11, 12}


def test_seeds_side_by_side_go_on_as_each_alone(job: Callable[..., Job], tmp_path: Path) -> None:
    options = {"dtype": torch.float64}
    both = job(seeds=(0, 1), **options)
    folder = recorded_models(both, tmp_path / "recorded")
    side_by_side = longer(job, tmp_path, seeds=(0, 1), **options)
    warm_start(side_by_side, folder, settling=5, progress=False)
    together, _ = load_checkpoint(side_by_side.resume_path)
    for r, seed in enumerate(side_by_side.seeds):
        alone = replace(side_by_side, seeds=(seed,))
        warm_start(alone, folder, settling=5, progress=False)
        for name, tensor in load_checkpoint(alone.resume_path)[0].items():
            if name.startswith("weights/"):
                torch.testing.assert_close(together[name][r], tensor[0])


def test_what_it_cannot_go_on_from_is_refused(job: Callable[..., Job], tmp_path: Path) -> None:
    folder = recorded_models(job(), tmp_path / "recorded")
    one = longer(job, tmp_path)

    def said(job: Job) -> str:
        return refusal(lambda: warm_start(job, folder, progress=False))

    assert "no checkpoint" in said(replace(one, seeds=(3,)))
    rate = replace(one.profile, anml_inner_rate=0.05)
    assert "anml_inner_rate is 0.1 there, 0.05 now" in said(replace(one, profile=rate))
    short = replace(one.profile, meta_iterations=8)
    message = said(replace(one, profile=short))
    assert "have 8 meta-iterations" in message
    assert "asks for 8" in message
    path = (
        recorded_models(longer(job, tmp_path, seeds=(1,)), tmp_path / "other")
        / "anml-seed1.safetensors"
    )
    path.rename(folder / path.name)
    assert "8 and 12 meta-iterations" in said(replace(one, seeds=(0, 1)))
    tensors, header = load_checkpoint(folder / path.name)
    save_checkpoint(folder / path.name, tensors, header | {"iteration": 8, "restarts": [{}]})
    assert "one seed a time" in said(replace(one, seeds=(0, 1)))
    assert not one.resume_path.exists()


def test_recorded_gone_on_with_and_recorded_again(
    tiny: Profile, noise_drawings: Drawings, tmp_path: Path
) -> None:
    """A model's shorter state gives way to the finished one; its curve is kept from its start."""
    results = tmp_path / "results" / "smoke"
    first = Place(replace(tiny, meta_iterations=20, length_iterations=(4,)), tmp_path / "first")
    part = LengthJob(0, 4, 0)
    part.run(first, noise_drawings, lambda n: None)
    working = part.training.working(part.own(first))
    part.training.working(first).parent.mkdir()
    working.rename(part.training.working(first))
    gather(first, noise_drawings)
    record(first, results, half=True)
    begun = read_table(results / "unfinished_log.parquet")
    assert set(begun.frame["done"]) == {4}

    second = Place(replace(first.profile, length_iterations=(20,)), tmp_path / "second")
    training = find_training("anml")
    job = Job(training, second.profile, noise_drawings, (0,), second.folder / "checkpoints")
    warm_start(job, results / "lengths" / "4" / "checkpoints", settling=2, progress=False)
    jobs = [TrainJob("anml", 0), LengthJob(0, 20, 0)]
    for one in jobs:
        one.run(second, noise_drawings, lambda n: None)
    write_tables(second, noise_drawings, jobs)
    record(second, results, add=True, half=True)
    names = ("lengths", "length_rates", "length_activity", "stages", "meta_train_log")
    found = {str(path.relative_to(results)) for path in results.rglob("*") if path.is_file()}
    assert found == {"checkpoints/anml-seed0.safetensors", *(f"{name}.parquet" for name in names)}
    log = read_table(results / "meta_train_log.parquet").frame
    loss = log[log["metric"] == LOG_METRICS[0]].set_index("iteration")["value"]
    assert sorted(loss.index) == list(range(1, 21))
    early = begun.frame[begun.frame["metric"] == LOG_METRICS[0]].set_index("iteration")["value"]
    assert loss.loc[:4].equals(early.loc[:4])
    lengths = read_table(results / "lengths.parquet")
    assert set(lengths.frame["iterations"]) == {4, 20}
    told: list[str] = []
    checks = verify(lengths, results, noise_drawings, sample=100, longest=2, tell=told.append)
    assert {check.what.rpartition("after ")[2] for check in checks} == {"20 meta-iterations"}
    assert all(check.agrees for check in checks)
