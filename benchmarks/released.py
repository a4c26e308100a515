"""The released code's meta-gradient, written anew from its description: slow on purpose.

First order: the gradient of each inner step is a number (no `create_graph`), so that the outer
gradient at the adapted weights is taken for that at the initial ones. One image at a time, in the
inner loop and in the meta-loss, each normalised by batch norm on a batch of one. NM looks at every
image again whenever it is shown. (The released code also repeats the one channel three times.)
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from anml.adapt import ANML_FAST, Episode
from anml.models import ANML, ANML_POOLED, NORM_EPS


def tower(weights: dict[str, Tensor], prefix: str, image: Tensor) -> Tensor:
    """Features [1, C * 9] of one image [1, 1, 28, 28]."""
    x = image
    for index, pooled in enumerate(ANML_POOLED):
        block = f"{prefix}blocks.{index}."
        x = F.conv2d(x, weights[block + "conv.weight"], weights[block + "conv.bias"])
        scale, shift = weights[block + "norm.weight"], weights[block + "norm.bias"]
        x = F.relu(F.batch_norm(x, None, None, scale, shift, training=True, eps=NORM_EPS))
        if pooled:
            x = F.max_pool2d(x, 2)
    return x.flatten(1)


def logits(weights: dict[str, Tensor], image: Tensor) -> Tensor:
    """Logits [1, outputs] of one image [1, 1, 28, 28]."""
    features = tower(weights, "nm.tower.", image)
    gate = torch.sigmoid(F.linear(features, weights["nm.gate.weight"], weights["nm.gate.bias"]))
    gated = gate * tower(weights, "pln.", image)
    return F.linear(gated, weights["head.weight"], weights["head.bias"])


def released_gradient(model: ANML, episode: Episode, rate: float) -> dict[str, Tensor]:
    """First-order meta-gradient of one replica, by the parameters' names."""
    start = dict(model.named_parameters())
    moving = [name for name in start if name.startswith(ANML_FAST)]
    images, classes = episode.images, episode.classes[0]
    now = dict(start)
    for k in range(episode.inner_steps):
        loss = F.cross_entropy(logits(now, images[k : k + 1]), classes[k : k + 1])
        gradients = torch.autograd.grad(loss, [now[name] for name in moving])
        now |= {n: now[n] - rate * g for n, g in zip(moving, gradients, strict=True)}
    losses = [
        F.cross_entropy(logits(now, image[None]), target[None])
        for image, target in zip(images, classes, strict=True)
    ]
    gradients = torch.autograd.grad(torch.stack(losses).mean(), list(start.values()))
    return dict(zip(start, gradients, strict=True))
