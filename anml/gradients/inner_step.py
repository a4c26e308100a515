"""One inner SGD step of ANML on one drawing, and the exact derivative of that step.

The loss `L` of a drawing depends on the prediction network's weights `w`, on the head, and on the
gate. `forward_backward` gives its gradient. The adjoint of the SGD step `w' = w - rate * grad L` in
a direction `v` needs the derivative of *all* of that gradient along `v`, since mixed second
derivatives commute: `v^T d(grad_w L)/du = d(grad_u L)/dw . v` for any `u` (weights, head or gate).
`tangent` computes it in forward mode, by differentiating each line of `forward_backward` once
(Pearlmutter's R-operator): a product with the Hessian for the price of about two gradients, with no
graph of twenty steps in memory.

Everything carries a leading replica axis `R`. Convolutions are products with unfolded maps
(`columns` [R, P, 9 * C_in]): for one small drawing that is faster than a convolution, and its
derivatives are products too. Convolution biases have no part: the norm subtracts them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from anml.gradients import first_block, later_block
from anml.gradients.first_block import Patches
from anml.gradients.low_rank import LowRankLinear
from anml.models import KERNEL, POOLED_SIDES, SIDES

Weights = Sequence[tuple[Tensor, Tensor, Tensor]]
"""Of each block: kernel, norm scale [R, 1, C], norm shift [R, 1, C]. The kernel is [R, 9, C] in the
first block, [R, C, 9 * C_in] behind it, with the nine taps outside the channels."""


def to_inner(blocks: Weights) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Blocks as `models.tower_blocks` has them, kernels [R, C, C_in, 3, 3], laid out for a step."""
    return [
        (
            kernel.flatten(2).mT.contiguous()
            if index == 0
            else kernel.permute(0, 1, 3, 4, 2).flatten(2),
            scale.unsqueeze(1),
            shift.unsqueeze(1),
        )
        for index, (kernel, scale, shift) in enumerate(blocks)
    ]


def from_inner(weights: Weights) -> list[tuple[Tensor, Tensor, Tensor]]:
    """The reverse of `to_inner`."""
    return [
        (
            kernel.mT.unflatten(2, (1, KERNEL, KERNEL))
            if index == 0
            else kernel.unflatten(2, (KERNEL, KERNEL, -1)).permute(0, 1, 4, 2, 3),
            scale.squeeze(1),
            shift.squeeze(1),
        )
        for index, (kernel, scale, shift) in enumerate(weights)
    ]


@dataclass(frozen=True)
class StepTrace:
    """One drawing's forward and backward pass."""

    first: first_block.Trace
    first_gradient: first_block.Gradient
    columns: tuple[Tensor, ...]  # of the later blocks, [R, P, 9 * C_in]
    later: tuple[later_block.Trace, ...]
    later_gradients: tuple[later_block.Gradient, ...]
    gate: Tensor  # [R, D]
    latent: Tensor  # [R, D] before the gate
    gated: Tensor  # [R, D]
    probabilities: Tensor  # [R, O]
    error: Tensor  # [R, O] softmax minus one-hot: d loss / d logits
    latent_gradient: Tensor  # [R, D] d loss / d gated


def unfold(maps: Tensor, side: int) -> Tensor:
    """Columns [R, side ** 2, 9 * C] of feature maps [R, (side + 2) ** 2, C]."""
    grid = maps.unflatten(1, (side + KERNEL - 1, -1))
    taps = grid.unfold(1, KERNEL, 1).unfold(2, KERNEL, 1)  # [R, side, side, C, 3, 3]
    return taps.permute(0, 1, 2, 4, 5, 3).reshape(maps.shape[0], side**2, -1)


def fold(columns: Tensor, side: int) -> Tensor:
    """The transpose of `unfold`: columns [R, side ** 2, 9 * C] to maps [R, (side + 2) ** 2, C]."""
    taps = columns.unflatten(2, (KERNEL, KERNEL, -1)).unflatten(1, (side, side))
    replicas, channels = taps.shape[0], taps.shape[-1]
    full = side + KERNEL - 1
    rows = taps.new_zeros(replicas, full, side, KERNEL, channels)
    for tap in range(KERNEL):
        rows[:, tap : tap + side].add_(taps[:, :, :, tap])
    maps = taps.new_zeros(replicas, full, full, channels)
    for tap in range(KERNEL):
        maps[:, :, tap : tap + side].add_(rows[:, :, :, tap])
    return maps.flatten(1, 2)


def forward_backward(
    patches: Patches,
    weights: Weights,
    gate: Tensor,
    head: LowRankLinear,
    target: Tensor,
) -> StepTrace:
    """Gradient of one drawing's cross-entropy by hand.

    `patches`: of the drawing, [R, ...]; `gate` [R, D]; `target` int64 [R].
    """
    maps, first = first_block.forward(patches, weights[0])
    columns, later = [], []
    for (kernel, scale, shift), side, pooled_side in zip(
        weights[1:], SIDES[1:], POOLED_SIDES[1:], strict=True
    ):
        columns.append(unfold(maps, side))
        maps, trace = later_block.forward(
            torch.bmm(columns[-1], kernel.mT), scale, shift, pooled_side
        )
        later.append(trace)
    latent = maps.mT.flatten(1)
    gated = gate * latent
    probabilities = torch.softmax(head(gated.unsqueeze(1)).squeeze(1), 1)
    error = probabilities.clone()
    error.scatter_add_(1, target[:, None], torch.full_like(error[:, :1], -1.0))
    latent_gradient = head.transpose(error.unsqueeze(1)).squeeze(1)

    gradients = []
    u = to_maps(latent_gradient * gate, maps)
    for index in reversed(range(len(later))):
        gradients.append(later_block.backward(u, later[index]))
        u = fold(torch.bmm(gradients[-1].x, weights[index + 1][0]), SIDES[index + 1])
    return StepTrace(
        first,
        first_block.backward(u, first),
        tuple(columns),
        tuple(later),
        tuple(reversed(gradients)),
        gate,
        latent,
        gated,
        probabilities,
        error,
        latent_gradient,
    )


