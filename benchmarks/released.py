"""The released code's meta-gradient, written anew from its description, on ordinary layers.

The network runs convolution, norm, ReLU and pooling one after another, as the paper lists them and
as one would write it. The released algorithm is slow on purpose. It is first order: the gradient of
each inner step is a number (no `create_graph`), so that the outer gradient at the adapted weights
is taken for that at the initial ones. One image at a time, in the inner loop and in the meta-loss,
each normalised by batch norm on a batch of one. NM looks at every image again whenever it is shown.
(The released code also repeats the one channel three times.)
"""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anml.adapt import ANML_FAST, Episode
from anml.models import ANML, ANML_POOLED, NORM_EPS

Norm = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Of maps [B, C, side, side], scale and shift [C]."""


def batch_norm(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """By the batch's own statistics: for a batch of one, the image's."""
    return F.batch_norm(x, None, None, scale, shift, training=True, eps=NORM_EPS)


def instance_norm(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """By each image's own statistics."""
    return F.instance_norm(x, weight=scale, bias=shift, eps=NORM_EPS)


def tower(weights: Mapping[str, Tensor], prefix: str, images: Tensor, norm: Norm) -> Tensor:
    """Features [B, C * 9] of images [B, 1, 28, 28]."""
    x = images
    for index, pooled in enumerate(ANML_POOLED):
        block = f"{prefix}blocks.{index}."
        x = F.conv2d(x, weights[block + "conv.weight"], weights[block + "conv.bias"])
        x = F.relu(norm(x, weights[block + "norm.weight"], weights[block + "norm.bias"]))
        if pooled:
            x = F.max_pool2d(x, 2)
    return x.flatten(1)


def logits(weights: Mapping[str, Tensor], images: Tensor, norm: Norm) -> Tensor:
    """Logits [B, outputs] of images [B, 1, 28, 28]; `weights` by ANML's names."""
    features = tower(weights, "nm.tower.", images, norm)
    gate = torch.sigmoid(F.linear(features, weights["nm.gate.weight"], weights["nm.gate.bias"]))
    gated = gate * tower(weights, "pln.", images, norm)
    return F.linear(gated, weights["head.weight"], weights["head.bias"])


class OrdinaryANML(nn.Module):
    """The parameters of an ANML network, run through ordinary layers."""

    def __init__(self, model: ANML) -> None:
        """Share the parameters of `model`."""
        super().__init__()
        self.nm, self.pln, self.head = model.nm, model.pln, model.head

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, outputs] of images [B, 1, 28, 28]."""
        return logits(dict(self.named_parameters()), images, instance_norm)


def released_gradient(model: ANML, episode: Episode, rate: float) -> dict[str, Tensor]:
    """First-order meta-gradient of one replica, by the parameters' names."""
    start = dict(model.named_parameters())
    moving = [name for name in start if name.startswith(ANML_FAST)]
    images, classes = episode.images, episode.classes[0]
    now = dict(start)
    for k in range(episode.inner_steps):
        loss = F.cross_entropy(logits(now, images[k : k + 1], batch_norm), classes[k : k + 1])
        gradients = torch.autograd.grad(loss, [now[name] for name in moving])
        now |= {n: now[n] - rate * g for n, g in zip(moving, gradients, strict=True)}
    losses = [
        F.cross_entropy(logits(now, image[None], batch_norm), target[None])
        for image, target in zip(images, classes, strict=True)
    ]
    gradients = torch.autograd.grad(torch.stack(losses).mean(), list(start.values()))
    return dict(zip(start, gradients, strict=True))
