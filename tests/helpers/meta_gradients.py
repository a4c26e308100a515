"""What the tests of meta-gradients share: networks' inner loops by kind, and how close is equal."""

from collections.abc import Mapping

import pytest
from reference_networks import replicas
from torch import Tensor, nn

from anml.adapt import ANML_FAST, Episode, MetaGradient, anml_meta_gradient
from anml.gradients.adapt_oml import OML_FAST, oml_meta_gradient

OURS = {"anml": anml_meta_gradient, "oml": oml_meta_gradient}
PREFIXES = {"anml": ANML_FAST, "oml": OML_FAST, "oml-linear": OML_FAST}
"""Of what the inner loop moves, by network."""

RATE = 0.1
KINDS = pytest.mark.parametrize("kind", ["anml", "oml"])
ORDERS = pytest.mark.parametrize("second_order", [True, False], ids=["second", "first"])


def ours(kind: str, model: nn.Module, episode: Episode, second_order: bool = True) -> MetaGradient:
    return OURS[kind](replicas([model]), episode, RATE, second_order)


def assert_same(
    result: Mapping[str, Tensor], expected: Mapping[str, Tensor], tolerance: float = 1e-10
) -> None:
    """To 1e-10 of the largest entry of each tensor; every entry is compared."""
    assert result.keys() == expected.keys()
    scale = max(tensor.abs().max() for tensor in expected.values())
    for name, tensor in expected.items():
        assert result[name].shape == tensor.shape, name
        # Biases in front of a norm: zero here, rounding errors in the references.
        if ".conv.bias" in name:
            assert (result[name] == 0).all(), name
            assert tensor.abs().max() < 1e-12 * scale, name
        else:
            assert tensor.abs().max() > 1e-9 * scale, f"{name}: nothing to compare"
            error = (result[name] - tensor).abs().max()
            assert error <= tolerance * tensor.abs().max(), f"{name}: {error:.1e}"


def inner_and_outer(episode: Episode, r: int = 0) -> tuple[Tensor, Tensor]:
    """Drawings [K + M, 1, 28, 28] and classes [K + M] of one replica."""
    return episode.images[:, r, None], episode.classes[r]