def to_maps(latent: Tensor, maps: Tensor) -> Tensor:
    """A vector over the latent units [R, C * 9] as `maps` are laid out, [R, 9, C]."""
    return latent.unflatten(1, (maps.shape[2], -1)).mT.contiguous()


def sgd_step(weights: Weights, trace: StepTrace, rate: float, channels: int = 1) -> Weights:
    """The weights after the step, as new tensors.

    `channels`: how many equal ones the first kernel stands for, being the sum of theirs. Each takes
    the step that one would take alone.
    """
    rates = (rate * channels, rate, rate)
    first = zip(weights[0], trace.first_gradient.weights, rates, strict=True)
    moved = [tuple(torch.sub(w, g, alpha=own) for w, g, own in first)]
    for layer, columns, gradient in zip(
        weights[1:], trace.columns, trace.later_gradients, strict=True
    ):
        kernel, scale, shift = layer
        moved.append(
            (
                torch.baddbmm(kernel, gradient.x.mT, columns, alpha=-rate),
                torch.sub(scale, gradient.scale, alpha=rate),
                torch.sub(shift, gradient.shift, alpha=rate),
            )
        )
    return moved


@dataclass(frozen=True)
class StepTangent:
    """Derivative of a step's gradient along a direction in weights and head."""

    weights: Weights  # the direction moved on, `direction - rate * d gradient`
    gate_gradient: Tensor  # [R, D] of d loss / d gate
    gated: Tensor  # [R, D] of the head's input
    error: Tensor  # [R, O]


def tangent(
    trace: StepTrace,
    weights: Weights,
    head: LowRankLinear,
    direction: Weights,
    head_direction: LowRankLinear,
    rate: float,
    channels: int = 1,
) -> StepTangent:
    """Derivative of everything `forward_backward` computed, along a direction.

    `weights` and `head` are those of the step; `direction` and `head_direction` have their shapes.
    The direction's kernels are overwritten. `channels`: as `sgd_step` has it. With the rates as a
    diagonal matrix `A`, the adjoint of a step `w' = w - A grad L` in a direction `v` is `v` less
    the derivative of all of that gradient along `A v`; the first kernel's rate in `A` is `channels`
    times the others'.
    """
    d_kernel, *d_affine = direction[0]
    first = first_block.forward_tangent(trace.first, (d_kernel * channels, *d_affine))
    d_maps = first.out
    d_columns, later = [], []
    for index, block in enumerate(trace.later):
        kernel = weights[index + 1][0]
        d_kernel, d_scale, d_shift = direction[index + 1]
        d_columns.append(unfold(d_maps, SIDES[index + 1]))
        d_x = torch.baddbmm(torch.bmm(trace.columns[index], d_kernel.mT), d_columns[-1], kernel.mT)
        later.append(later_block.forward_tangent(d_x, d_scale, d_shift, block))
        d_maps = later[-1].out
    d_latent = d_maps.mT.flatten(1)
    d_gated = trace.gate * d_latent
    d_logits = head.linear(d_gated.unsqueeze(1)) + head_direction(trace.gated.unsqueeze(1))
    d_logits = d_logits.squeeze(1)
    p = trace.probabilities
    d_error = p * (d_logits - (p * d_logits).sum(1, keepdim=True))
    d_latent_gradient = head.transpose(d_error.unsqueeze(1))
    d_latent_gradient += head_direction.transpose(trace.error.unsqueeze(1))
    d_latent_gradient = d_latent_gradient.squeeze(1)
    d_gate_gradient = d_latent_gradient * trace.latent + trace.latent_gradient * d_latent

    moved = []
    d_u = to_maps(d_latent_gradient * trace.gate, d_maps)
    for index in reversed(range(len(later))):
        gradient, columns = trace.later_gradients[index], trace.columns[index]
        kernel, (d_kernel, d_scale, d_shift) = weights[index + 1][0], direction[index + 1]
        d_x_gradient, d_scale_gradient, d_shift_gradient = later_block.backward_tangent(
            d_u, trace.later[index], gradient, later[index]
        )
        d_u = fold(
            torch.baddbmm(torch.bmm(gradient.x, d_kernel), d_x_gradient, kernel), SIDES[index + 1]
        )
        d_kernel.baddbmm_(d_x_gradient.mT, columns, alpha=-rate)
        d_kernel.baddbmm_(gradient.x.mT, d_columns[index], alpha=-rate)
        moved.append(
            (
                d_kernel,
                torch.sub(d_scale, d_scale_gradient, alpha=rate),
                torch.sub(d_shift, d_shift_gradient, alpha=rate),
            )
        )
    d_first = first_block.backward_tangent(d_u, trace.first, trace.first_gradient, first)
    moved.append(
        tuple(torch.sub(v, d, alpha=rate) for v, d in zip(direction[0], d_first, strict=True))
    )
    return StepTangent(moved[::-1], d_gate_gradient, d_gated, d_error)
