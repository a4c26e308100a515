"""OML's exact meta-gradient: the derivative of the meta-loss through the inner loop's SGD steps.

The same protocol as ANML's (`anml.adapt`), but the inner loop moves two linear layers behind a
representation that it leaves alone.
"""

import torch
import torch.nn.functional as F

from anml.adapt import Episode, MetaGradient, Named
from anml.low_rank import LowRankLinear
from anml.models import oml_layers, oml_tower

OML_FAST = ("hidden.", "head.")
"""Prefixes of the parameters that OML's inner loop moves: its linear layers, no convolution."""


def oml_meta_gradient(
    parameters: Named, episode: Episode, rate: float, second_order: bool = True
) -> MetaGradient:
    """OML's meta-gradient under the same protocol: the inner loop moves the two linear layers.

    `parameters`: of `models.OML` with a leading replica axis. The convolutions do not move in the
    inner loop, so every drawing's representation is computed once. Both layers' inner gradients are
    rank one and written out, so that one backward pass through them is the exact meta-gradient.
    """
    parameters = {name: p.detach().requires_grad_() for name, p in parameters.items()}
    with torch.enable_grad():
        inputs = oml_tower(episode.images, oml_layers(parameters))
        hidden = LowRankLinear.dense(parameters["hidden.weight"], parameters["hidden.bias"])
        head = LowRankLinear.dense(parameters["head.weight"], parameters["head.bias"])
        steps = inputs[:, : episode.inner_steps]
        # The start layer's answer to every inner drawing, in one product.
        started = hidden(steps)
        for k in range(episode.inner_steps):
            x = steps[:, k : k + 1]
            moved = (x @ hidden.right.mT) @ hidden.left
            a = started[:, k : k + 1] + moved + (hidden.bias - parameters["hidden.bias"])[:, None]
            h = F.relu(a)
            probabilities = torch.softmax(head(h), 2)
            one_hot = F.one_hot(episode.classes[:, k], probabilities.shape[2]).to(a.dtype)
            error = probabilities - one_hot.unsqueeze(1)
            h_error = head.transpose(error) * (a > 0)
            if not second_order:
                error, h_error, h, x = (t.detach() for t in (error, h_error, h, x))
            head = head.sgd_step(error.squeeze(1), h.squeeze(1), rate)
            hidden = hidden.sgd_step(h_error.squeeze(1), x.squeeze(1), rate)
        logits = head(F.relu(hidden(inputs)))
        losses = F.cross_entropy(
            logits.flatten(0, 1), episode.classes.flatten(), reduction="none"
        ).unflatten(0, episode.classes.shape)
        # Replicas share no parameter: the sum's gradient is each one's own.
        gradients = torch.autograd.grad(losses.mean(1).sum(), list(parameters.values()))
    return MetaGradient(
        dict(zip(parameters, gradients, strict=True)),
        losses.detach().mean(1),
        logits.detach().argmax(2) == episode.classes,
    )
