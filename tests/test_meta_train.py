"""The outer loop: it learns, it logs, it stops and goes on to the same bits, it refuses."""

import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from reference_networks import ReferenceOML, copy_weights
from refusal import refusal

from anml import meta_train as module
from anml.adapt import ANML_FAST, plain_meta_gradient
from anml.adapt_oml import OML_FAST
from anml.checkpoint import load_checkpoint, save_checkpoint
from anml.episodes import draw_batch, draw_episode
from anml.interrupt import Interrupted
from anml.meta_train import (
    LOG_METRICS,
    Job,
    initial_model,
    load_model,
    meta_train,
    rates,
)
from anml.packed import Drawings
from anml.profiles import Profile, find_profile
from anml.supervised import supervised_gradient
from anml.treatments import TRAININGS, find_training

TRAINED = [name for name, t in TRAININGS.items() if t.procedure != "none"]
DOUBLE = torch.float64


@pytest.fixture
def job(tiny: Profile, noise_drawings: Drawings, tmp_path: Path) -> Callable[..., Job]:
    def make(training: str = "anml", seeds: tuple[int, ...] = (0,), **changes: object) -> Job:
        own = {k: changes.pop(k) for k in ("folder", "dtype") if k in changes}
        folder = own.pop("folder", tmp_path / "run")
        profile = replace(tiny, **changes)
        return Job(find_training(training), profile, noise_drawings, seeds, folder, **own)

    return make


def train(job: Job, **options: object) -> list[dict[str, torch.Tensor]]:
    return [load_checkpoint(p)[0] for p in meta_train(job, progress=False, **options)]


