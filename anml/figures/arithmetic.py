"""How many multiply-adds a meta-iteration asks for, counted from the layers' shapes.

A convolution or linear layer costs its weights once for each output position: the *forward pass*.
Differentiating it costs the same again for the gradient of its weights, and once more for the
gradient of its input, except in a first layer, whose input is an image. The derivative of an inner
step along a direction (`anml.gradients.inner_step.tangent`) differentiates all three products once,
each with respect to both of its factors. So an inner SGD step and its adjoint cost 9 forward
passes, 4 in the first layer; a batch that is only differentiated costs 3, and 2.

On a CPU the outer passes' wide convolutions take fewer (`anml.gradients.winograd`): there the three
products are those of the tiles' points, and the transforms before and behind them count as well.

Counted are the products of convolutions and linear layers, by which a floor under the time follows
from the speed of a matrix product. Not counted: norm, ReLU, pooling, Adam, and the products with a
few vectors by which the rank-one form replaces a matrix (`anml.gradients.low_rank`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from anml.figures.trace import IMAGE_SHAPE
from anml.gradients import winograd
from anml.models import ANML_POOLED, CELLS, KERNEL, OML_STRIDES
from anml.profiles import Profile

TRAINED = (2, 3)
"""A forward pass and its gradient, in forward passes: of the first layer, of each later one."""
TANGENT = (2, 6)
"""The derivative of both along a direction: of each product, with respect to both factors."""


@dataclass(frozen=True)
class Convolution:
    """One layer with a 3 x 3 kernel and no padding."""

    channels_in: int
    channels: int
    stride: int
    side: int  # of its responses, before pooling

    @property
    def forward(self) -> int:
        """Multiply-adds of the forward pass on one image, one by one."""
        return self.channels * self.channels_in * KERNEL**2 * self.side**2

    @property
    def by_points(self) -> bool:
        """Whether a CPU takes it by Winograd's way in an outer pass."""
        return self.stride == 1 and winograd.worth(self.channels_in, self.side)


def _convolutions(
    channels: int, strides: Sequence[int], pooled: Sequence[bool]
) -> list[Convolution]:
    """A stack's layers from the image on."""
    channels_in, _, side = IMAGE_SHAPE
    layers = []
    for stride, pool in zip(strides, pooled, strict=True):
        side = (side - KERNEL) // stride + 1
        layers.append(Convolution(channels_in, channels, stride, side))
        side, channels_in = (side // 2 if pool else side), channels
    return layers


def anml_tower(channels: int) -> list[Convolution]:
    """The convolutions of an ANML tower (NM's or PLN's)."""
    return _convolutions(channels, (1,) * len(ANML_POOLED), ANML_POOLED)


def oml_tower(channels: int) -> list[Convolution]:
    """The convolutions of OML's representation network."""
    return _convolutions(channels, OML_STRIDES, (False,) * len(OML_STRIDES))


def _passes(layers: Sequence[Convolution], products: tuple[int, int]) -> int:
    """Multiply-adds of `products` (as `TRAINED`) over a stack of layers, for one drawing."""
    first, later = products
    return first * layers[0].forward + later * sum(layer.forward for layer in layers[1:])


def _batch(layers: Sequence[Convolution], drawings: int, by_points: bool) -> int:
    """Multiply-adds of an outer pass: a stack of layers forward and differentiated."""
    first, *later = layers
    return TRAINED[0] * drawings * first.forward + sum(
        _with_points(layer, drawings)
        if by_points and layer.by_points
        else TRAINED[1] * drawings * layer.forward
        for layer in later
    )


def _with_points(layer: Convolution, drawings: int) -> int:
    """Multiply-adds of a layer's outer pass by `anml.gradients.winograd`, transforms included."""
    points, responses = winograd.POINTS**2, winograd.TILE**2
    pairs = layer.channels_in * layer.channels
    # The pixels are transformed for the responses, for the kernel's gradient, and back for their
    # own; responses and their gradient once each; kernels three times, for all drawings together.
    tile = points * (3 * pairs + 3 * points * layer.channels_in + 2 * responses * layer.channels)
    tiles = drawings * winograd.tiles_along(layer.side) ** 2
    return tiles * tile + 3 * points * KERNEL**2 * pairs


def anml_iteration(profile: Profile, second_order: bool, by_points: bool) -> int:
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
        + sum(_batch(tower, drawings, by_points) for tower in (pln, nm))
        + drawings * gate
        + (applied + outer_products) * latent * profile.outputs
    )


def oml_iteration(profile: Profile, second_order: bool, by_points: bool) -> int:
    """Multiply-adds of OML's meta-gradient (`anml.gradients.adapt_oml`), one replica.

    Every drawing goes through the convolutions and the hidden layer once: an inner step finds that
    layer's answer there. It applies the head twice (forward, transposed), differentiated in turn.
    """
    differentiated = 3 if second_order else 1
    head = profile.oml_hidden * profile.outputs
    applied = 2 * profile.inner_steps * differentiated * head
    return supervised_iteration(profile, by_points) + applied


def supervised_iteration(profile: Profile, by_points: bool) -> int:
    """Multiply-adds of a batch of `anml.gradients.supervised` in OML's network, one replica."""
    drawings = profile.inner_steps + profile.remember
    hidden = profile.oml_channels * CELLS * profile.oml_hidden
    head = profile.oml_hidden * profile.outputs
    convolutions = _batch(oml_tower(profile.oml_channels), drawings, by_points)
    return convolutions + 3 * drawings * (hidden + head)


def multiply_adds(
    training: str,
    profile: Profile,
    replicas: int = 1,
    second_order: bool = True,
    by_points: bool = True,
) -> int:
    """Multiply-adds of one iteration of 'anml', 'oml' or 'pretrain' at the profile's width.

    `by_points`: the outer passes' wide convolutions as this package has them on a CPU; else all
    convolutions one multiply-add after another.
    """
    if training == "pretrain":
        return replicas * supervised_iteration(profile, by_points)
    count = {"anml": anml_iteration, "oml": oml_iteration}[training]
    return replicas * count(profile, second_order, by_points)


def floor_seconds(count: float, gflops: float) -> float:
    """Seconds that `count` multiply-adds take at `gflops` (10^9 operations a second, 2 each)."""
    return 2 * count / (gflops * 1e9)
