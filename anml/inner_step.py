"""One inner SGD step of ANML on one drawing, and the exact derivative of that step.

The loss `L` of a drawing depends on the prediction network's weights `w`, on the head, and on the
gate. `forward_backward` gives its gradient. The adjoint of the SGD step `w' = w - rate * grad L` in
a direction `v` needs the derivative of *all* of that gradient along `v`, since mixed second
derivatives commute: `v^T d(grad_w L)/du = d(grad_u L)/dw . v` for any `u` (weights, head or gate).
`tangent` computes it in forward mode, by differentiating each line of `forward_backward` once
(Pearlmutter's R-operator): a product with the Hessian for the price of about two gradients, with no
graph of twenty steps in memory.

Everything carries a leading replica axis `R`. Convolutions are products with unfolded drawings
(`columns`, [R, C_in * 9, P]): for one small drawing that is faster than a convolution, and its
derivatives are products too. Convolution biases have no part: the norm subtracts them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from anml.low_rank import LowRankLinear
from anml.models import ANML_POOLED, KERNEL, NORM_EPS

Weights = Sequence[tuple[Tensor, Tensor, Tensor]]
"""Of each block: kernel [R, C, C_in * 9], norm scale [R, C, 1], norm shift [R, C, 1]."""


@dataclass(frozen=True)
class BlockTrace:
    """What the tangent pass of one block needs from its forward and backward pass."""

    columns: Tensor  # [R, C_in * 9, P] unfolded input
    side: int  # the convolution's output is side x side, P = side ** 2
    scale: Tensor  # [R, C, 1] the norm's scale
    inverse_std: Tensor  # [R, C, 1]
    normed: Tensor  # [R, C, P] after the norm, before its affine
    kept: Tensor | None  # [R, C, Q] index into P of each pooled maximum; None: no pooling
    active: Tensor  # [R, C, Q] 1 where ReLU lets through


@dataclass(frozen=True)
class StepTrace:
    """One drawing's forward and backward pass."""

    blocks: tuple[BlockTrace, ...]
    gradients: tuple[tuple[Tensor, Tensor, Tensor], ...]
    upstream: tuple[tuple[Tensor, Tensor], ...]  # of each block: d/d normed-affine, d/d conv output
    gate: Tensor  # [R, D]
    latent: Tensor  # [R, D] before the gate
    gated: Tensor  # [R, D]
    probabilities: Tensor  # [R, O]
    error: Tensor  # [R, O] softmax minus one-hot: d loss / d logits
    latent_gradient: Tensor  # [R, D] d loss / d gated


def unfold(maps: Tensor) -> Tensor:
    """Columns [R, C * 9, P] of feature maps [R, C, side + 2, side + 2]."""
    return F.unfold(maps, KERNEL)


def fold(columns: Tensor, side: int) -> Tensor:
    """The transpose of `unfold`: columns [R, C * 9, side ** 2] to maps, flattened [R, C, Q]."""
    return F.fold(columns, (side + 2, side + 2), KERNEL).flatten(2)


def whiten(u: Tensor, block: BlockTrace) -> Tensor:
    """Derivative of the per-image norm applied to `u` [R, C, P]; symmetric, so also its adjoint."""
    mean = u.mean(2, keepdim=True)
    along = (u * block.normed).mean(2, keepdim=True)
    return block.inverse_std * torch.addcmul(u - mean, block.normed, along, value=-1)


def block_forward(
    columns: Tensor, weights: tuple[Tensor, Tensor, Tensor], pooled: bool
) -> tuple[Tensor, BlockTrace]:
    """One block on one drawing a replica: output [R, C, Q] (at least 0) and its trace."""
    kernel, scale, shift = weights
    side = round(columns.shape[2] ** 0.5)
    x = kernel @ columns
    variance, mean = torch.var_mean(x, 2, correction=0, keepdim=True)
    inverse_std = torch.rsqrt(variance + NORM_EPS)
    normed = (x - mean) * inverse_std
    y = torch.addcmul(shift, scale, normed)
    kept = None
    if pooled:
        y, kept = F.max_pool2d(y.unflatten(2, (side, side)), 2, return_indices=True)
        y, kept = y.flatten(2), kept.flatten(2)
    active = (y > 0).to(y.dtype)
    return y * active, BlockTrace(columns, side, scale, inverse_std, normed, kept, active)


def unpool(u: Tensor, block: BlockTrace) -> Tensor:
    """Gradient [R, C, P] before pooling and ReLU from the gradient `u` [R, C, Q] behind them."""
    u = u * block.active
    if block.kept is None:
        return u
    return torch.zeros_like(block.normed).scatter_(2, block.kept, u)


