"""Meta-training as a whole: it learns, it logs, it refuses."""

import pickle
import resource
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from refusal import refusal
from training_runs import DISTINCT, assert_equal_bits, train

from anml import meta_train as module
from anml.meta_train import load_model, meta_train
from anml.meta_training import divergence, outer_step
from anml.meta_training.training_job import Job, initial_model
from anml.profiles import Profile, find_profile
from anml.store.checkpoint import load_checkpoint, save_checkpoint
from anml.store.tables import LOG_METRICS

# --- it learns


@pytest.mark.slow
@pytest.mark.parametrize("training", ["anml", "oml", "oml-linear", "pretrain"])
def test_the_loss_falls(training: str, job: Callable[..., Job]) -> None:
    """Three hundred iterations on four classes, in place of 963, by each network and procedure. The
    others' gradients `test_outer_step.py` holds to what they should be, iteration by iteration.
    """
    sizes = {"pln_channels": 8, "nm_channels": 4, "oml_channels": 8, "oml_hidden": 32}
    lengths = {"meta_iterations": 300, "pretrain_iterations": 300, "remember": 16}
    small = job(training, **sizes, **lengths, oml_inner_rate=0.03)
    few = replace(
        small.drawings,
        images=small.drawings.images[:4],
        split=small.drawings.split[:4],
    )
    log = train(replace(small, drawings=few))[0]["log"]
    first, last = log[:20].mean(0), log[-20:].mean(0)
    assert last[0] < 0.6 * first[0]
    assert last[2] > first[2] + 0.2


@pytest.mark.parametrize("training", DISTINCT)
def test_the_same_seed_gives_the_same_bits_and_another_one_does_not(
    training: str, job: Callable[..., Job], tmp_path: Path
) -> None:
    first = train(job(training))[0]
    assert_equal_bits(first, train(job(training, folder=tmp_path / "again"))[0])
    other = train(job(training, seeds=(1,), folder=tmp_path / "other"))[0]
    assert not torch.equal(first["head.weight"], other["head.weight"])


def test_first_order_is_another_training(job: Callable[..., Job]) -> None:
    second, first = train(job("anml"))[0], train(job("anml-first-order"))[0]
    assert not torch.equal(first["pln.blocks.0.conv.weight"], second["pln.blocks.0.conv.weight"])


def test_what_a_finished_model_says_of_itself(job: Callable[..., Job]) -> None:
    one = job(seeds=(7,))
    (path,) = meta_train(one, progress=False)
    tensors, header = load_checkpoint(path)
    assert path == one.model_path(7)
    assert header["training"] == "anml"
    assert header["seed"] == 7
    assert header["iteration"] == 8
    assert header["settings"] == one.settings()
    assert header["data_fingerprint"] == one.drawings.fingerprint
    assert header["data_source"] == "omniglot"
    assert header["seconds"] > 0
    assert header["versions"]["torch"] == torch.__version__
    log = tensors.pop("log")
    assert log.shape == (8, len(LOG_METRICS))
    assert (log[:, 0] > 0).all()
    assert ((log[:, 1:] >= 0) & (log[:, 1:] <= 1)).all()
    assert tensors.keys() == dict(initial_model("anml", one.profile, 0).named_parameters()).keys()


def test_the_log_holds_the_loss_and_both_accuracies(
    job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    results = []
    gradient = outer_step.GRADIENTS["anml"]
    monkeypatch.setitem(
        outer_step.GRADIENTS,
        "anml",
        lambda *args, **options: (results.append(gradient(*args, **options)), results[-1])[1],
    )
    log = train(job())[0]["log"]
    for row, result in zip(log, results, strict=True):
        right = result.correct[0].double()
        expected = [x.item() for x in (result.loss[0], right[:3].mean(), right[3:].mean())]
        assert row.tolist() == pytest.approx(expected)


def test_every_iteration_is_heard_of(job: Callable[..., Job]) -> None:
    heard = []
    meta_train(job(), progress=False, on_step=lambda *step: heard.append(step))
    assert heard == [(done, 8) for done in range(1, 9)]


# --- it refuses


def test_a_loss_that_is_not_finite_stops_with_advice(job: Callable[..., Job]) -> None:
    one = job("oml", oml_outer_rate=1.0, oml_channels=16, oml_hidden=64, meta_iterations=60)
    start = module.initial_model

    def broken(*arguments: object) -> torch.nn.Module:
        model = start(*arguments)
        torch.nn.init.constant_(model.rln[3].weight, 1e30)
        return model

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "initial_model", broken)
        message = refusal(lambda: meta_train(one, progress=False))
    assert "oml, seed 0, diverged by iteration 1 " in message
    assert "--set oml_outer_rate=0.3" in message
    assert "--set oml_inner_rate=" in message
    assert not one.model_path(0).exists()


