"""ANML's second and third block behind their convolution: norm, max-pool, ReLU; with derivatives.

The convolution itself is the caller's: a product with unfolded maps in the inner step, that of
`convolution` in the outer passes. Maps are position-major [..., P, C]; leading axes are what is
normalised apart. With `d` the response less its mean, norm and affine are `y = gain * d + shift`,
and `gain = scale * inverse_std`. The two sums that are the gradients of shift and gain are also
what the norm takes from the response's gradient: each derivative passes over the maps only a few
times.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from anml.gradients.pooling import grid_places, in_grid, pool, rectify
from anml.models import NORM_EPS


@dataclass(frozen=True)
class Trace:
    """What the derivatives need of the forward pass."""

    scale: Tensor  # [..., 1, C] the norm's
    inverse_std: Tensor  # [..., 1, C]
    inverse_variance: Tensor  # [..., 1, C]
    gain: Tensor  # [..., 1, C] scale * inverse_std
    deviation: Tensor  # [..., P, C] the response less its mean
    kept: Tensor  # [..., P, C]; pooled: windows [..., n, h, 2, h, 2, C]
    pooled_side: int | None  # side of the maps that are pooled; None: no pooling


def forward(
    x: Tensor, scale: Tensor, shift: Tensor, pooled_side: int | None
) -> tuple[Tensor, Trace]:
    """Output [..., Q, C], at least 0, from the convolution's response `x` [..., P, C]; the trace.

    `scale`, `shift`: [..., 1, C]. `pooled_side`: max-pool maps of this side, or None.
    """
    deviation = centred(x)
    inverse_std = torch.rsqrt((deviation * deviation).mean(-2, keepdim=True) + NORM_EPS)
    gain = scale * inverse_std
    y = torch.addcmul(shift, gain, deviation)
    if pooled_side is None:
        out, kept = rectify(y), y
    else:
        kept = in_grid(y, pooled_side)
        out = pool(grid_places(kept)).flatten(-4, -2)
    squared = inverse_std * inverse_std
    return out, Trace(scale, inverse_std, squared, gain, deviation, kept, pooled_side)


def centred(x: Tensor) -> Tensor:
    """`x` [..., P, C] less its mean over P."""
    return torch.sub(x, x.sum(-2, keepdim=True), alpha=1 / x.shape[-2])


def spread(u: Tensor, trace: Trace) -> Tensor:
    """Gradient [..., P, C] in front of pooling and ReLU from `u` [..., Q, C] behind them."""
    if trace.pooled_side is None:
        return u * trace.kept
    result = torch.zeros_like(trace.deviation)
    # A pooled value goes to the four places of its window, where it was kept.
    *leading, half, _, _, _, channels = trace.kept.shape
    pooled = u.view(*leading, half, 1, half, 1, channels)
    torch.mul(pooled, trace.kept, out=in_grid(result, trace.pooled_side))
    return result


def gather(y: Tensor, trace: Trace) -> Tensor:
    """The transpose of `spread`: of `y` [..., P, C] what came through, [..., Q, C]."""
    if trace.pooled_side is None:
        return y * trace.kept
    places = grid_places(in_grid(y, trace.pooled_side))
    (first, kept), *others = zip(places, grid_places(trace.kept), strict=True)
    result = first * kept
    for place, kept in others:
        result.addcmul_(place, kept)
    return result.flatten(-4, -2)


@dataclass(frozen=True)
class Gradient:
    """Gradients of response, scale and shift, and parts of them that the tangent needs again."""

    x: Tensor  # [..., P, C]
    scale: Tensor  # [..., 1, C]
    shift: Tensor  # [..., 1, C]
    y: Tensor  # [..., P, C] in front of pooling and ReLU
    gain: Tensor  # [..., 1, C]
    pull: Tensor  # [..., 1, C] how much of the deviation the norm takes back, times P
    direction: Tensor  # [..., P, C] the response's gradient, but for the factor `trace.gain`


def backward(u: Tensor, trace: Trace) -> Gradient:
    """Gradients from `u` [..., Q, C], the gradient of the output."""
    y = spread(u, trace)
    positions = y.shape[-2]
    shift = y.sum(-2, keepdim=True)
    gain = (y * trace.deviation).sum(-2, keepdim=True)
    # d inverse_std / d deviation = -inverse_std^3 * deviation / P; the mean's share goes as well.
    pull = trace.inverse_variance * gain
    direction = torch.sub(y, shift, alpha=1 / positions)
    direction.addcmul_(trace.deviation, pull, value=-1 / positions)
    x = trace.gain * direction
    return Gradient(x, trace.inverse_std * gain, shift, y, gain, pull, direction)


@dataclass(frozen=True)
class Tangent:
    """Derivatives of a trace along a direction in response, scale and shift."""

    out: Tensor  # [..., Q, C]
    deviation: Tensor  # [..., P, C]
    shrinkage: Tensor  # [..., 1, C] minus the relative change of inverse_std
    gain: Tensor  # [..., 1, C]


def forward_tangent(d_x: Tensor, d_scale: Tensor, d_shift: Tensor, trace: Trace) -> Tangent:
    """Derivative of `forward` along `d_x` [..., P, C], `d_scale` and `d_shift` [..., 1, C]."""
    d_deviation = centred(d_x)
    shrinkage = trace.inverse_variance * (d_x * trace.deviation).mean(-2, keepdim=True)
    d_gain = trace.inverse_std * torch.addcmul(d_scale, trace.scale, shrinkage, value=-1)
    d_y = torch.addcmul(d_shift, d_gain, trace.deviation).addcmul_(trace.gain, d_deviation)
    return Tangent(gather(d_y, trace), d_deviation, shrinkage, d_gain)


def backward_tangent(
    d_u: Tensor, trace: Trace, gradient: Gradient, tangent: Tangent
) -> tuple[Tensor, Tensor, Tensor]:
    """Derivative of the gradients of response [..., P, C], scale and shift [..., 1, C].

    `d_u` [..., Q, C]: the derivative of `backward`'s `u`.
    """
    d_y = spread(d_u, trace)
    positions = d_y.shape[-2]
    d_shift = d_y.sum(-2, keepdim=True)
    d_gain = (d_y * trace.deviation).addcmul_(gradient.y, tangent.deviation)
    d_gain = d_gain.sum(-2, keepdim=True)
    shrinkage, gain = tangent.shrinkage, gradient.gain
    d_pull = trace.inverse_variance * torch.addcmul(d_gain, shrinkage, gain, value=-2)
    d_x = torch.sub(d_y, d_shift, alpha=1 / positions)
    d_x.addcmul_(tangent.deviation, gradient.pull, value=-1 / positions)
    d_x.addcmul_(trace.deviation, d_pull, value=-1 / positions)
    d_x.mul_(trace.gain).addcmul_(gradient.direction, tangent.gain)
    d_scale = trace.inverse_std * torch.addcmul(d_gain, shrinkage, gain, value=-1)
    return d_x, d_scale, d_shift
