"""One outer step: Adam on meta-gradients of the right episodes, for one replica or several."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from meta_gradients import PREFIXES
from reference_networks import (
    ReferenceANML,
    ReferenceOML,
    copy_weights,
    with_batch_norm,
    with_channels,
)
from training_runs import DISTINCT, DOUBLE, TRAINED, assert_equal_bits, start, train

from anml.adapt import Episode, MetaGradient, plain_meta_gradient
from anml.drawings.pixels import PIXELS
from anml.gradients.supervised import supervised_gradient
from anml.meta_training import outer_step as module
from anml.meta_training.episodes import draw_batch, draw_episode
from anml.meta_training.outer_step import AHEAD_ON_GPU, OuterLoop
from anml.meta_training.training_job import NETWORKS, Job, initial_model, rates
from anml.profiles import Profile
from anml.treatments import TRAININGS

REFERENCES = {"anml": ReferenceANML, "oml": ReferenceOML}
COUNTS = (963, 20)
INK = torch.tensor([255.0], dtype=DOUBLE)


def reference_of(kind: str, model: torch.nn.Module, profile: Profile) -> torch.nn.Module:
    """The reference network with the weights of `model`."""
    values = (getattr(profile, name) for name in NETWORKS[kind].values)
    reference = REFERENCES[kind](*values).to(next(model.parameters()).dtype)
    copy_weights(model, reference)
    return reference


def test_adam_takes_its_first_step_of_the_outer_rate_everywhere(job: Callable[..., Job]) -> None:
    """Adam's first step is the rate times the gradient's sign: NM, PLN and head all move."""
    after, outer = start(job("anml", dtype=DOUBLE, anml_outer_rate=0.01))
    before = {name: p.detach().clone() for name, p in after.items()}
    outer.run()
    for name in before:
        moved = (after[name].detach() - before[name]).abs()
        if ".conv.bias" in name:
            assert moved.max() == 0, name
        else:
            assert moved.max() == pytest.approx(0.01, rel=0.01), name


LONG = [pytest.param(name, 50, marks=pytest.mark.slow) for name in ("anml", "oml", "oml-linear")]


@pytest.mark.parametrize(
    ("training", "iterations"), [*((name, 4) for name in TRAINED if name != "pretrain"), *LONG]
)
def test_meta_training_is_adam_on_meta_gradients(
    training: str, iterations: int, job: Callable[..., Job]
) -> None:
    """Against plain autograd and torch's plain Adam: loss curve and weights over all iterations.

    Fused Adam walks memory: a gradient that is laid out otherwise than its weights (as autograd
    gives it for a transposed matrix) reaches the wrong ones, silently.
    """
    one = job(training, seeds=(5,), dtype=DOUBLE, meta_iterations=iterations)
    kind = one.training.network
    fast = PREFIXES[kind]
    model = initial_model(kind, one.profile, 5).double()
    names = [name for name, _ in model.named_parameters()]
    if one.training.norm == "batch":
        model = with_batch_norm(reference_of(kind, model, one.profile))
    if one.training.channels > 1:
        model = with_channels(reference_of(kind, model, one.profile), one.training.channels)
    inner, outer = rates(one.training, one.profile)
    optimizer = torch.optim.Adam(model.parameters(), outer, fused=False, foreach=False)
    images, scale = torch.from_numpy(one.drawings.meta_train), PIXELS[one.training.pixels]
    sizes = {"inner_steps": 3, "remember": 4, "row_inputs": model.head.in_features}
    losses = []
    for iteration in range(iterations):
        classes, drawings, row = map(torch.from_numpy, draw_episode(COUNTS, 5, iteration, **sizes))
        shown = scale.blank + (scale.ink - scale.blank) * images[classes, drawings] / INK
        episode = Episode(shown.unsqueeze(1), classes[None], 3)
        learned = classes[0]
        before = model.head.weight.detach()[learned].clone()
        model.head.weight.data[learned] = row
        result = plain_meta_gradient(model, fast, episode, inner, one.training.second_order)
        if one.training.redraw == "copy":
            model.head.weight.data[learned] = before
            result.gradients["head.weight"][0, learned] = 0.0
        for name, (other, p) in zip(names, model.named_parameters(), strict=True):
            # In front of a norm it is zero but for rounding, which Adam would make a step of.
            own = 0.0 if ".conv.bias" in name and kind == "anml" else 1.0
            p.grad = own * result.gradients[other][0]
        optimizer.step()
        losses.append(result.loss.item())
    trained = train(one)[0]
    assert trained["log"][:, 0].tolist() == pytest.approx(losses, rel=1e-8)
    for name, parameter in zip(names, model.parameters(), strict=True):
        own, expected = trained[name], parameter.detach()
        if own.shape != expected.shape:
            expected = expected.sum(1, keepdim=True)
        torch.testing.assert_close(own, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("redraw", ["copy", "meta"])
@pytest.mark.parametrize("training", ["anml", "oml", "oml-linear"])
def test_the_head_row_is_drawn_anew_in_the_copy_or_in_the_meta_parameters(
    training: str, redraw: str, job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = job(training, seeds=(3, 4), dtype=DOUBLE)
    one = replace(one, training=replace(one.training, redraw=redraw))
    state, _ = start(one)
    before = {name: p.detach().clone() for name, p in state.items()}
    seen, gradient = [], module.GRADIENTS[training]

    def spy(parameters: dict[str, torch.Tensor], *args: object, **options: object) -> MetaGradient:
        seen.append(parameters["head.weight"].detach().clone())
        return gradient(parameters, *args, **options)

    monkeypatch.setitem(module.GRADIENTS, training, spy)
    images = torch.rand(7, 2, 28, 28, dtype=DOUBLE)
    classes = torch.tensor([[5, 5, 5, 1, 2, 3, 4], [9, 9, 9, 9, 2, 3, 4]])
    rows = torch.randn(2, before["head.weight"].shape[2], dtype=DOUBLE)
    result = module.redrawn_gradient(one, state, Episode(images, classes, 3), rows)
    replica, learned = torch.arange(2), classes[:, 0]
    expected = before["head.weight"].clone()
    expected[replica, learned] = rows
    assert torch.equal(seen[0], expected)
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
    reference = reference_of("oml", model, one.profile).double()
    optimizer = torch.optim.Adam(reference.parameters(), 0.01)
    images = torch.from_numpy(one.drawings.meta_train)
    losses = []
    for iteration in range(8):
        classes, drawings, _ = map(torch.from_numpy, draw_batch(COUNTS, 5, iteration, size=7))
        batch = images[classes, drawings].unsqueeze(1) / INK
        loss = F.cross_entropy(reference(batch), classes)
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
    state, _ = start(one)
    batch = torch.rand(6, 2, 28, 28, dtype=DOUBLE)
    classes = torch.randint(963, (2, 6))
    result = supervised_gradient(state, batch, classes)
    assert result.gradients.keys() == state.keys()
    for r in range(2):
        model = initial_model("oml", one.profile, r).double()
        loss = F.cross_entropy(model(batch[:, r : r + 1]), classes[r])
        loss.backward()
        assert result.loss[r].item() == pytest.approx(loss.item(), rel=1e-12)
        for name, p in model.named_parameters():
            torch.testing.assert_close(result.gradients[name][r], p.grad, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("training", DISTINCT)
def test_replicas_equal_separate_runs(training: str, job: Callable[..., Job], tmp_path) -> None:
    """`--seeds 0-2` in one program and three programs of one seed each, in float64."""
    together = train(job(training, (0, 1, 2), dtype=DOUBLE))
    for seed, model in enumerate(together):
        (alone,) = train(job(training, (seed,), dtype=DOUBLE, folder=tmp_path / f"{seed}"))
        for name, expected in alone.items():
            torch.testing.assert_close(model[name], expected, rtol=1e-9, atol=1e-11)


def test_rates_are_the_profiles(tiny: Profile) -> None:
    assert rates(TRAININGS["anml"], tiny) == (tiny.anml_inner_rate, tiny.anml_outer_rate)
    for name in ("oml", "oml-first-order", "oml-linear"):
        assert rates(TRAININGS[name], tiny) == (tiny.oml_inner_rate, tiny.oml_outer_rate)
    assert rates(TRAININGS["pretrain"], tiny)[1] == tiny.pretrain_rate


# --- several iterations between two looks at the log


@pytest.mark.parametrize("training", DISTINCT)
@pytest.mark.parametrize("ahead", [3, AHEAD_ON_GPU])
def test_iterations_drawn_ahead_give_the_same_bits(
    training: str, ahead: int, job: Callable[..., Job]
) -> None:
    """As on a GPU: buffers filled for several iterations, read once; the last are fewer."""
    one = job(training, seeds=(0, 4))
    plain, loop = start(one, ahead=1)
    expected = torch.cat([loop.run() for _ in range(8)])
    state, loop = start(one, ahead=ahead)
    rows = []
    while loop.done < one.iterations:
        rows.append(loop.run())
    assert [len(part) for part in rows] == ([3, 3, 2] if ahead == 3 else [8])
    assert torch.equal(torch.cat(rows), expected)
    assert_equal_bits(state, plain)


def test_a_loop_can_start_anywhere(job: Callable[..., Job]) -> None:
    """It then draws what that iteration draws."""
    one = job()
    state, loop = start(one)
    loop.run()
    expected = loop.run()
    again, first = start(one)
    first.run()
    optimizer = first._optimizer
    assert torch.equal(OuterLoop(one, again, optimizer, start=1).run(), expected)
    assert_equal_bits(again, state)
