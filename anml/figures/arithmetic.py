"""How many multiply-adds a meta-iteration asks for, counted from the layers' shapes.

A convolution or linear layer costs its weights once for each output position: the *forward pass*.
Differentiating it costs the same again for the gradient of its weights, and once more for the
gradient of its input, except in a first layer, whose input is an image. The derivative of an inner
step along a direction (`anml.gradients.inner_step.tangent`) differentiates all three products once,
each with respect to both of its factors. So an inner SGD step and its adjoint cost 9 forward
passes, 4 in the first layer; a batch that is only differentiated costs 3, and 2.

Counted are the products of convolutions and linear layers, by which a floor under the time follows
from the speed of a matrix product. Not counted: norm, ReLU, pooling, Adam, and the products with a
few vectors by which the rank-one form replaces a matrix (`anml.gradients.low_rank`).
"""

from collections.abc import Sequence

from anml.figures.trace import IMAGE_SHAPE
from anml.models import ANML_POOLED, CELLS, KERNEL, OML_STRIDES
from anml.profiles import Profile

TRAINED = (2, 3)
"""A forward pass and its gradient, in forward passes: of the first layer, of each later one."""
TANGENT = (2, 6)
"""The derivative of both along a direction: of each product, with respect to both factors."""


def _convolutions(channels: int, strides: Sequence[int], pooled: Sequence[bool]) -> list[int]:
    """Multiply-adds of each layer's forward pass on one image; no padding, kernel 3 x 3."""
    channels_in, _, side = IMAGE_SHAPE
    counts = []
    for stride, pool in zip(strides, pooled, strict=True):
        side = (side - KERNEL) // stride + 1
        counts.append(channels * channels_in * KERNEL**2 * side**2)
        side, channels_in = (side // 2 if pool else side), channels
    return counts


def anml_tower(channels: int) -> list[int]:
    """Multiply-adds of each convolution of an ANML tower (NM's or PLN's) on one image."""
    return _convolutions(channels, (1,) * len(ANML_POOLED), ANML_POOLED)


def oml_tower(channels: int) -> list[int]:
    """Multiply-adds of each convolution of OML's representation network on one image."""
    return _convolutions(channels, OML_STRIDES, (False,) * len(OML_STRIDES))


def _passes(layers: Sequence[int], products: tuple[int, int]) -> int:
    """Multiply-adds of `products` (as `TRAINED`) over a stack of layers."""
    first, later = products
    return first * layers[0] + later * sum(layers[1:])


def anml_iteration(profile: Profile, second_order: bool = True) -> int:
    """Multiply-adds of ANML's meta-gradient: `anml.adapt.anml_meta_gradient`, one replica.

    NM sees every drawing once. The head is never differentiated as a matrix: each application, also
    transposed, is one product, and its gradient is a sum of outer products.
    """
    steps, drawings = profile.inner_steps, profile.inner_steps + profile.remember
    pln, nm = anml_tower(profile.pln_channels), anml_tower(profile.nm_channels)
    latent = profile.pln_channels * CELLS
    inner = _passes(pln, TRAINED) + (_passes(pln, TANGENT) if second_order else 0)
    applied = 2 * (2 if second_order else 1) * steps + 2 * drawings
    outer_products = drawings + (2 * steps if second_order else 0)
    gate = 3 * profile.nm_channels * CELLS * latent
    return (
        steps * inner
        + drawings * (_passes(pln, TRAINED) + _passes(nm, TRAINED) + gate)
        + (applied + outer_products) * latent * profile.outputs
    )


def oml_iteration(profile: Profile, second_order: bool = True) -> int:
    """Multiply-adds of OML's meta-gradient (`anml.gradients.adapt_oml`), one replica.

    Every drawing goes through the convolutions and the hidden layer once: an inner step finds that
    layer's answer there. It applies the head twice (forward, transposed), differentiated in turn.
    """
    differentiated = 3 if second_order else 1
    head = profile.oml_hidden * profile.outputs
    return supervised_iteration(profile) + 2 * profile.inner_steps * differentiated * head


def supervised_iteration(profile: Profile) -> int:
    """Multiply-adds of a batch of `anml.gradients.supervised` in OML's network, one replica."""
    drawings = profile.inner_steps + profile.remember
    hidden = profile.oml_channels * CELLS * profile.oml_hidden
    head = profile.oml_hidden * profile.outputs
    return drawings * (_passes(oml_tower(profile.oml_channels), TRAINED) + 3 * (hidden + head))


def multiply_adds(
    training: str, profile: Profile, replicas: int = 1, second_order: bool = True
) -> int:
    """Multiply-adds of one iteration of 'anml', 'oml' or 'pretrain' at the profile's width."""
    if training == "pretrain":
        return replicas * supervised_iteration(profile)
    count = {"anml": anml_iteration, "oml": oml_iteration}[training]
    return replicas * count(profile, second_order)


def floor_seconds(count: float, gflops: float) -> float:
    """Seconds that `count` multiply-adds take at `gflops` (10^9 operations a second, 2 each)."""
    return 2 * count / (gflops * 1e9)
