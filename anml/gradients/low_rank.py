"""A linear layer that has taken a few SGD steps, without writing its weights anew at every step.

The gradient of a cross-entropy for a linear layer's weights is an outer product of two vectors: the
output error `e` and the input `z`. After `k` steps of rate `a` the layer is

    W_k = W_0 - a * sum_j e_j z_j^T,    b_k = b_0 - a * sum_j e_j,

so that its logits need the `k` errors and the `k` inputs, never `k` copies of a 1000 x 2304 matrix.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class LowRankLinear:
    """The map `x -> (W + sum_j left_j right_j^T) x + b` of each replica; never changed in place.

    A layer with `room` has memory behind its own rows for those of its successors: `plus` then
    copies the new rows alone. Such a layer has one successor; it is no use to autograd.
    """

    bias: Tensor  # [R, O]
    left: Tensor  # [R, k, O]
    right: Tensor  # [R, k, D]
    weight: Tensor | None = None  # [R, O, D]; None: zero
    room: tuple[Tensor, Tensor] | None = None  # memory of `left` and `right`

    @classmethod
    def dense(cls, weight: Tensor, bias: Tensor) -> "LowRankLinear":
        """A layer that has taken no step: `weight` [R, O, D], `bias` [R, O]."""
        replicas, outputs, inputs = weight.shape
        none = weight.new_empty
        return cls(bias, none(replicas, 0, outputs), none(replicas, 0, inputs), weight)

    def with_room(self, steps: int) -> "LowRankLinear":
        """The same layer with room for `steps` more rows."""
        room = []
        for rows in (self.left, self.right):
            replicas, count, width = rows.shape
            room.append(rows.new_empty(replicas, count + steps, width))
            room[-1][:, :count] = rows
        return replace(self, room=tuple(room))

    def linear(self, x: Tensor) -> Tensor:
        """Without the bias: `x` [R, B, D] to [R, B, O]."""
        y = torch.bmm(torch.bmm(x, self.right.mT), self.left)
        if self.weight is None:
            return y
        if x.shape[1] == 1:  # a matrix times a vector reads the matrix faster than the reverse
            return y + torch.bmm(self.weight, x.mT).mT
        return torch.baddbmm(y, x, self.weight.mT)

    def __call__(self, x: Tensor) -> Tensor:
        """With the bias: `x` [R, B, D] to [R, B, O]."""
        return self.linear(x) + self.bias.unsqueeze(1)

    def transpose(self, error: Tensor) -> Tensor:
        """The transposed map, without bias: `error` [R, B, O] to [R, B, D]."""
        x = torch.bmm(torch.bmm(error, self.left.mT), self.right)
        return x if self.weight is None else torch.baddbmm(x, error, self.weight)

    def plus(self, left: Tensor, right: Tensor, bias: Tensor) -> "LowRankLinear":
        """The layer with `left_j right_j^T` added (rows [R, n, O], [R, n, D]), and to the bias."""
        bias = self.bias + bias
        if self.room is None:
            left, right = torch.cat((self.left, left), 1), torch.cat((self.right, right), 1)
            return LowRankLinear(bias, left, right, self.weight)
        count = self.left.shape[1]
        end = count + left.shape[1]
        for memory, rows in zip(self.room, (left, right), strict=True):
            memory[:, count:end] = rows
        left, right = (memory[:, :end] for memory in self.room)
        return LowRankLinear(bias, left, right, self.weight, self.room)

    def sgd_step(self, error: Tensor, x: Tensor, rate: float) -> "LowRankLinear":
        """The layer after one SGD step on one drawing: `error` [R, O], input `x` [R, D]."""
        scaled = -rate * error
        return self.plus(scaled.unsqueeze(1), x.unsqueeze(1), scaled)

    def dense_weight(self) -> Tensor:
        """The weight matrix written out, [R, O, D]."""
        product = torch.bmm(self.left.mT, self.right)
        return product if self.weight is None else product + self.weight
