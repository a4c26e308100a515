"""Meta-testing against a naive one: a copy of the network, torch.optim, a loop."""

import copy
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from reference_networks import ReferenceANML, ReferenceOML, copy_weights
from torch import Tensor, nn

from anml import meta_test as module
from anml.drawings.packed import Drawings
from anml.errors import AnmlError
from anml.meta_test import OPTIMIZERS, Learned, Run, Score, meta_test
from anml.meta_testing.frozen_features import KnownFeatures, cut_network
from anml.meta_testing.regimes import ORACLE, ORACLE_EPOCHS, SEQUENTIAL, learning_order
from anml.meta_testing.trajectories import Trajectory, draw_trajectory
from anml.meta_train import build_model
from anml.meta_training.episodes import Stream
from anml.models import ANML
from anml.profiles import Profile
from anml.treatments import TRAININGS, TREATMENTS, Treatment

Seen = list[tuple[Run, Callable[[Tensor], Tensor], Tensor]]
ALL = pytest.mark.parametrize("treatment", TREATMENTS.values(), ids=TREATMENTS)
BOTH = pytest.mark.parametrize("optimizer", OPTIMIZERS)
NO_ROWS = {
    f"{training}: {' '.join(plastic)}": Treatment("", training, plastic)
    for training, plastic in (
        ("anml", ("head.", "nm.gate.")),
        ("anml", ("head.", "nm.gate.", "nm.tower.")),
        ("anml", ("head.", "nm.gate.", "nm.tower.", "pln.")),
        ("oml", ("head.", "hidden.")),
        ("oml", ("head.", "hidden.", "rln.0.")),
        ("oml", ("head.", "hidden.", "rln.2.", "rln.4.")),
    )
}
"""The ends of what `anml.treatments.NETWORKS` lets learn together, where no treatment has them."""
RATES = {"adam": 3e-3, "sgd": 0.05}


def network(treatment: Treatment, profile: Profile) -> nn.Module:
    torch.manual_seed(1)
    return build_model(TRAININGS[treatment.training].network, profile).double()


def trajectories(count: int = 2, n: int = 2) -> list[Trajectory]:
    return [draw_trajectory(seed, n) for seed in range(count)]


