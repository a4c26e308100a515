"""Exact meta-gradients: the derivative of the meta-loss through the inner loop's SGD steps.

`anml_meta_gradient` and its sister `oml_meta_gradient` (`anml.gradients.adapt_oml`) are what
meta-training runs: Algorithm 1 of the paper for `R` replicas (independent networks, each with its
own episode) at once.
`plain_meta_gradient` is the same mathematics in a few lines of ordinary autograd: slow, obvious,
and what the tests compare with.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from anml.gradients.first_block import patches
from anml.gradients.inner_step import forward_backward, from_inner, sgd_step, tangent, to_inner
from anml.gradients.low_rank import LowRankLinear
from anml.gradients.outer_pass import backward, forward, gate_backward, gate_forward, named_blocks
from anml.models import tower_blocks

Named = Mapping[str, Tensor]

NORMS = ("image", "batch")
"""Over what ANML's norm runs in the passes over the outer batch."""
ANML_FAST = ("pln.", "head.")
"""Prefixes of the parameters that ANML's inner loop moves: the whole prediction network, not NM."""


@dataclass(frozen=True)
class Episode:
    """Drawings of one meta-iteration for each replica.

    `images` float [K + M, R, 28, 28] in [0, 1]: the K drawings that the inner loop learns one by
    one, then the M drawings of the remember set. `classes` int64 [R, K + M].
    """

    images: Tensor
    classes: Tensor
    inner_steps: int


@dataclass(frozen=True)
class MetaGradient:
    """Gradient of the meta-loss for every parameter, and what the log wants to know."""

    gradients: dict[str, Tensor]  # as the parameters, [R, ...]
    loss: Tensor  # [R] meta-train testing loss: mean cross-entropy over the K + M drawings
    correct: Tensor  # bool [R, K + M]: which of them the adapted network gets right


def plain_meta_gradient(
    model: nn.Module,
    fast: Sequence[str],
    episode: Episode,
    rate: float,
    second_order: bool = True,
) -> MetaGradient:
    """The reference: unrolled SGD in ordinary autograd, one replica (`R = 1`), any module.

    `fast`: prefixes of the parameters that the inner loop moves; `rate`: its SGD rate.
    """
    start = dict(model.named_parameters())
    now, moving = dict(start), [name for name in start if name.startswith(tuple(fast))]
    images, classes = episode.images.transpose(1, 0)[0].unsqueeze(1), episode.classes[0]
    for k in range(episode.inner_steps):
        logits = functional_call(model, now, images[k : k + 1])
        gradients = torch.autograd.grad(
            F.cross_entropy(logits, classes[k : k + 1]),
            [now[name] for name in moving],
            create_graph=second_order,
            materialize_grads=True,
        )
        now |= {n: now[n] - rate * g for n, g in zip(moving, gradients, strict=True)}
    logits = functional_call(model, now, images)
    loss = F.cross_entropy(logits, classes)
    gradients = torch.autograd.grad(loss, list(start.values()), materialize_grads=True)
    return MetaGradient(
        {n: g.unsqueeze(0) for n, g in zip(start, gradients, strict=True)},
        loss.detach().unsqueeze(0),
        (logits.argmax(1) == classes).unsqueeze(0),
    )


def anml_meta_gradient(
    parameters: Named,
    episode: Episode,
    rate: float,
    second_order: bool = True,
    norm: str = "image",
    channels: int = 1,
) -> MetaGradient:
    """ANML's meta-gradient (paper, Algorithm 1), exact to rounding.

    `parameters`: of `models.ANML` with a leading replica axis; `rate`: of the inner SGD; `norm`:
    whether the passes over the outer batch normalise each channel over each 'image' or over the
    whole 'batch' (an inner step has one drawing, so that the two are the same there); `channels`:
    how many equal ones the first kernels stand for, each being the sum of theirs, which moves as
    many times as far. The gradient is that of each of them.

    The inner loop runs forward once, keeping each step's trace; the adjoint of each step then runs
    backward (`inner_step.tangent`). The passes over all drawings at once are `outer_pass`'s.

    Raises:
        ValueError: `norm` is unknown, or there are fewer `channels` than one.
    """
    if norm not in NORMS:
        raise ValueError(f"norm is {norm!r}: it is one of {', '.join(NORMS)}")
    if channels < 1:
        raise ValueError(f"channels is {channels}: it is 1 or more")
    gradients = {name: torch.empty_like(tensor) for name, tensor in parameters.items()}
    # Views and small operations cost a tenth less time when autograd need not hear of them.
    with torch.inference_mode():
        found, loss, correct = _anml_meta_gradient(
            parameters, episode, rate, second_order, norm == "batch", channels
        )
        for name, gradient in gradients.items():
            # What is not found are biases in front of a norm: their gradient is exactly zero.
            gradient.copy_(found[name]) if name in found else gradient.zero_()
    return MetaGradient(gradients, loss.clone(), correct.clone())


