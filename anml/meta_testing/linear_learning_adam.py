"""Exact Adam on linear layers, one drawing a step, at the speed of the memory.

Adam moves every weight at every step, by the root of a running mean of squares, so nothing is left
out: a step reads and writes the weights and both moments once, whatever is done. Left to save are
autograd, torch.optim's bookkeeping and new memory for the gradient at each step: the gradient, an
outer product, is written into a buffer that stays, and torch's own fused kernel does the rest in
one pass.
"""

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

BETAS = (0.9, 0.999)
EPS = 1e-8


def learn_adam(
    weights: list[Tensor],
    rates: Sequence[float],
    steps: Iterable[tuple[Tensor, Tensor]],
    hold_unmet: bool = False,
) -> None:
    """Train K runs side by side, in place.

    `weights`: one augmented layer [K, O, D + 1] or two; `rates`: K of them; `steps`: blocks of
    features [K, n, D + 1] and labels int64 [K, n]. `hold_unmet`: the last layer's rows of labels
    that have not come yet stay as they are.
    """
    met = weights[-1].new_zeros(*weights[-1].shape[:2], 1) if hold_unmet else None
    gradients, means, squares = ([torch.zeros_like(w) for w in weights] for _ in range(3))
    taken = torch.zeros((), device=weights[0].device)  # a tensor, since the kernel wants one
    # The kernel takes many tensors and one rate: the runs of each rate, a tensor a run and layer.
    by_rate = [
        (
            rate,
            [
                [t[k] for t in part for k, own in enumerate(rates) if own == rate]
                for part in (weights, gradients, means, squares)
            ],
        )
        for rate in dict.fromkeys(rates)
    ]
    for x, labels in steps:
        for step in range(x.shape[1]):
            label = labels[:, step, None, None]
            _gradients(weights, x[:, step : step + 1], label, gradients)
            if met is not None:
                # Without a gradient, both of Adam's means stay 0, and the weight where it is.
                gradients[-1].mul_(met.scatter_(1, label, 1.0))
            taken += 1
            for rate, tensors in by_rate:
                # What torch.optim.Adam(fused=True) calls, without its share of the time.
                torch._fused_adam_(
                    *tensors,
                    [],
                    [taken] * len(tensors[0]),
                    lr=rate,
                    beta1=BETAS[0],
                    beta2=BETAS[1],
                    weight_decay=0.0,
                    eps=EPS,
                    amsgrad=False,
                    maximize=False,
                )


def _gradients(weights: list[Tensor], x: Tensor, label: Tensor, out: list[Tensor]) -> None:
    """Write the gradient of a cross-entropy into `out`; `x` [K, 1, D + 1], `label` [K, 1, 1]."""
    inputs = [x]
    for w in weights[:-1]:
        hidden = F.relu(torch.bmm(inputs[-1], w.mT))
        inputs.append(F.pad(hidden, (0, 1), value=1.0))
    error = torch.softmax(torch.bmm(inputs[-1], weights[-1].mT), 2)
    error.scatter_add_(2, label, error.new_full(label.shape, -1.0))
    for depth in reversed(range(len(weights))):
        torch.mul(error.mT, inputs[depth], out=out[depth])
        if depth:
            back = torch.bmm(error, weights[depth])
            error = back[:, :, :-1] * (inputs[depth][:, :, :-1] > 0)
