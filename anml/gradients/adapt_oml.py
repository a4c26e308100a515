"""OML's exact meta-gradient: the derivative of the meta-loss through the inner loop's SGD steps.

The same protocol as ANML's (`anml.adapt`), but the inner loop moves one or two linear layers behind
a representation that it leaves alone. So every drawing's representation is computed once, and after
`k` steps a layer that sees the drawing `x` answers

    W_0 x + b_0 + sum_j (1 + x . x_j) s_j,    s_j = -rate * (its output error at step j):

each step adds an outer product of `s_j` and the drawing `x_j` to the weights, and `s_j` to the bias
as to a weight whose input is 1. What the loop needs of the representations are `W_0 x` and the
likenesses `1 + x . x_j`, both one product over the whole episode. Ordinary autograd then goes back
through a loop of small vectors; the gradient of a start matrix, which every step used, is put
together at the end from all of its inputs and output gradients, in one product.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from anml.adapt import Episode, MetaGradient, Named, cross_entropy
from anml.gradients.convolution import conv2d
from anml.gradients.low_rank import LowRankLinear
from anml.models import linear, oml_layers, oml_tower

OML_FAST = ("hidden.", "head.")
"""Prefixes of the parameters that OML's inner loop moves: its linear layers, no convolution."""


def oml_meta_gradient(
    parameters: Named, episode: Episode, rate: float, second_order: bool = True
) -> MetaGradient:
    """OML's meta-gradient (paper, Algorithm 1, section 4): the inner loop moves both linear layers.

    `parameters`: of `models.OML` with a leading replica axis; `rate`: of the inner SGD.
    """
    convolutions, linears = split_parameters(parameters)
    passes = []  # the head's start matrix: its inputs and outputs, and those of its transpose
    with torch.enable_grad():
        inputs = oml_tower(episode.images, oml_layers(convolutions), convolve=conv2d)
        started = linear(linears, "hidden", inputs)
        likeness = _likeness(inputs, episode, second_order)
        head = LowRankLinear.dense(linears["head.weight"], linears["head.bias"])
        steps = started[:, :0]
        with torch.set_grad_enabled(second_order):
            for k in range(episode.inner_steps):
                before = torch.baddbmm(started[:, k, None], likeness[:, k, None, :k], steps)
                hidden = F.relu(before)
                logits = head(hidden)
                error = _error(logits, episode.classes[:, k, None])
                hidden_error = head.transpose(error)
                passes.append((hidden, logits, error, hidden_error))
                steps = torch.cat((steps, -rate * hidden_error * (before > 0)), 1)
                head = head.sgd_step(error.squeeze(1), hidden.squeeze(1), rate)
        hidden = F.relu(torch.baddbmm(started, likeness, steps))
        logits = head(hidden)
    loss, error, correct = cross_entropy(logits.detach(), episode.classes)
    if not second_order:
        passes = []  # no derivative goes through the inner loop
    through = [t for _, out, _, back in passes for t in (out, back)]
    flat = torch.autograd.grad(logits, [*convolutions.values(), started, *through], error)
    gradients = dict(zip(convolutions, flat, strict=False))
    started_gradient, *of_passes = flat[len(convolutions) :]

    gradients["hidden.weight"] = started_gradient.mT @ inputs.detach()
    gradients["hidden.bias"] = started_gradient.sum(1)
    gradients["head.bias"] = error.sum(1)
    left, right = [error], [hidden.detach()]
    for (hidden, _, error, _), out, back in zip(
        passes, of_passes[::2], of_passes[1::2], strict=True
    ):
        gradients["head.bias"] += out.squeeze(1)
        left += [out, error.detach()]
        right += [hidden.detach(), back]
    gradients["head.weight"] = torch.cat(left, 1).mT @ torch.cat(right, 1)
    return MetaGradient({name: gradients[name] for name in parameters}, loss, correct)


def oml_linear_meta_gradient(
    parameters: Named, episode: Episode, rate: float, second_order: bool = True
) -> MetaGradient:
    """The meta-gradient of OML with a PLN of one linear layer (`models.OMLLinear`), likewise."""
    convolutions, linears = split_parameters(parameters)
    with torch.enable_grad():
        inputs = oml_tower(episode.images, oml_layers(convolutions), convolve=conv2d)
        started = linear(linears, "head", inputs)
        likeness = _likeness(inputs, episode, second_order)
        steps = started[:, :0]
        with torch.set_grad_enabled(second_order):
            for k in range(episode.inner_steps):
                logits = torch.baddbmm(started[:, k, None], likeness[:, k, None, :k], steps)
                steps = torch.cat((steps, -rate * _error(logits, episode.classes[:, k, None])), 1)
        logits = torch.baddbmm(started, likeness, steps)
    loss, error, correct = cross_entropy(logits.detach(), episode.classes)
    *flat, started_gradient = torch.autograd.grad(logits, [*convolutions.values(), started], error)
    gradients = dict(zip(convolutions, flat, strict=True))
    gradients["head.weight"] = started_gradient.mT @ inputs.detach()
    gradients["head.bias"] = started_gradient.sum(1)
    return MetaGradient({name: gradients[name] for name in parameters}, loss, correct)


def split_parameters(parameters: Named) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The RLN's parameters, for autograd, and the linear layers', whose gradients are composed."""
    detached = {name: p.detach() for name, p in parameters.items()}
    convolutions = {n: p.requires_grad_() for n, p in detached.items() if n.startswith("rln.")}
    return convolutions, {n: p for n, p in detached.items() if n not in convolutions}


def _likeness(inputs: Tensor, episode: Episode, second_order: bool) -> Tensor:
    """`1 + x . x_j` of every drawing x and every inner drawing x_j, [R, K + M, K]."""
    learned = inputs[:, : episode.inner_steps]
    return 1.0 + inputs @ (learned if second_order else learned.detach()).mT


def _error(logits: Tensor, classes: Tensor) -> Tensor:
    """Gradient of each drawing's cross-entropy for its `logits` [R, B, O]; `classes` [R, B]."""
    minus = torch.full_like(logits[..., :1], -1.0)
    return torch.softmax(logits, 2).scatter_add(2, classes.unsqueeze(2), minus)
