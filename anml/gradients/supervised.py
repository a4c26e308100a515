"""The gradient of ordinary supervised training, for Pretrain & Transfer (paper, section 4)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from anml.adapt import MetaGradient, Named, cross_entropy
from anml.gradients.adapt_oml import split_parameters
from anml.gradients.convolution import conv2d
from anml.models import linear, oml_layers, oml_tower


def supervised_gradient(parameters: Named, images: Tensor, classes: Tensor) -> MetaGradient:
    """Gradient of OML's network for an i.i.d. batch (Pretrain & Transfer).

    `images` [B, R, 28, 28], `classes` int64 [R, B], parameters [R, ...]. The linear layers'
    gradients are written out, so that they lie in memory as their weights do.
    """
    convolutions, linears = split_parameters(parameters)
    with torch.enable_grad():
        inputs = oml_tower(images, oml_layers(convolutions), convolve=conv2d)
        started = linear(linears, "hidden", inputs)
        hidden = F.relu(started)
    logits = linear(linears, "head", hidden.detach())
    loss, error, correct = cross_entropy(logits, classes)
    *flat, started_gradient = torch.autograd.grad(
        hidden, [*convolutions.values(), started], error @ linears["head.weight"]
    )
    gradients = dict(zip(convolutions, flat, strict=True)) | {
        "hidden.weight": started_gradient.mT @ inputs.detach(),
        "hidden.bias": started_gradient.sum(1),
        "head.weight": error.mT @ hidden.detach(),
        "head.bias": error.sum(1),
    }
    return MetaGradient({name: gradients[name] for name in parameters}, loss, correct)
