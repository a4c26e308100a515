"""ANML's first block (convolution, norm, max-pool, ReLU) as one product, with its derivatives.

It sees one channel, so that its norm needs no pass over its 26 x 26 maps. With the 3 x 3 patches of
a drawing centred, `X` [P, 9], and their covariance `S = X^T X / P`, a kernel `w` [9] responds with
mean 0 and variance `w^T S w`. Convolution, norm and affine are

    y = X e + shift,    e = scale * (w^T S w + eps)^(-1/2) * w    (the effective kernel),

and the norm's derivatives are algebra on [9, C]. Drawings are unfolded once, for every pass of both
networks. Leading axes: `R` replicas in the inner step, `[R, G]` in the outer passes, which
normalise `G` groups of drawings each on its own.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from anml.gradients.pooling import pool, window_major
from anml.models import KERNEL, NORM_EPS

TAPS = KERNEL**2

Weights = tuple[Tensor, Tensor, Tensor]
"""Kernel [..., 9, C], the norm's scale and shift [..., 1, C]."""


@dataclass(frozen=True)
class Patches:
    """Unfolded drawings, centred. Positions are window-major, as `pooling.window_major` wants."""

    columns: Tensor  # [..., P, 10]: the patch's pixels less their mean, and 1 for the norm's shift
    covariance: Tensor  # [..., 9, 9]

    def drawing(self, k: int) -> "Patches":
        """Drawing `k` of every replica, without the axis G."""
        return Patches(self.columns[:, k], self.covariance[:, k])


def patches(images: Tensor, together: bool = False) -> Patches:
    """Patches of `images` [B, R, 28, 28], columns [R, G, P, 10] with G * P = B * 676.

    `together`: centred over all drawings (G = 1) instead of each on its own (G = B).
    """
    count, replicas = images.shape[:2]
    taps = images.transpose(0, 1).unfold(2, KERNEL, 1).unfold(3, KERNEL, 1)
    half = taps.shape[2] // 2
    groups = (1, count) if together else (count, 1)
    # [R, G, B / G, 13, 2, 13, 2, 9] to [R, G, 2, 2, B / G, 13, 13, 9]
    taps = taps.reshape(replicas, *groups, half, 2, half, 2, TAPS)
    taps = taps.permute(0, 1, 4, 6, 2, 3, 5, 7).flatten(2, 6)
    columns = taps.new_ones(*taps.shape[:-1], TAPS + 1)
    centred = torch.sub(taps, taps.mean(2, keepdim=True), out=columns[..., :TAPS])
    return Patches(columns, centred.mT @ centred / columns.shape[2])


def product(a: Tensor, b: Tensor) -> Tensor:
    """Matrix product. For the inner step's small ones (three axes) `@` takes twice as long."""
    return torch.bmm(a, b) if a.dim() == 3 else a @ b


@dataclass(frozen=True)
class Trace:
    """What the derivatives need of the forward pass."""

    patches: Patches
    weights: Weights
    mixed: Tensor  # [..., 9, C] covariance times kernel
    inverse_std: Tensor  # [..., 1, C]
    inverse_variance: Tensor  # [..., 1, C]
    gain: Tensor  # [..., 1, C] scale * inverse_std
    kept: Tensor  # [..., 4, P / 4, C]


def forward(patches: Patches, weights: Weights) -> tuple[Tensor, Trace]:
    """Output [..., P / 4, C], at least 0, and the trace."""
    kernel, scale, shift = weights
    mixed = product(patches.covariance, kernel)
    inverse_std = torch.rsqrt((mixed * kernel).sum(-2, keepdim=True) + NORM_EPS)
    gain = scale * inverse_std
    y = respond(patches, kernel * gain, shift)
    kept = window_major(y)
    out = pool(kept.unbind(-3))
    squared = inverse_std * inverse_std
    return out, Trace(patches, weights, mixed, inverse_std, squared, gain, kept)


