"""Finished models are never put in the place of by other ones; a longer training goes on."""

import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from refusal import refusal
from tiny_profile import TINY
from training_runs import train

from anml import cli
from anml.meta_train import meta_train
from anml.meta_training.finished_models import refuse_overwriting
from anml.meta_training.training_job import Job
from anml.store.checkpoint import load_checkpoint, save_checkpoint
from anml.store.interrupt import Interrupted


@pytest.mark.parametrize("resume", [True, False])
def test_a_finished_seed_is_not_trained_again_beside_another(
    resume: bool, job: Callable[..., Job]
) -> None:
    train(job())
    message = refusal(lambda: refuse_overwriting(job(seeds=(0, 1)), resume))
    assert message.startswith("seed 0 of anml is finished")
    assert "leave seed 0 out of --seeds" in message
    assert message.endswith(str(job().model_path(0)))
    refuse_overwriting(job(seeds=(1,)), resume)
    refuse_overwriting(job(seeds=(0, 1), folder=job().folder / "other"), resume)


def test_what_is_finished_is_taken_only_when_it_is_gone_on_with(job: Callable[..., Job]) -> None:
    train(job(seeds=(0, 1)))
    refuse_overwriting(job(seeds=(0, 1)), resume=True)
    refuse_overwriting(job(), resume=True)
    message = refusal(lambda: refuse_overwriting(job(seeds=(0, 1)), resume=False))
    assert message.startswith("seeds 0, 1 of anml are finished")


def test_a_longer_training_goes_on_from_its_own_shorter_models(job: Callable[..., Job]) -> None:
    """Also when it was stopped on its way; not from a working checkpoint of other seeds."""
    train(job(seeds=(0, 1)))
    longer = job(seeds=(0, 1), meta_iterations=12)
    refuse_overwriting(longer, resume=True)
    assert "seed 1 of" in refusal(lambda: refuse_overwriting(replace(longer, seeds=(1,)), True))

    def stop(done: int, _: int) -> None:
        if done == 10:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted):
        meta_train(longer, resume=True, on_step=stop, progress=False)
    refuse_overwriting(longer, resume=True)
    meta_train(longer, resume=True, progress=False)
    assert load_checkpoint(longer.model_path(1))[1]["iteration"] == 12


def test_what_stopped_while_models_were_written_writes_the_rest(job: Callable[..., Job]) -> None:
    both = job(seeds=(0, 1))
    train(both)
    both.model_path(1).unlink()
    refuse_overwriting(both, resume=True)
    meta_train(both, resume=True, progress=False)
    assert both.model_path(1).is_file()


def test_a_working_checkpoint_of_another_training_of_the_seed_replaces_nothing(
    job: Callable[..., Job],
) -> None:
    """Seeds 0 and 1 were begun side by side, and then seed 0 was finished alone."""
    both = job(seeds=(0, 1))
    train(replace(both, profile=replace(both.profile, meta_iterations=5)))
    for seed in both.seeds:
        both.model_path(seed).unlink()
    refuse_overwriting(both, resume=True)
    train(job())
    assert "seed 0 of" in refusal(lambda: refuse_overwriting(both, resume=True))


def test_a_recorded_model_is_not_written_over(job: Callable[..., Job]) -> None:
    """It has no log that could say that the working checkpoint went on from it."""
    train(job())
    path = job().model_path(0)
    tensors, header = load_checkpoint(path)
    del tensors["log"]
    save_checkpoint(path, tensors, header)
    longer = job(meta_iterations=12)
    assert "seed 0 of" in refusal(lambda: refuse_overwriting(longer, resume=True))


def test_the_command_leaves_finished_models_as_they_are(
    packed_noise: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    texts = {k: ",".join(map(str, v)) if isinstance(v, tuple) else v for k, v in TINY.items()}
    options = ["--data", str(packed_noise), "--out", str(tmp_path / "run")]
    options += [f"--set={name}={text}" for name, text in texts.items()]
    command = ["meta-train", "oml", *options]
    assert cli.main(command) == 0
    path = tmp_path / "run" / "checkpoints" / "oml-seed0.safetensors"
    before = path.read_bytes()
    recorded = ["--from", str(path.parent)]
    for more in ([], ["--seeds", "0,1"], ["--seeds", "0,1", "--resume"], recorded):
        capsys.readouterr()
        assert cli.main([*command, *more]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert "leave seed 0 out" in error
    assert cli.main([*command, "--resume", "--seeds", "0"]) == 0
    assert cli.main([*command, "--seeds", "1"]) == 0
    assert path.read_bytes() == before
