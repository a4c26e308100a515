"""The gradient of ordinary supervised training, for Pretrain & Transfer (paper, section 4)."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from anml.adapt import MetaGradient, cross_entropy
from anml.models import oml_layers, oml_tower


def supervised_gradient(
    parameters: Mapping[str, Tensor], images: Tensor, classes: Tensor
) -> MetaGradient:
    """Gradient of OML's network for an i.i.d. batch (Pretrain & Transfer).

    `images` [B, R, 28, 28], `classes` [R, B], parameters [R, ...].
    """
    with torch.enable_grad():
        inputs = oml_tower(images, oml_layers(parameters))
        hidden = F.relu(_linear(parameters, "hidden", inputs))
        logits = _linear(parameters, "head", hidden)
    loss, error, correct = cross_entropy(logits.detach(), classes)
    gradients = torch.autograd.grad(logits, list(parameters.values()), error)
    return MetaGradient(dict(zip(parameters, gradients, strict=True)), loss, correct)


def _linear(parameters: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    """Linear layer `name` of every replica: `x` [R, B, D] to [R, B, O]."""
    weight, bias = parameters[f"{name}.weight"], parameters[f"{name}.bias"]
    return torch.baddbmm(bias.unsqueeze(1), x, weight.mT)