def respond(patches: Patches, kernel: Tensor, shift: Tensor) -> Tensor:
    """Every patch's product with `kernel` [..., 9, C], plus `shift` [..., 1, C]: [..., P, C]."""
    return product(patches.columns, torch.cat((kernel, shift.expand_as(kernel[..., :1, :])), -2))


def correlate(u: Tensor, trace: Trace) -> tuple[Tensor, Tensor]:
    """The transpose of `respond` and pooling: `u` [..., P / 4, C] to kernel and shift."""
    kept = (trace.kept * u.unsqueeze(-3)).flatten(-3, -2)
    both = product(trace.patches.columns.mT, kept)
    return both[..., :TAPS, :], both[..., TAPS:, :]


@dataclass(frozen=True)
class Gradient:
    """Gradients of the weights, and the parts of them that the tangent needs again."""

    weights: Weights
    effective: Tensor  # [..., 9, C] of the effective kernel
    gain: Tensor  # [..., 1, C]
    pull: Tensor  # [..., 1, C] how much of the kernel's growth the norm takes back
    direction: Tensor  # [..., 9, C] the kernel's gradient, but for the factor `trace.gain`


def backward(u: Tensor, trace: Trace) -> Gradient:
    """Gradients of the weights from `u` [..., P / 4, C], the gradient of the output."""
    kernel, _, _ = trace.weights
    effective, shift = correlate(u, trace)
    gain = (effective * kernel).sum(-2, keepdim=True)
    # d inverse_std / d kernel = -inverse_std^3 * mixed
    pull = trace.inverse_variance * gain
    direction = torch.addcmul(effective, pull, trace.mixed, value=-1)
    weights = (trace.gain * direction, trace.inverse_std * gain, shift)
    return Gradient(weights, effective, gain, pull, direction)


@dataclass(frozen=True)
class Tangent:
    """Derivatives of a trace along a direction in the weights."""

    along: Weights
    out: Tensor  # [..., P / 4, C]
    shrinkage: Tensor  # [..., 1, C] minus the relative change of inverse_std
    gain: Tensor  # [..., 1, C]


def forward_tangent(trace: Trace, along: Weights) -> Tangent:
    """Derivative of `forward` along the direction `along`."""
    kernel, scale, _ = trace.weights
    d_kernel, d_scale, d_shift = along
    shrinkage = trace.inverse_variance * (trace.mixed * d_kernel).sum(-2, keepdim=True)
    d_gain = trace.inverse_std * torch.addcmul(d_scale, scale, shrinkage, value=-1)
    d_effective = (trace.gain * d_kernel).addcmul_(d_gain, kernel)
    d_y = window_major(respond(trace.patches, d_effective, d_shift))
    return Tangent(along, (d_y * trace.kept).sum(-3), shrinkage, d_gain)


def backward_tangent(d_u: Tensor, trace: Trace, gradient: Gradient, tangent: Tangent) -> Weights:
    """Derivative of the weights' gradients, `d_u` [..., P / 4, C] being that of `u`."""
    kernel, d_kernel = trace.weights[0], tangent.along[0]
    shrinkage, gain = tangent.shrinkage, gradient.gain
    d_effective, d_shift = correlate(d_u, trace)
    d_gain = (d_effective * kernel).addcmul_(gradient.effective, d_kernel).sum(-2, keepdim=True)
    d_pull = trace.inverse_variance * torch.addcmul(d_gain, shrinkage, gain, value=-2)
    d_mixed = product(trace.patches.covariance, d_kernel)
    d_direction = torch.addcmul(d_effective, d_pull, trace.mixed, value=-1)
    d_direction.addcmul_(gradient.pull, d_mixed, value=-1)
    return (
        (trace.gain * d_direction).addcmul_(tangent.gain, gradient.direction),
        trace.inverse_std * torch.addcmul(d_gain, shrinkage, gain, value=-1),
        d_shift,
    )
