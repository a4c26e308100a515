"""A linear layer that has taken a few SGD steps, without writing its weights anew at every step.

The gradient of a cross-entropy for a linear layer's weights is an outer product of two vectors: the
output error `e` and the input `z`. After `k` steps of rate `a` the layer is

    W_k = W_0 - a * sum_j e_j z_j^T,    b_k = b_0 - a * sum_j e_j,

so that its logits need the `k` errors and the `k` inputs, never `k` copies of a 1000 x 2304 matrix.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class LowRankLinear:
    """The map `x -> (W + sum_j left_j right_j^T) x + b` of each replica; never changed in place."""

    bias: Tensor  # [R, O]
    left: Tensor  # [R, k, O]
    right: Tensor  # [R, k, D]
    weight: Tensor | None = None  # [R, O, D]; None: zero

    @classmethod
    def dense(cls, weight: Tensor, bias: Tensor) -> "LowRankLinear":
        """A layer that has taken no step: `weight` [R, O, D], `bias` [R, O]."""
        replicas, outputs, inputs = weight.shape
        none = weight.new_empty
        return cls(bias, none(replicas, 0, outputs), none(replicas, 0, inputs), weight)

    def linear(self, x: Tensor) -> Tensor:
        """Without the bias: `x` [R, B, D] to [R, B, O]."""
        y = (x @ self.right.mT) @ self.left
        return y if self.weight is None else y + x @ self.weight.mT

    def __call__(self, x: Tensor) -> Tensor:
        """With the bias: `x` [R, B, D] to [R, B, O]."""
        return self.linear(x) + self.bias.unsqueeze(1)

    def transpose(self, error: Tensor) -> Tensor:
        """The transposed map, without bias: `error` [R, B, O] to [R, B, D]."""
        x = (error @ self.left.mT) @ self.right
        return x if self.weight is None else x + error @ self.weight

    def plus(self, left: Tensor, right: Tensor, bias: Tensor) -> "LowRankLinear":
        """The layer with `left_j right_j^T` added (rows [R, n, O], [R, n, D]), and to the bias."""
        return LowRankLinear(
            self.bias + bias,
            torch.cat((self.left, left), 1),
            torch.cat((self.right, right), 1),
            self.weight,
        )

    def sgd_step(self, error: Tensor, x: Tensor, rate: float) -> "LowRankLinear":
        """The layer after one SGD step on one drawing: `error` [R, O], input `x` [R, D]."""
        scaled = -rate * error
        return self.plus(scaled.unsqueeze(1), x.unsqueeze(1), scaled)

    def dense_weight(self) -> Tensor:
        """The weight matrix written out, [R, O, D]."""
        product = self.left.mT @ self.right
        return product if self.weight is None else product + self.weight