def test_seeds_that_diverged_are_named_across_processes(job: Callable[..., Job]) -> None:
    """Only those; a worker process sends the error to its parent."""
    several = replace(job(), seeds=(3, 4, 8))
    log = torch.tensor([[[1.0], [torch.inf], [torch.nan]]], dtype=torch.float64)
    with pytest.raises(divergence.DivergedError, match="anml, seeds 4, 8, diverged") as caught:
        divergence.refuse_divergence(several, log, 0)
    sent = pickle.loads(pickle.dumps(caught.value))
    assert sent.seeds == (4, 8)
    assert str(sent) == str(caught.value)


def test_a_loss_that_stays_far_above_guessing_stops_with_advice(
    job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(divergence, "WATCHED", 4)
    losses = iter([40.0, 6.0, 6.0, 5.0, 80.0, 60.0, 70.0, 1.0])
    monkeypatch.setattr(
        outer_step, "outer_step", lambda *_: torch.tensor([[next(losses), 0.0, 0.0]]).double()
    )
    message = refusal(lambda: meta_train(job("pretrain"), progress=False))
    assert "by iteration 8" in message
    assert "guessing has 6.9" in message
    assert "--set pretrain_rate=" in message


def test_a_folder_that_cannot_be_written_is_found_before_the_work(
    job: Callable[..., Job], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    heard = []
    message = refusal(
        lambda: meta_train(
            job(folder=tmp_path / "file" / "run"),
            progress=False,
            on_step=lambda *step: heard.append(step),
        )
    )
    assert "--out" in message
    assert heard == []


def test_a_full_disk_keeps_the_last_checkpoint(job: Callable[..., Job], tmp_path: Path) -> None:
    """The run ends in one line; with room again it goes on to the same bits."""
    whole = train(job(folder=tmp_path / "whole"))[0]
    one = job()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(done: int, _: int) -> None:
        if done == 4:
            resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))

    try:
        message = refusal(
            lambda: meta_train(one, progress=False, checkpoint_seconds=0, on_step=fill)
        )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "free some space" in message
    assert [path.name for path in one.folder.iterdir()] == [one.resume_path.name]
    assert load_checkpoint(one.resume_path)[1]["iteration"] == 3
    assert_equal_bits(train(one, resume=True)[0], whole)


def test_a_model_of_another_width_is_refused(job: Callable[..., Job], tiny: Profile) -> None:
    (path,) = meta_train(job(), progress=False)
    model = load_model(path, "anml", tiny)
    assert not model.training
    expected = load_checkpoint(path)[0]
    assert torch.equal(model.head.weight.detach(), expected["head.weight"])
    assert torch.equal(load_model(str(path), "anml", tiny).head.weight, model.head.weight)
    message = refusal(lambda: load_model(path, "anml", find_profile("quick")))
    assert "of profile 'quick': it has pln_channels 3, nm_channels 2, outputs 1000, the" in message
    assert "profile pln_channels 64, nm_channels 28, outputs 1000: choose" in message
    assert message.endswith("choose the --profile that it was made with")
    oml = refusal(lambda: load_model(path, "oml", tiny))
    assert oml.endswith("it is a model of the anml network: ask for that one")
    unknown = refusal(lambda: load_model(path, "ANML", tiny))
    assert unknown.endswith("(did you mean anml?): choose one of anml, oml, oml-linear")


def test_the_profiles_that_a_model_fits_are_named(job: Callable[..., Job], tiny: Profile) -> None:
    small = find_profile("smoke")
    widths = {name: getattr(small, name) for name in ("oml_channels", "oml_hidden", "outputs")}
    (path,) = meta_train(job("pretrain", **widths, pretrain_iterations=1), progress=False)
    message = refusal(lambda: load_model(path, "oml", tiny))
    assert message.endswith("choose the --profile that it was made with (smoke)")


def test_a_checkpoint_that_lacks_a_weight_is_refused(tiny: Profile, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "x.safetensors", {"head.weight": torch.zeros(2, 2)}, {})
    refusal(lambda: load_model(tmp_path / "x.safetensors", "oml", tiny))