def _anml_meta_gradient(
    parameters: Named,
    episode: Episode,
    rate: float,
    second_order: bool,
    together: bool,
    channels: int,
) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """Gradients but for zeros, loss and correct answers."""
    drawings = patches(episode.images, together)
    gate, gate_trace = gate_forward(parameters, drawings)
    # NM runs once, unless it normalises the inner loop's drawings otherwise than the outer batch's.
    inner_drawings, inner_gate = drawings, gate
    if together:
        inner_drawings = patches(episode.images[: episode.inner_steps])
        inner_gate, inner_trace = gate_forward(parameters, inner_drawings)

    weights = to_inner(tower_blocks(parameters, "pln."))
    head = LowRankLinear.dense(parameters["head.weight"], parameters["head.bias"])
    head = head.with_room(episode.inner_steps)
    steps = []
    for k in range(episode.inner_steps):
        trace = forward_backward(
            inner_drawings.drawing(k), weights, inner_gate[:, k], head, episode.classes[:, k]
        )
        steps.append((trace, weights, head))
        weights = sgd_step(weights, trace, rate, channels)
        head = head.sgd_step(trace.error, trace.gated, rate)

    # Meta-loss of the adapted network and its gradient there: the adjoint's starting direction.
    latent, tower_trace = forward(drawings, from_inner(weights))
    gated = gate * latent
    logits = head(gated)
    loss, error, correct = cross_entropy(logits, episode.classes)
    gated_gradient = head.transpose(error)
    gate_gradient = gated_gradient * latent
    direction = to_inner(backward(gated_gradient * gate, tower_trace))
    head_direction = LowRankLinear(error.sum(1), error, gated).with_room(2 * episode.inner_steps)
    del tower_trace

    inner_gradient = torch.zeros_like(inner_gate) if together else gate_gradient
    if second_order:
        for k in reversed(range(episode.inner_steps)):
            trace, weights, head = steps.pop()
            along = tangent(trace, weights, head, direction, head_direction, rate, channels)
            direction = along.weights
            inner_gradient[:, k].sub_(along.gate_gradient, alpha=rate)
            d_error = -rate * along.error
            head_direction = head_direction.plus(
                torch.stack((d_error, -rate * trace.error), 1),
                torch.stack((trace.gated, along.gated), 1),
                d_error,
            )

    gradients = gate_backward(gate_gradient, gate_trace)
    if together:
        for name, gradient in gate_backward(inner_gradient, inner_trace).items():
            gradients[name] += gradient
    gradients |= named_blocks(from_inner(direction), "pln.")
    gradients["head.weight"] = head_direction.dense_weight()
    gradients["head.bias"] = head_direction.bias
    return gradients, loss, correct


def cross_entropy(logits: Tensor, classes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean cross-entropy of each replica by hand.

    `logits` [R, B, O], `classes` int64 [R, B]. Returns the loss [R], its gradient for the logits
    [R, B, O] and whether each drawing's class is the likeliest, bool [R, B].
    """
    logs = torch.log_softmax(logits, 2)
    target = classes.unsqueeze(2)
    loss = -logs.gather(2, target).mean((1, 2))
    error = logs.exp_().scatter_add_(2, target, torch.full_like(logs[..., :1], -1.0))
    return loss, error / classes.shape[1], logits.argmax(2) == classes
