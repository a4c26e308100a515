"""The paper's two networks as plain modules over functions that also run many replicas at once.

ANML (paper, section 3; gate and prediction network in parallel) and OML (the architecture of every
control: OML, OML-OLFT, Pretrain & Transfer, Scratch). Widths and the number of outputs are
parameters, so that narrow networks run on a laptop.

The convolution stacks are functions of a list of weights with a leading replica axis `R`: the same
code serves one network (`R = 1`, the modules below) and several seeds trained in one program.
"""

from collections.abc import Callable, Mapping, Sequence
from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KERNEL = 3
NORM_EPS = 1e-5
ANML_POOLED = (True, True, False)
"""Which of the three ANML blocks end in a 2x2 max-pool: 28 -> 26 -> 13 -> 11 -> 5 -> 3."""
SIDES = (26, 11, 3)
"""Side of each ANML block's maps, before pooling."""
POOLED_SIDES = tuple(
    side if pooled else None for side, pooled in zip(SIDES, ANML_POOLED, strict=True)
)
"""The same, None where nothing is pooled."""
OML_STRIDES = (1, 1, 1, 2, 1, 2)
"""Strides of OML's six convolutions: 28 -> 26 -> 24 -> 22 -> 10 -> 8 -> 3."""
CELLS = 9
"""Both stacks end in 3 x 3 cells per channel."""


