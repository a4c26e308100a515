"""OML with a linear PLN, and what its sister's inner loop leaves out. Float64, every entry.

That OML's own meta-gradient is right, `test_adapt` and `test_adapt_references` show beside ANML's.
"""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from reference_networks import one_replica, random_episode, replicas
from torch import Tensor

from anml.adapt import Episode, MetaGradient, plain_meta_gradient
from anml.gradients.adapt_oml import OML_FAST, oml_linear_meta_gradient, oml_meta_gradient
from anml.models import OML, OMLLinear

pytestmark = pytest.mark.usefixtures("_both_convolutions")

RATE = 0.1
ORDERS = pytest.mark.parametrize("second_order", [True, False], ids=["second", "first"])


def network(seed: int = 0) -> OMLLinear:
    """Random everywhere, biases too."""
    torch.manual_seed(seed)
    model = OMLLinear(3, 7).double()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.normal_(0.0, 0.3)
    return model


def ours(model: OMLLinear, episode: Episode, second_order: bool = True) -> MetaGradient:
    return oml_linear_meta_gradient(replicas([model]), episode, RATE, second_order)


def assert_same(result: MetaGradient, expected: MetaGradient) -> None:
    assert result.gradients.keys() == expected.gradients.keys()
    for name, tensor in expected.gradients.items():
        assert tensor.abs().max() > 0, name
        error = (result.gradients[name] - tensor).abs().max()
        assert error <= 1e-10 * tensor.abs().max(), f"{name}: {error:.1e}"
    torch.testing.assert_close(result.loss, expected.loss, rtol=1e-12, atol=0)
    assert torch.equal(result.correct, expected.correct)


@ORDERS
def test_equals_autograd_through_unrolled_sgd(second_order: bool) -> None:
    model, episode = network(), random_episode()
    expected = plain_meta_gradient(model, OML_FAST, episode, RATE, second_order)
    assert_same(ours(model, episode, second_order), expected)


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    steps=st.integers(1, 20),
    remember=st.integers(1, 5),
    second_order=st.booleans(),
)
def test_whatever_is_drawn(seed: int, steps: int, remember: int, second_order: bool) -> None:
    model, episode = network(seed), random_episode(seed, steps, remember)
    expected = plain_meta_gradient(model, OML_FAST, episode, RATE, second_order)
    # A network this small may be born dead: then there is nothing to compare.
    assume(all(g.abs().max() > 0 for g in expected.gradients.values()))
    assert_same(ours(model, episode, second_order), expected)


def test_first_and_second_order_differ() -> None:
    model, episode = network(), random_episode()
    second, first = (
        ours(model, episode, order).gradients["rln.0.weight"] for order in (True, False)
    )
    assert (second - first).abs().max() > 1e-3 * first.abs().max()


@ORDERS
def test_replicas_equal_single_runs(second_order: bool) -> None:
    models, episode = [network(seed) for seed in range(3)], random_episode(count=3)
    together = oml_linear_meta_gradient(replicas(models), episode, RATE, second_order)
    for r, model in enumerate(models):
        own = MetaGradient(
            {n: g[r : r + 1] for n, g in together.gradients.items()},
            together.loss[r : r + 1],
            together.correct[r : r + 1],
        )
        assert_same(own, ours(model, one_replica(episode, r), second_order))


def test_the_network_is_a_representation_and_one_linear_layer() -> None:
    model, images = network(), torch.rand(5, 1, 28, 28, dtype=torch.float64)
    representation = model.representation(images)
    assert representation.shape == (5, 27)
    expected = representation @ model.head.weight.T + model.head.bias
    torch.testing.assert_close(model(images), expected, rtol=1e-12, atol=0)
    names = {name.split(".")[0] for name, _ in model.named_parameters()}
    assert names == {"rln", "head"}
    full = sum(p.numel() for p in OMLLinear().parameters() if p.dim() < 4)
    assert full == 6 * 256 + 2304 * 1000 + 1000


@pytest.mark.parametrize("kind", ["oml", "oml-linear"])
def test_autograd_sees_no_matrix_of_a_linear_layer(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their gradients are one product each, not one for every step of the inner loop."""
    model, gradient = (
        (OML(3, 6, 7), oml_meta_gradient)
        if kind == "oml"
        else (network(), oml_linear_meta_gradient)
    )
    asked: list[tuple[int, ...]] = []
    grad = torch.autograd.grad

    def spy(outputs: Tensor, inputs: list[Tensor], *rest: object) -> object:
        asked.extend(tuple(t.shape) for t in inputs)
        return grad(outputs, inputs, *rest)

    monkeypatch.setattr(torch.autograd, "grad", spy)
    parameters = replicas([model.double()])
    result = gradient(parameters, random_episode(remember=6), RATE)
    matrices = [p.shape for p in parameters.values() if p.dim() == 3 and p.shape[1] > 1]
    assert asked
    assert not {tuple(shape) for shape in matrices} & set(asked)
    for name, tensor in result.gradients.items():
        assert tensor.shape == parameters[name].shape
        if tensor.dim() == 3:
            assert tensor.is_contiguous(), name
