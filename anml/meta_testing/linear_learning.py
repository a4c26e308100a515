"""Learning one drawing a step where only the last linear layers are plastic (paper, Algorithm 2).

The frozen part's features are computed once; what is left is one linear layer, or two with a ReLU
between them, trained for thousands of steps of batch size one. `plain_learn` is the reference for
`learn_linears`, which does the same several times faster: the gradient of such a loss for a layer's
weights is an outer product of two vectors, known without autograd. What follows for each optimiser
stands in `linear_learning_sgd` and `linear_learning_adam`; this file lays the runs out for them.

A bias is a weight whose input is always one: it is kept as the last column of its layer, here
called an *augmented* layer, and every input ends with a 1.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice

import torch
import torch.nn.functional as F
from torch import Tensor

from anml.meta_testing.linear_learning_adam import learn_adam
from anml.meta_testing.linear_learning_sgd import learn_sgd

Linears = list[tuple[Tensor, Tensor]]
"""Weight [O, D] and bias [O] of each layer, from the features on."""

OPTIMIZERS = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}
LEARNERS = {"adam": learn_adam, "sgd": learn_sgd}
BLOCK = 64
"""Steps whose features are gathered at once; with SGD also those between two weight updates."""


def plain_learn(
    features: Tensor,
    drawings: Tensor,
    labels: Tensor,
    start: Linears,
    rate: float,
    optimizer: str = "adam",
    hold_unmet: bool = False,
    **options: bool,
) -> Linears:
    """The reference: one run of `learn_linears`, by autograd and torch.optim with `options`.

    `drawings` and `labels` [S]; the rest as there. For tests and benchmarks.
    """
    layers = [[t.clone().requires_grad_() for t in pair] for pair in start]
    steps = OPTIMIZERS[optimizer]([t for pair in layers for t in pair], lr=rate, **options)
    unmet = torch.ones(len(start[-1][1]), dtype=torch.bool)
    for drawing, label in zip(drawings, labels, strict=True):
        y = F.linear(features[drawing], *layers[0])
        for weight, bias in layers[1:]:
            y = F.linear(F.relu(y), weight, bias)
        steps.zero_grad()
        F.cross_entropy(y, label).backward()
        unmet[label] = False
        if hold_unmet:
            for tensor in layers[-1]:
                tensor.grad[unmet] = 0.0
        steps.step()
    return [(weight.detach(), bias.detach()) for weight, bias in layers]


def learn_linears(
    features: Tensor,
    drawings: Tensor,
    labels: Tensor,
    starts: Iterable[Linears],
    rates: Sequence[float],
    optimizer: str = "adam",
    on_step: Callable[[int], None] | None = None,
    side_by_side: int | None = None,
    hold_unmet: bool = False,
) -> Iterator[Linears]:
    """Train K runs and yield the learned layers of each, in their order.

    `features` float [M, D]: the layers' input for every drawing, shared by all runs; `drawings`
    int64 [K, S]: which of them each step learns from, in any order and as often as wished;
    `labels` int64 [K, S]. `starts`: the K runs' layers to begin with (one or two each), taken as
    they are needed and left unchanged. `rates`: K learning rates. `optimizer`: 'adam' or 'sgd',
    meaning those of torch.optim with their defaults and fresh state. `on_step(n)` hears that `n`
    more drawings have been learned. `side_by_side`: runs that advance together in one program;
    None: one on a CPU, where a run's weights then stay in the cache, and as many as the memory
    holds on a GPU. `hold_unmet`: with Adam, which moves them too, the last layer's rows of labels
    that have not come yet stay as they are.

    Raises:
        ValueError: `hold_unmet` with another optimiser than Adam.
    """
    if hold_unmet and optimizer != "adam":
        raise ValueError(f"hold_unmet goes with adam alone, and optimizer is {optimizer!r}")
    options = {"hold_unmet": True} if hold_unmet else {}
    features = augment(features, features.new_ones(len(features), 1))
    # A layer's rows are the outputs, so the bias joins them as one more column.
    augmented = ([augment(w, b.unsqueeze(1)) for w, b in layers] for layers in starts)
    first = 0
    while first < len(rates):
        group = list(islice(augmented, side_by_side or 1))
        if side_by_side is None:
            side_by_side = runs_that_fit(group[0])
            group += islice(augmented, side_by_side - 1)
        runs = slice(first, first + len(group))
        yield from _learn_group(
            features, drawings[runs], labels[runs], group, rates[runs], optimizer, on_step, options
        )
        first += len(group)


def augment(rows: Tensor, last: Tensor) -> Tensor:
    """`rows` [M, D] with one more column `last` [M, 1]."""
    return torch.cat((rows.detach(), last.detach()), 1)


def runs_that_fit(layers: list[Tensor]) -> int:
    """How many runs of such layers to train side by side where `layers` are."""
    if layers[0].device.type != "cuda":
        return 1
    free, _ = torch.cuda.mem_get_info(layers[0].device)
    # Adam keeps the weights, their gradient and two moments; half is left for everything else.
    one = 4 * sum(w.numel() * w.element_size() for w in layers)
    return max(1, free // 2 // one)


@torch.no_grad()
def _learn_group(
    features: Tensor,
    drawings: Tensor,
    labels: Tensor,
    group: list[list[Tensor]],
    rates: Sequence[float],
    optimizer: str,
    on_step: Callable[[int], None] | None,
    options: Mapping[str, bool],
) -> list[Linears]:
    """Train the runs of `group` (augmented layers [O, D + 1] each) side by side."""
    weights = [torch.stack(depth) for depth in zip(*group, strict=True)]
    steps = _blocks(features, drawings, labels, on_step or (lambda n: None))
    LEARNERS[optimizer](weights, rates, steps, **options)
    return [[(w[k, :, :-1], w[k, :, -1]) for w in weights] for k in range(len(group))]


def _blocks(
    features: Tensor, drawings: Tensor, labels: Tensor, on_step: Callable[[int], None]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Features [K, n, D + 1] and labels [K, n] of the next n steps; counted once learned."""
    for chosen, targets in zip(drawings.split(BLOCK, 1), labels.split(BLOCK, 1), strict=True):
        yield features[chosen], targets
        on_step(chosen.numel())