def kaiming_(weight: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Fill `weight` [out, in, ...] in place: normal, fan-in, ReLU gain (spec, section 2)."""
    fan_in = weight[0].numel()
    with torch.no_grad():
        return weight.normal_(0.0, sqrt(2.0 / fan_in), generator=generator)


def anml_tower(images: Tensor, blocks: Sequence[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
    """Three blocks of convolution, per-image norm, ReLU; max-pool after the first two.

    `images` [B, R, 28, 28]: one channel a replica. `blocks`: for each block the convolution's
    weights [R, C, C_in, 3, 3] and the norm's scale and shift [R, C]. Returns [R, B, C * 9].

    The convolution's bias is left out: the norm subtracts it again, so that its gradient is exactly
    zero. Pooling comes before ReLU: the two commute, and ReLU then sees a quarter of the values.
    """
    replicas = images.shape[1]
    x = images
    for (weight, scale, shift), pooled in zip(blocks, ANML_POOLED, strict=True):
        x = F.conv2d(x, weight.flatten(0, 1), groups=replicas)
        # One group a channel: each image is normalised on its own (instance norm with an affine).
        x = F.group_norm(x, x.shape[1], scale.flatten(), shift.flatten(), NORM_EPS)
        if pooled:
            x = F.max_pool2d(x, 2)
        x = F.relu(x)
    return x.unflatten(1, (replicas, -1)).transpose(0, 1).flatten(2)


def oml_tower(
    images: Tensor,
    layers: Sequence[tuple[Tensor, Tensor]],
    strides: Sequence[int] = OML_STRIDES,
    convolve: Callable[..., Tensor] = F.conv2d,
) -> Tensor:
    """OML's representation network (RLN): six convolutions with ReLU, no norm.

    `images` [B, R, 28, 28]; `layers`: weights [R, C, C_in, 3, 3] and biases [R, C] of each.
    Returns [R, B, C * 9]. Part of the tower: some `layers` with their `strides`, and the maps
    [B, R * C_in, side, side] that go into them; returns [R, B, C * side * side]. `convolve`:
    torch's convolution, or a faster one of the same signature.
    """
    replicas = len(layers[0][0])
    x = images
    for (weight, bias), stride in zip(layers, strides, strict=True):
        weight, bias = weight.flatten(0, 1), bias.flatten()
        x = F.relu(convolve(x, weight, bias, stride=stride, groups=replicas))
    return x.unflatten(1, (replicas, -1)).transpose(0, 1).flatten(2)


class Block(nn.Module):
    """Convolution 3x3 and the affine of the per-image norm behind it: weights only."""

    def __init__(self, channels_in: int, channels: int) -> None:
        """`channels_in` and `channels`: of the convolution."""
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels, KERNEL)
        self.norm = nn.InstanceNorm2d(channels, eps=NORM_EPS, affine=True)


class Tower(nn.Module):
    """The three blocks that the prediction and the neuromodulatory network have in common."""

    def __init__(self, channels: int) -> None:
        """`channels`: of each of the three convolutions."""
        super().__init__()
        self.blocks = nn.ModuleList(Block(c, channels) for c in (1, channels, channels))

    def forward(self, images: Tensor) -> Tensor:
        """`images` float [B, 1, 28, 28] in [0, 1]; returns [B, channels * 9], at least 0."""
        return anml_tower(images, tower_blocks(add_replica_axis(self.named_parameters())))[0]


class Neuromodulator(nn.Module):
    """NM: a narrow tower, one linear layer, and a sigmoid: the gate of the prediction network."""

    def __init__(self, channels: int, latent: int) -> None:
        """`channels`: of the tower; `latent`: how many units it gates."""
        super().__init__()
        self.tower = Tower(channels)
        self.gate = nn.Linear(channels * CELLS, latent)

    def forward(self, images: Tensor) -> Tensor:
        """`images` float [B, 1, 28, 28]; returns the gate [B, latent] in [0, 1]."""
        return torch.sigmoid(self.gate(self.tower(images)))


class ANML(nn.Module):
    """The neuromodulatory network gates the prediction network's latent, element by element.

    `logits = head(nm(images) * pln(images))` (paper, Fig. 1). At the paper's width: 6,041,800
    parameters, 2304 latent units, 1000 outputs.
    """

    def __init__(
        self, pln_channels: int = 256, nm_channels: int = 112, outputs: int = 1000
    ) -> None:
        """Widths of the two towers and the number of outputs; weights as `reset` leaves them."""
        super().__init__()
        self.nm = Neuromodulator(nm_channels, pln_channels * CELLS)
        self.pln = Tower(pln_channels)
        self.head = nn.Linear(pln_channels * CELLS, outputs)
        reset(self)

    def latent(self, images: Tensor) -> Tensor:
        """Latent of the prediction network before the gate, [B, pln_channels * 9], at least 0."""
        return self.pln(images)

    def gated(self, images: Tensor) -> Tensor:
        """Latent after the gate, [B, pln_channels * 9]: the head's input."""
        return self.nm(images) * self.pln(images)

    def forward(self, images: Tensor) -> Tensor:
        """`images` float [B, 1, 28, 28] in [0, 1]; returns logits [B, outputs]."""
        return self.head(self.gated(images))


class OML(nn.Module):
    """RLN (six convolutions) and PLN (two linear layers), the architecture of every control.

    At the paper's width: 6,338,280 parameters, a representation of 2304 units, 1000 outputs.
    """

    def __init__(self, channels: int = 256, hidden: int = 1024, outputs: int = 1000) -> None:
        """Width of the convolutions, of the hidden layer, and the number of outputs."""
        super().__init__()
        widths = (1, *[channels] * len(OML_STRIDES))
        self.rln = nn.ModuleList(
            nn.Conv2d(c_in, c_out, KERNEL, stride)
            for c_in, c_out, stride in zip(widths, widths[1:], OML_STRIDES, strict=False)
        )
        self.hidden = nn.Linear(channels * CELLS, hidden)
        self.head = nn.Linear(hidden, outputs)
        reset(self)

    def representation(self, images: Tensor) -> Tensor:
        """Output of the RLN, [B, channels * 9], at least 0."""
        return oml_tower(images, oml_layers(add_replica_axis(self.named_parameters())))[0]

    def pln(self, representation: Tensor) -> Tensor:
        """Logits [B, outputs] from the representation [B, channels * 9]."""
        return self.head(F.relu(self.hidden(representation)))

    def forward(self, images: Tensor) -> Tensor:
        """`images` float [B, 1, 28, 28] in [0, 1]; returns logits [B, outputs]."""
        return self.pln(self.representation(images))


class OMLLinear(OML):
    """OML whose PLN is one linear layer (spec, section 3): the RLN, then the head.

    What stands in the hidden layer's place hands on the representation, which is at least 0, so
    that the ReLU behind it changes nothing. At the paper's width: 2304 inputs, 1000 outputs.
    """

    def __init__(self, channels: int = 256, outputs: int = 1000) -> None:
        """Width of the convolutions and the number of outputs."""
        super().__init__(channels, channels * CELLS, outputs)
        self.hidden = nn.Identity()
        reset(self)


def linear(weights: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    """Linear layer `name` of every replica: `x` [R, B, D] to [R, B, O]."""
    return torch.baddbmm(weights[f"{name}.bias"].unsqueeze(1), x, weights[f"{name}.weight"].mT)


def reset(module: nn.Module, generator: torch.Generator | None = None) -> nn.Module:
    """Draw all weights anew in place: Kaiming normal, biases 0, norm scale 1 and shift 0."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            kaiming_(part.weight, generator)
            nn.init.zeros_(part.bias)
        elif isinstance(part, nn.InstanceNorm2d):
            nn.init.ones_(part.weight)
            nn.init.zeros_(part.bias)
    return module


def add_replica_axis(named: Mapping[str, Tensor] | object) -> dict[str, Tensor]:
    """Named tensors of one network as tensors with a leading replica axis of one."""
    return {name: tensor.unsqueeze(0) for name, tensor in dict(named).items()}


def tower_blocks(
    weights: Mapping[str, Tensor], prefix: str = ""
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """The blocks that `anml_tower` takes, from named weights [R, ...] (`prefix`: 'pln.', ...)."""
    parts = ("conv.weight", "norm.weight", "norm.bias")
    return [
        tuple(weights[f"{prefix}blocks.{i}.{part}"] for part in parts)
        for i in range(len(ANML_POOLED))
    ]


def oml_layers(weights: Mapping[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
    """The layers that `oml_tower` takes, from named weights [R, ...]."""
    return [(weights[f"rln.{i}.weight"], weights[f"rln.{i}.bias"]) for i in range(len(OML_STRIDES))]