def forward_backward(
    first_columns: Tensor,
    weights: Weights,
    gate: Tensor,
    head: LowRankLinear,
    target: Tensor,
) -> StepTrace:
    """Gradient of one drawing's cross-entropy by hand.

    `first_columns` [R, 9, 676]: the unfolded drawing; `gate` [R, D]; `target` int64 [R].
    """
    blocks = []
    columns = first_columns
    for layer, pooled in zip(weights, ANML_POOLED, strict=True):
        maps, block = block_forward(columns, layer, pooled)
        blocks.append(block)
        if len(blocks) < len(weights):
            side = round(maps.shape[2] ** 0.5)
            columns = unfold(maps.unflatten(2, (side, side)))
    latent = maps.flatten(1)
    gated = gate * latent
    probabilities = torch.softmax(head(gated.unsqueeze(1)).squeeze(1), 1)
    error = probabilities.clone()
    error.scatter_add_(1, target[:, None], torch.full_like(error[:, :1], -1.0))
    latent_gradient = head.transpose(error.unsqueeze(1)).squeeze(1)

    gradients, upstream = [], []
    u = (latent_gradient * gate).unflatten(1, (maps.shape[1], -1))
    for index in reversed(range(len(blocks))):
        block = blocks[index]
        y_gradient = unpool(u, block)
        x_gradient = whiten(y_gradient * block.scale, block)
        gradients.append(
            (
                x_gradient @ block.columns.mT,
                (y_gradient * block.normed).sum(2, keepdim=True),
                y_gradient.sum(2, keepdim=True),
            )
        )
        upstream.append((y_gradient, x_gradient))
        if index:
            u = fold(weights[index][0].mT @ x_gradient, block.side)
    return StepTrace(
        tuple(blocks),
        tuple(reversed(gradients)),
        tuple(reversed(upstream)),
        gate,
        latent,
        gated,
        probabilities,
        error,
        latent_gradient,
    )


@dataclass(frozen=True)
class StepTangent:
    """Derivative of a step's gradient along a direction in weights and head."""

    gradients: tuple[tuple[Tensor, Tensor, Tensor], ...]  # of the weights' gradients
    gate_gradient: Tensor  # [R, D] of d loss / d gate
    gated: Tensor  # [R, D] of the head's input
    error: Tensor  # [R, O]


def tangent(
    trace: StepTrace,
    weights: Weights,
    head: LowRankLinear,
    direction: Weights,
    head_direction: LowRankLinear,
) -> StepTangent:
    """Derivative of everything `forward_backward` computed, along a direction.

    `weights` and `head` are those of the step; `direction` and `head_direction` have their shapes.
    """
    d_columns: list[Tensor | None] = [None]
    d_normed, whiten_along = [], []
    for index, (block, layer, along) in enumerate(
        zip(trace.blocks, weights, direction, strict=True)
    ):
        d_x = along[0] @ block.columns
        if d_columns[index] is not None:
            d_x = torch.baddbmm(d_x, layer[0], d_columns[index])
        # whiten() of d_x, keeping the mean that the norm's own derivative needs again.
        on_normed = (d_x * block.normed).mean(2, keepdim=True)
        d_n = block.inverse_std * torch.addcmul(
            d_x - d_x.mean(2, keepdim=True), block.normed, on_normed, value=-1
        )
        d_normed.append(d_n)
        whiten_along.append(on_normed)
        d_y = torch.addcmul(along[2], along[1], block.normed).addcmul_(block.scale, d_n)
        if block.kept is not None:
            d_y = d_y.gather(2, block.kept)
        d_maps = d_y * block.active
        if index + 1 < len(trace.blocks):
            side = round(d_maps.shape[2] ** 0.5)
            d_columns.append(unfold(d_maps.unflatten(2, (side, side))))
    d_latent = d_maps.flatten(1)
    d_gated = trace.gate * d_latent
    d_logits = head.linear(d_gated.unsqueeze(1)) + head_direction(trace.gated.unsqueeze(1))
    d_logits = d_logits.squeeze(1)
    p = trace.probabilities
    d_error = p * (d_logits - (p * d_logits).sum(1, keepdim=True))
    d_latent_gradient = head.transpose(d_error.unsqueeze(1))
    d_latent_gradient += head_direction.transpose(trace.error.unsqueeze(1))
    d_latent_gradient = d_latent_gradient.squeeze(1)
    d_gate_gradient = d_latent_gradient * trace.latent + trace.latent_gradient * d_latent

    d_gradients = []
    d_u = (d_latent_gradient * trace.gate).unflatten(1, (d_maps.shape[1], -1))
    for index in reversed(range(len(trace.blocks))):
        block, layer, along = trace.blocks[index], weights[index], direction[index]
        y_gradient, x_gradient = trace.upstream[index]
        d_n = d_normed[index]
        d_y_gradient = unpool(d_u, block)
        d_scale = (d_y_gradient * block.normed).sum(2, keepdim=True) + (y_gradient * d_n).sum(
            2, keepdim=True
        )
        n_gradient = y_gradient * block.scale
        # Derivative of whiten(n_gradient): through its argument, the deviation, the normed maps.
        d_x_gradient = whiten(
            torch.addcmul(d_y_gradient * block.scale, y_gradient, along[1]), block
        )
        on_normed = (n_gradient * block.normed).mean(2, keepdim=True)
        on_d_normed = (n_gradient * d_n).mean(2, keepdim=True)
        d_x_gradient -= block.inverse_std * (
            whiten_along[index] * x_gradient + d_n * on_normed + block.normed * on_d_normed
        )
        d_kernel = d_x_gradient @ block.columns.mT
        if d_columns[index] is not None:
            d_kernel = torch.baddbmm(d_kernel, x_gradient, d_columns[index].mT)
        d_gradients.append((d_kernel, d_scale, d_y_gradient.sum(2, keepdim=True)))
        if index:
            d_u = fold(
                torch.baddbmm(along[0].mT @ x_gradient, layer[0].mT, d_x_gradient), block.side
            )
    return StepTangent(tuple(reversed(d_gradients)), d_gate_gradient, d_gated, d_error)