def naive(
    treatment: Treatment,
    model: nn.Module,
    drawings: Drawings,
    run: Run,
    optimizer: str,
    head: Tensor,
) -> nn.Module:
    """The adapted network, made of torch's own layers."""
    if isinstance(model, ANML):
        channels = model.nm.gate.in_features // 9
        learner = ReferenceANML(model.head.in_features // 9, channels, model.head.out_features)
    else:
        sizes = model.hidden.in_features // 9, model.hidden.out_features, model.head.out_features
        learner = ReferenceOML(*sizes)
    learner.double()
    copy_weights(model, learner)
    with torch.no_grad():
        learner.head.weight.copy_(head)
        learner.head.bias.zero_()
    names = [name for name, _ in model.named_parameters()]  # in the order of the learner's
    plastic = [
        parameter
        for name, parameter in zip(names, learner.parameters(), strict=True)
        if name.startswith(treatment.plastic)
    ]
    kind = torch.optim.Adam if optimizer == "adam" else torch.optim.SGD
    steps = kind(plastic, lr=run.learning_rate)
    for label, drawing in zip(*learning_order(run.trajectory, run.regime), strict=True):
        character = run.trajectory.classes[label]
        image = torch.from_numpy(drawings.meta_test[character, drawing] / 255.0)
        loss = F.cross_entropy(learner(image[None, None]), torch.tensor([label]))
        learner.zero_grad()
        loss.backward()
        steps.step()
    return learner


def linear_only(treatment: Treatment) -> bool:
    return set(treatment.plastic) <= {"hidden.", "head."}


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    """Every call of `_score`: the run, the adapted network's logits, its inputs."""
    calls: Seen = []
    score = module._score

    def spy(run: Run, logits_of: Callable[[Tensor], Tensor], inputs: Tensor) -> Score:
        calls.append((run, logits_of, inputs))
        return score(run, logits_of, inputs)

    monkeypatch.setattr(module, "_score", spy)
    return calls


def fresh_head(model: nn.Module, seed: int) -> Tensor:
    weight, bias = model.head.weight.detach().clone(), model.head.bias.detach().clone()
    module.redraw_head(weight, bias, seed)
    return weight


@pytest.mark.parametrize(
    "treatment", [*TREATMENTS.values(), *NO_ROWS.values()], ids=[*TREATMENTS, *NO_ROWS]
)
@BOTH
def test_equals_the_naive_one(
    treatment: Treatment,
    optimizer: str,
    tiny: Profile,
    noise_drawings: Drawings,
    seen: Seen,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Several trajectories and rates side by side, logits of every drawing, both accuracies."""
    monkeypatch.setitem(module.SIDE_BY_SIDE, "cpu", 3)
    assert_as_naive(treatment, network(treatment, tiny), noise_drawings, optimizer, seen)


def assert_as_naive(
    treatment: Treatment, model: nn.Module, noise_drawings: Drawings, optimizer: str, seen: Seen
) -> None:
    """Meta-test `model` on two trajectories, at two rates each, both ways."""
    runs = [
        Run(trajectory, rate, regime)
        for trajectory, regime in zip(trajectories(), (SEQUENTIAL, ORACLE), strict=True)
        for rate in (RATES[optimizer], 1e-3)
    ]
    scores = meta_test(treatment, model, noise_drawings, runs, optimizer)
    assert [score.run for score in scores] == runs
    for score, (run, logits_of, inputs) in zip(scores, seen, strict=True):
        head = fresh_head(model, run.trajectory.seed)
        learner = naive(treatment, model, noise_drawings, run, optimizer, head)
        pixels = noise_drawings.meta_test[run.trajectory.classes] / 255.0
        with torch.no_grad():
            expected = learner(torch.from_numpy(pixels).flatten(0, 1).unsqueeze(1))
        logits = logits_of(inputs.flatten(0, 1))
        torch.testing.assert_close(logits, expected, rtol=1e-6, atol=1e-8)
        right = expected.argmax(1).view(-1, 20) == torch.arange(2)[:, None]
        parts = run.trajectory.train, run.trajectory.test
        training, testing = (
            torch.stack([row[part] for row, part in zip(right, own, strict=True)]).double().mean()
            for own in parts
        )
        assert score.training == pytest.approx(training.item(), abs=1e-12)
        assert score.testing == pytest.approx(testing.item(), abs=1e-12)
        each = [row[part].double().mean() for row, part in zip(right, parts[1], strict=True)]
        assert score.per_class == pytest.approx([value.item() for value in each], abs=1e-12)


@BOTH
@pytest.mark.parametrize(
    ("name", "layer", "alive"), [("OML", "rln.5", (3 - 1) * 9), ("OML-OLFT", "hidden", 5 - 1)]
)
def test_features_that_no_drawing_has_are_left_out_and_change_nothing(
    name: str,
    layer: str,
    alive: int,
    optimizer: str,
    tiny: Profile,
    noise_drawings: Drawings,
    seen: Seen,
) -> None:
    """The first unit of the last frozen layer is dead: a map of nine features, or one of five."""
    treatment = TREATMENTS[name]
    model = network(treatment, tiny)
    with torch.no_grad():
        for unit, bias in enumerate((-1e3, *[1.0] * 4)):
            model.get_parameter(f"{layer}.bias")[unit : unit + 1] = bias
    assert_as_naive(treatment, model, noise_drawings, optimizer, seen)
    assert {inputs.shape[-1] for _, _, inputs in seen} == {alive}


@BOTH
def test_a_network_without_a_living_feature_guesses(
    optimizer: str, tiny: Profile, noise_drawings: Drawings
) -> None:
    """The output's bias alone learns, the same for every drawing."""
    model = network(TREATMENTS["OML-OLFT"], tiny)
    with torch.no_grad():
        model.hidden.bias.fill_(-1e3)
    runs = [Run(trajectory, RATES[optimizer]) for trajectory in trajectories()]
    for score in meta_test(TREATMENTS["OML-OLFT"], model, noise_drawings, runs, optimizer):
        assert sorted(score.per_class) == [0.0, 1.0]
        assert score.testing == score.training == 0.5


@ALL
def test_the_model_is_left_unchanged(
    treatment: Treatment, tiny: Profile, noise_drawings: Drawings
) -> None:
    model = network(treatment, tiny)
    before = copy.deepcopy(model.state_dict())
    wants = [p.requires_grad for p in model.parameters()]
    meta_test(treatment, model, noise_drawings, [Run(t, 1e-2) for t in trajectories()])
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert [p.requires_grad for p in model.parameters()] == wants
    assert all(p.grad is None for p in model.parameters())


@ALL
def test_runs_side_by_side_equal_runs_alone(
    treatment: Treatment,
    tiny: Profile,
    noise_drawings: Drawings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(module.SIDE_BY_SIDE, "cpu", 3)
    model = network(treatment, tiny)
    runs = [Run(t, rate) for t in trajectories() for rate in (1e-2, 1e-3)]
    alone = [meta_test(treatment, model, noise_drawings, [run])[0] for run in runs]
    assert meta_test(treatment, model, noise_drawings, runs) == alone
    assert meta_test(treatment, model, noise_drawings, runs[::-1]) == alone[::-1]


@ALL
def test_a_class_is_learned_at_a_rate_that_learns(
    treatment: Treatment, tiny: Profile, noise_drawings: Drawings
) -> None:
    """One class among a thousand outputs; two would already be forgotten by these networks."""
    model = network(treatment, tiny)
    runs = [Run(draw_trajectory(1, 1), rate) for rate in (0.5, 1e-9)]
    learned, not_learned = meta_test(treatment, model, noise_drawings, runs, "sgd")
    assert (learned.training, learned.testing) == (1.0, 1.0)
    assert not_learned.training < 0.5


@pytest.mark.parametrize("treatment", [t for t in TREATMENTS.values() if linear_only(t)])
def test_only_the_plastic_linear_layers_learn(treatment: Treatment, tiny: Profile) -> None:
    """The frozen part, and the layers behind it, are the treatment's."""
    model = network(treatment, tiny)
    cut = cut_network(treatment, model)
    layers = cut.plastic
    names = {f"{name}." for name, part in model.named_modules() if any(part is x for x in layers)}
    assert names == set(treatment.plastic)
    x = torch.rand(4, 1, 28, 28, dtype=torch.float64)
    with torch.no_grad():
        pairs = [(layer.weight, layer.bias) for layer in layers]
        features = cut.behind(cut.convolutions(x))
        own = Learned(Run(draw_trajectory(0, 1), 0.1), pairs, features)
        torch.testing.assert_close(own.outputs(features), model(x))


def test_what_is_known_of_a_model_changes_no_score(tiny: Profile, noise_drawings: Drawings) -> None:
    """Whatever was meta-tested before, of OML's two treatments: bit for bit."""
    model = network(TREATMENTS["OML"], tiny)
    known = KnownFeatures(model)
    for name in ("OML", "OML-OLFT", "OML"):
        for n in (1, 3, 2):
            runs = [Run(trajectory, 0.01) for trajectory in trajectories(2, n)]
            alone = meta_test(TREATMENTS[name], model, noise_drawings, runs)
            assert meta_test(TREATMENTS[name], model, noise_drawings, runs, known=known) == alone


def test_the_features_of_a_class_are_computed_once(tiny: Profile, noise_drawings: Drawings) -> None:
    """And anew for other drawings; what they are does not depend on the classes beside."""
    model = network(TREATMENTS["ANML"], tiny)
    seen: list[int] = []
    model.pln.register_forward_hook(lambda layer, given, result: seen.append(len(given[0])))
    known = KnownFeatures(model)
    first = known.of(noise_drawings, np.array([4, 2]))
    assert seen == [20, 20]
    again = known.of(noise_drawings, np.array([2, 3, 4]))
    assert seen == [20] * 3
    assert torch.equal(first.flip(0), again[[0, 2]])
    images = torch.from_numpy(noise_drawings.meta_test[[2, 3, 4]]).flatten(0, 1).unsqueeze(1)
    expected = model.gated(images.double() / 255).detach()
    torch.testing.assert_close(again.flatten(0, 1), expected)
    others = replace(noise_drawings, images=255 - noise_drawings.images)
    assert not torch.equal(known.of(others, np.array([4, 2])), first)
    assert not first.requires_grad


def test_features_are_known_of_the_same_weights_alone(tiny: Profile) -> None:
    model = network(TREATMENTS["OML"], tiny)
    known = KnownFeatures(model)
    assert known.is_of(copy.deepcopy(model))
    assert not known.is_of(network(TREATMENTS["ANML"], tiny))
    assert not known.is_of(network(TREATMENTS["OML"], replace(tiny, oml_channels=4)))
    assert not known.is_of(copy.deepcopy(model).float())
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.rln[0].bias[0] += 1e-6
    assert not known.is_of(other)


def test_the_head_is_drawn_anew_by_the_trajectory(tiny: Profile) -> None:
    """Kaiming normal and zero bias, the same for one seed; not the numbers of a model's seed."""
    model = network(TREATMENTS["OML"], tiny)
    first = fresh_head(model, 0)
    assert torch.equal(first, fresh_head(model, 0))
    assert not torch.equal(first, fresh_head(model, 1))
    assert first.std() == pytest.approx((2 / tiny.oml_hidden) ** 0.5, rel=0.05)
    weight, bias = torch.zeros(7, 5), torch.ones(7)
    module.redraw_head(weight, bias, 0)
    assert (bias == 0).all()
    plain = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
    assert abs(torch.corrcoef(torch.stack((plain.flatten(), weight.flatten())))[0, 1]) < 0.6


@ALL
def test_every_drawing_learned_is_heard_of(
    treatment: Treatment, tiny: Profile, noise_drawings: Drawings
) -> None:
    heard = []
    runs = [Run(t, 1e-3) for t in trajectories(2, 3)]
    meta_test(treatment, network(treatment, tiny), noise_drawings, runs, on_step=heard.append)
    assert sum(heard) == 2 * 3 * 15


def test_the_docstrings_example_runs(tiny: Profile, noise_drawings: Drawings) -> None:
    lines = [line.strip() for line in meta_test.__doc__.splitlines()]
    model = network(TREATMENTS["ANML"], tiny)
    names = vars(module) | {"model": model, "drawings": noise_drawings}
    names |= {"draw_trajectory": draw_trajectory, "find_treatment": TREATMENTS.get}
    exec("\n".join(line for line in lines if line.startswith(("runs = ", "scores = "))), names)
    assert [len(score.per_class) for score in names["scores"]] == [10] * 5


def test_what_is_refused(tiny: Profile, noise_drawings: Drawings) -> None:
    treatment = TREATMENTS["OML"]
    model = network(treatment, tiny)
    one = Run(draw_trajectory(0, 2), 1e-3)
    with pytest.raises(AnmlError, match="adam, sgd"):
        meta_test(treatment, model, noise_drawings, [one], "rmsprop")
    other = Run(draw_trajectory(0, 3, stream=Stream.SEARCH), 1e-3)
    with pytest.raises(AnmlError, match="one number of classes"):
        meta_test(treatment, model, noise_drawings, [one, other])
    longer = replace(one, regime=ORACLE_EPOCHS)
    with pytest.raises(AnmlError, match="epochs"):
        meta_test(treatment, model, noise_drawings, [one, longer])
    with pytest.raises(AnmlError, match="one number of classes"):
        meta_test(treatment, model, noise_drawings, [])
