"""A meta-training that is stopped goes on to the same bits, or says why it cannot."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from refusal import refusal
from training_runs import DISTINCT, DOUBLE, assert_equal_bits, train

from anml import meta_train as module
from anml.drawings.packed import Drawings
from anml.meta_train import meta_train
from anml.meta_training.outer_step import OuterLoop
from anml.meta_training.training_job import Job
from anml.results import running_commit
from anml.store.checkpoint import load_checkpoint, read_header
from anml.store.interrupt import Interrupted

CHILD = """
import sys
from pathlib import Path
import torch
from tiny_profile import TINY
from anml.meta_train import Job, meta_train
from anml.drawings.packed import read_packed
from anml.profiles import find_profile
from anml.treatments import find_training
packed, folder, training, iterations = sys.argv[1:]
torch.set_num_threads(1)
profile = find_profile("smoke", {**TINY, "meta_iterations": iterations,
                                 "pretrain_iterations": iterations})
job = Job(find_training(training), profile, read_packed(Path(packed)), (0, 1), Path(folder))
meta_train(job, resume=True, checkpoint_seconds=0, progress=False)
"""


@pytest.mark.slow
@pytest.mark.parametrize("training", ["anml", "oml", "pretrain"])
def test_killed_at_a_random_moment_and_resumed_equals_never_killed(
    training: str, job: Callable[..., Job], packed_noise: Path, tmp_path: Path
) -> None:
    """SIGKILL, while a checkpoint is being written perhaps: the same bits, weights and log."""
    iterations = 150
    lengths = {"meta_iterations": iterations, "pretrain_iterations": iterations}
    whole = train(job(training, (0, 1), **lengths, folder=tmp_path / "whole"))
    killed = job(training, (0, 1), **lengths, folder=tmp_path / "killed")
    arguments = [str(packed_noise), str(killed.folder), training, str(iterations)]
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, *arguments], cwd=Path(__file__).with_name("helpers")
    )
    while not killed.resume_path.exists() and child.poll() is None:
        time.sleep(0.001)
    time.sleep(random.random() * 0.15)
    child.kill()
    assert child.wait() == -signal.SIGKILL
    _, header = load_checkpoint(killed.resume_path)
    assert 0 < header["iteration"] < iterations
    for one, other in zip(train(killed, resume=True), whole, strict=True):
        assert_equal_bits(one, other)


@pytest.mark.parametrize("training", DISTINCT)
def test_stopped_and_resumed_equals_never_stopped(
    training: str, job: Callable[..., Job], tmp_path: Path
) -> None:
    whole = train(job(training, folder=tmp_path / "whole"))[0]
    for stop in (1, 5, 8):
        stopped = job(training, folder=tmp_path / f"{stop}")

        def ask(done: int, _: int, last: int = stop) -> None:
            if done == last:
                signal.raise_signal(signal.SIGINT)

        with pytest.raises(Interrupted, match=f"iteration {stop} of 8.*--resume"):
            meta_train(stopped, on_step=ask, progress=False)
        assert not stopped.model_path(0).exists()
        assert_equal_bits(train(stopped, resume=True)[0], whole)


def test_without_resume_a_run_starts_afresh(job: Callable[..., Job]) -> None:
    one = job()
    module.save_working(*saved_state(one), {"seconds": 0.0})
    heard = []
    meta_train(one, progress=False, on_step=lambda done, _: heard.append(done))
    assert heard[0] == 1


def saved_state(one: Job) -> tuple[object, ...]:
    """A job and its state, optimiser and log after one iteration."""
    state, optimizer, *_ = module._start(one, resume=False, keep=False)
    return one, state, optimizer, OuterLoop(one, state, optimizer).run()


def test_a_finished_run_is_not_run_again(job: Callable[..., Job]) -> None:
    paths = meta_train(job(), progress=False)
    heard = []
    again = meta_train(job(), resume=True, progress=False, on_step=lambda *s: heard.append(s))
    assert (again, heard) == (paths, [])


@pytest.mark.parametrize("training", ["anml", "oml", "pretrain"])
def test_a_longer_profile_goes_on_where_a_shorter_one_ended(
    training: str, job: Callable[..., Job], tmp_path: Path
) -> None:
    lengths = {"meta_iterations": 12, "pretrain_iterations": 12}
    whole = train(job(training, **lengths, folder=tmp_path / "whole"))
    train(job(training))
    heard = []
    paths = meta_train(
        job(training, **lengths),
        resume=True,
        progress=False,
        on_step=lambda done, _: heard.append(done),
    )
    assert heard == [9, 10, 11, 12]
    assert_equal_bits(load_checkpoint(paths[0])[0], whole[0])


@pytest.mark.parametrize("finished", [True, False])
def test_a_shorter_profile_cannot_go_back(finished: bool, job: Callable[..., Job]) -> None:
    meta_train(job(), progress=False)
    if not finished:
        job().model_path(0).unlink()
    message = refusal(lambda: meta_train(job(meta_iterations=5), resume=True, progress=False))
    assert "8 iterations" in message
    assert "asks for 5" in message


@pytest.mark.parametrize("finished", [True, False])
def test_other_settings_are_refused_and_named(
    finished: bool, job: Callable[..., Job], noise_drawings: Drawings
) -> None:
    one = job()
    if finished:
        meta_train(one, progress=False)
    else:
        module.save_working(*saved_state(one), {"seconds": 0.0})
    other = job(anml_inner_rate=0.05)
    message = refusal(lambda: meta_train(other, resume=True, progress=False))
    assert "anml_inner_rate is 0.1 there, 0.05 now" in message
    assert "--out" in message
    drawings = replace(noise_drawings, fingerprint="f" * 16)
    message = refusal(
        lambda: meta_train(replace(one, drawings=drawings), resume=True, progress=False)
    )
    assert "data_fingerprint" in message
    assert "dtype" in refusal(
        lambda: meta_train(replace(one, dtype=DOUBLE), resume=True, progress=False)
    )


def test_another_summary_is_no_other_setting(job: Callable[..., Job]) -> None:
    meta_train(job(), progress=False)
    meta_train(job(summary="in other words"), resume=True, progress=False)


@pytest.mark.parametrize("which", ["resume", "model"])
def test_a_damaged_checkpoint_is_one_line(which: str, job: Callable[..., Job]) -> None:
    one = job()
    path = one.resume_path if which == "resume" else one.model_path(0)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not a checkpoint")
    message = refusal(lambda: meta_train(one, resume=True, progress=False))
    assert str(path) in message
    assert "delete it" in message


def test_what_other_code_began_is_gone_on_with_only_when_asked(
    job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    began = job(meta_iterations=3)
    train(began)
    began.model_path(0).unlink()
    longer = job(meta_iterations=5)
    monkeypatch.setattr(module, "code_state", lambda *made: "other")
    monkeypatch.setattr(module, "running_commit", lambda: "feedc0de")
    assert "begun by other code" in refusal(lambda: meta_train(longer, resume=True, progress=False))
    (path,) = meta_train(longer, resume=True, keep=True, progress=False)
    header = read_header(path)
    assert header["code"] == "other"
    # Both commits that had a hand in it are named.
    assert header["commit"] == "; ".join(sorted({running_commit(), "feedc0de"}))
    assert read_header(longer.resume_path)["iteration"] == 5


def test_replicas_share_the_time_of_their_run(job: Callable[..., Job]) -> None:
    both = job(seeds=(0, 1))
    one, other = (read_header(path)["seconds"] for path in meta_train(both, progress=False))
    assert one == other
    assert 2 * one == pytest.approx(read_header(both.resume_path)["seconds"], rel=0.5)
