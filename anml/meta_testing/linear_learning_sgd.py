"""Exact SGD on linear layers, one drawing a step, with the large products once a block.

A step of rate `a` changes a layer by `-a e z^T`, `e` the gradient at its output and `z` its input.
So after the steps `i < j` of a block that began with the weights `W`

    W_j z_j   = W z_j   - a * sum_i e_i (z_i . z_j)
    W_j^T e_j = W^T e_j - a * sum_i z_i (e_i . e_j),

and W itself is written once a block: `W - a * sum_i e_i z_i^T`, one matrix product. The first
layer's inputs are known beforehand, so that all its `W z_j` and `z_i . z_j` (the Gram matrix) are
one product each as well: a step costs a few short vectors, not the whole matrix.
"""

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def learn_sgd(
    weights: list[Tensor], rates: Sequence[float], steps: Iterable[tuple[Tensor, Tensor]]
) -> None:
    """Train K runs side by side, in place.

    `weights`: one augmented layer [K, O, D + 1] or two; `rates`: K of them; `steps`: blocks of
    features [K, n, D + 1] and labels int64 [K, n].
    """
    scale = weights[0].new_tensor([-rate for rate in rates])[:, None, None]
    for x, labels in steps:
        _learn_block(weights, scale, x, labels)


def _learn_block(weights: list[Tensor], scale: Tensor, x: Tensor, labels: Tensor) -> None:
    """n steps; `scale` [K, 1, 1]: minus the learning rates."""
    runs, length, _ = x.shape
    # What the steps so far add to each layer: the sum over them of outer(moves, inputs).
    inputs = [x, *(x.new_ones(runs, length, w.shape[2]) for w in weights[1:])]
    moves = [x.new_empty(runs, length, w.shape[1]) for w in weights]
    outputs, gram = torch.bmm(x, weights[0].mT), torch.bmm(x, x.mT)
    minus_one = x.new_full((runs, 1, 1), -1.0)
    for step in range(length):
        now, before = slice(step, step + 1), slice(step)
        y = torch.baddbmm(outputs[:, now], gram[:, now, before], moves[0][:, before])
        for w, z, move in zip(weights[1:], inputs[1:], moves[1:], strict=True):
            z[:, now, :-1] = F.relu(y)
            products = torch.bmm(z[:, now], z[:, before].mT)
            y = torch.bmm(z[:, now], w.mT).baddbmm_(products, move[:, before])
        error = torch.softmax(y, 2).scatter_add_(2, labels[:, now, None], minus_one)
        for depth in reversed(range(len(weights))):
            move = moves[depth]
            torch.mul(error, scale, out=move[:, now])
            if depth:
                z = inputs[depth]
                products = torch.bmm(error, move[:, before].mT)
                back = torch.bmm(error, weights[depth]).baddbmm_(products, z[:, before])
                error = back[:, :, :-1] * (z[:, now, :-1] > 0)
    for w, z, move in zip(weights, inputs, moves, strict=True):
        w.baddbmm_(move.mT, z)