def assert_equal_bits(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    for name, tensor in a.items():
        assert torch.equal(tensor, b[name]), name


# --- it learns


@pytest.mark.slow
@pytest.mark.parametrize("training", TRAINED)
def test_the_loss_falls(training: str, job: Callable[..., Job]) -> None:
    """Two hundred iterations on four classes, in place of 963."""
    sizes = {"pln_channels": 8, "nm_channels": 4, "oml_channels": 8, "oml_hidden": 32}
    lengths = {"meta_iterations": 200, "pretrain_iterations": 200, "remember": 16}
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


@pytest.mark.parametrize("training", TRAINED)
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
    gradient = module.GRADIENTS["anml"]
    monkeypatch.setitem(
        module.GRADIENTS,
        "anml",
        lambda *args: (results.append(gradient(*args)), results[-1])[1],
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


# --- one outer step


def outer_step(job: Job) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Weights before and after the first outer step."""
    state, optimizer, *_ = module._start(job, resume=False)
    before = {name: p.detach().clone() for name, p in state.items()}
    images = torch.from_numpy(job.drawings.meta_train)
    module._outer_step(job, state, optimizer, images, 0)
    return before, {name: p.detach() for name, p in state.items()}


def test_adam_takes_its_first_step_of_the_outer_rate_everywhere(job: Callable[..., Job]) -> None:
    """Adam's first step is the rate times the gradient's sign: NM, PLN and head all move."""
    before, after = outer_step(job("anml", dtype=DOUBLE, anml_outer_rate=0.01))
    for name in before:
        moved = (after[name] - before[name]).abs()
        if ".conv.bias" in name:
            assert moved.max() == 0, name
        else:
            assert moved.max() == pytest.approx(0.01, rel=0.01), name


@pytest.mark.parametrize("training", [name for name in TRAINED if name != "pretrain"])
def test_meta_training_is_adam_on_meta_gradients(training: str, job: Callable[..., Job]) -> None:
    """Against plain autograd and torch's plain Adam, over all iterations.

    Fused Adam walks memory: a gradient that is laid out otherwise than its weights (as autograd
    gives it for a transposed matrix) reaches the wrong ones, silently.
    """
    one = job(training, seeds=(5,), dtype=DOUBLE)
    kind = one.training.network
    fast = ANML_FAST if kind == "anml" else OML_FAST
    model = initial_model(kind, one.profile, 5).double()
    inner, outer = rates(one.training, one.profile)
    optimizer = torch.optim.Adam(model.parameters(), outer, fused=False, foreach=False)
    images = torch.from_numpy(one.drawings.meta_train)
    sizes = {"inner_steps": 3, "remember": 4, "row_inputs": model.head.in_features}
    for iteration in range(8):
        episode, rows = draw_episode(images, (5,), iteration, dtype=DOUBLE, **sizes)
        learned = episode.classes[0, 0]
        before = model.head.weight.detach()[learned].clone()
        model.head.weight.data[learned] = rows[0]
        result = plain_meta_gradient(model, fast, episode, inner, one.training.second_order)
        model.head.weight.data[learned] = before
        result.gradients["head.weight"][0, learned] = 0.0
        for name, p in model.named_parameters():
            p.grad = result.gradients[name][0].clone()
        optimizer.step()
    trained = train(one)[0]
    for name, expected in model.named_parameters():
        torch.testing.assert_close(trained[name], expected.detach(), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("redraw", ["copy", "meta"])
@pytest.mark.parametrize("training", ["anml", "oml"])
def test_the_head_row_is_drawn_anew_in_the_copy_or_in_the_meta_parameters(
    training: str, redraw: str, job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = job(training, redraw=redraw, seeds=(3, 4), dtype=DOUBLE)
    images = torch.from_numpy(one.drawings.meta_train)
    state, *_ = module._start(one, resume=False)
    before = {name: p.detach().clone() for name, p in state.items()}
    seen, gradient = [], module.GRADIENTS[training]

    def spy(parameters: dict[str, torch.Tensor], *args: object) -> object:
        seen.append(parameters["head.weight"].detach().clone())
        return gradient(parameters, *args)

    monkeypatch.setitem(module.GRADIENTS, training, spy)
    draw, episodes = module.draw_episode, []
    monkeypatch.setattr(
        module, "draw_episode", lambda *a, **k: (episodes.append(draw(*a, **k)), episodes[-1])[1]
    )
    result = module._meta_gradient(one, state, images, 0)
    ((episode, rows),) = episodes
    learned = episode.classes[:, 0]
    replica = torch.arange(2)
    expected = before["head.weight"].clone()
    expected[replica, learned] = rows
    assert torch.equal(seen[0], expected)
    assert not torch.equal(expected, before["head.weight"])
    left = before["head.weight"] if redraw == "copy" else expected
    assert torch.equal(state["head.weight"].detach(), left)
    assert torch.equal(state["head.bias"].detach(), before["head.bias"])
    row_gradient = result.gradients["head.weight"][replica, learned]
    assert (row_gradient == 0).all() == (redraw == "copy")
    assert (result.gradients["head.bias"][replica, learned] != 0).all()


def test_pretraining_is_adam_on_batches(job: Callable[..., Job]) -> None:
    """Against torch's own layers, loss and optimiser, over all iterations."""
    one = job("pretrain", seeds=(5,), dtype=DOUBLE, pretrain_rate=0.01)
    model = initial_model("oml", one.profile, 5)
    reference = ReferenceOML(3, 5, one.profile.outputs)
    copy_weights(model, reference)
    reference.double()
    optimizer = torch.optim.Adam(reference.parameters(), 0.01)
    images = torch.from_numpy(one.drawings.meta_train)
    losses = []
    for iteration in range(8):
        batch, classes = draw_batch(images, (5,), iteration, 7, DOUBLE)
        loss = F.cross_entropy(reference(batch), classes[0])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    trained = train(one)[0]
    assert trained["log"][:, 0].tolist() == pytest.approx(losses, rel=1e-10)
    names = [name for name, _ in model.named_parameters()]
    for name, expected in zip(names, reference.parameters(), strict=True):
        torch.testing.assert_close(trained[name], expected.detach(), rtol=1e-8, atol=1e-10)


def test_the_supervised_gradient_of_replicas(job: Callable[..., Job]) -> None:
    one = job("pretrain", seeds=(0, 1), dtype=DOUBLE)
    state, *_ = module._start(one, resume=False)
    batch, classes = draw_batch(torch.from_numpy(one.drawings.meta_train), (0, 1), 0, 6, DOUBLE)
    result = supervised_gradient(state, batch, classes)
    for r in range(2):
        model = initial_model("oml", one.profile, r).double()
        loss = F.cross_entropy(model(batch[:, r : r + 1]), classes[r])
        loss.backward()
        assert result.loss[r].item() == pytest.approx(loss.item(), rel=1e-12)
        for name, p in model.named_parameters():
            torch.testing.assert_close(result.gradients[name][r], p.grad, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("training", TRAINED)
def test_replicas_equal_separate_runs(training: str, job: Callable[..., Job], tmp_path) -> None:
    """`--seeds 0-2` in one program and three programs of one seed each, in float64."""
    together = train(job(training, (0, 1, 2), dtype=DOUBLE))
    for seed, model in enumerate(together):
        (alone,) = train(job(training, (seed,), dtype=DOUBLE, folder=tmp_path / f"{seed}"))
        for name, expected in alone.items():
            torch.testing.assert_close(model[name], expected, rtol=1e-9, atol=1e-11)


def test_rates_are_the_profiles(tiny: Profile) -> None:
    assert rates(TRAININGS["anml"], tiny) == (tiny.anml_inner_rate, tiny.anml_outer_rate)
    assert rates(TRAININGS["oml-first-order"], tiny) == (tiny.oml_inner_rate, tiny.oml_outer_rate)
    assert rates(TRAININGS["pretrain"], tiny)[1] == tiny.pretrain_rate


# --- it stops and goes on

CHILD = """
import sys
from pathlib import Path
import torch
from conftest import TINY
from anml.meta_train import Job, meta_train
from anml.packed import read_packed
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
    child = subprocess.Popen([sys.executable, "-c", CHILD, *arguments], cwd=Path(__file__).parent)
    while not killed.resume_path.exists() and child.poll() is None:
        time.sleep(0.001)
    time.sleep(random.random() * 0.15)
    child.kill()
    assert child.wait() == -signal.SIGKILL
    _, header = load_checkpoint(killed.resume_path)
    assert 0 < header["iteration"] < iterations
    for one, other in zip(train(killed, resume=True), whole, strict=True):
        assert_equal_bits(one, other)


@pytest.mark.parametrize("training", TRAINED)
@pytest.mark.parametrize("stop", [1, 5, 8])
def test_stopped_and_resumed_equals_never_stopped(
    training: str, stop: int, job: Callable[..., Job], tmp_path: Path
) -> None:
    whole = train(job(training, folder=tmp_path / "whole"))[0]
    stopped = job(training)

    def ask(done: int, _: int) -> None:
        if done == stop:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted, match=f"iteration {stop} of 8.*--resume"):
        meta_train(stopped, on_step=ask, progress=False)
    assert not stopped.model_path(0).exists()
    assert_equal_bits(train(stopped, resume=True)[0], whole)


def test_without_resume_a_run_starts_afresh(job: Callable[..., Job]) -> None:
    one = job()
    module._save_working(*saved_state(one), 0.0)
    heard = []
    meta_train(one, progress=False, on_step=lambda done, _: heard.append(done))
    assert heard[0] == 1


def saved_state(one: Job) -> tuple[object, ...]:
    """A job and its state, optimiser and log after one iteration."""
    state, optimizer, log, *_ = module._start(one, resume=False)
    images = torch.from_numpy(one.drawings.meta_train)
    log[0] = module._outer_step(one, state, optimizer, images, 0)
    return one, state, optimizer, log[:1]


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
        module._save_working(*saved_state(one), 0.0)
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
    assert "oml diverged by iteration 1 " in message
    assert "--set oml_outer_rate=0.3" in message
    assert "--set oml_inner_rate=" in message
    assert not one.model_path(0).exists()


def test_a_loss_that_stays_far_above_guessing_stops_with_advice(
    job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WATCHED", 4)
    losses = iter([40.0, 6.0, 6.0, 5.0, 80.0, 60.0, 70.0, 1.0])
    monkeypatch.setattr(
        module, "_outer_step", lambda *_: torch.tensor([[next(losses), 0.0, 0.0]]).double()
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
    message = refusal(lambda: load_model(path, "anml", find_profile("quick")))
    assert "quick" in message
    assert "meta-train it again" in message


def test_a_checkpoint_that_lacks_a_weight_is_refused(tiny: Profile, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "x.safetensors", {"head.weight": torch.zeros(2, 2)}, {})
    refusal(lambda: load_model(tmp_path / "x.safetensors", "oml", tiny))
