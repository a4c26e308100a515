"""The paper's networks once more, from torch's own layers: what the package is compared with.

Convolution biases take part here, the norm is InstanceNorm2d and ReLU comes before pooling, as the
paper has it. The package leaves the biases out, folds replicas into groups and pools first.
"""

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from anml.adapt import Episode
from anml.models import ANML, OML


def tower(channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for c_in, pool in ((1, True), (channels, True), (channels, False)):
        layers += [nn.Conv2d(c_in, channels, 3), nn.InstanceNorm2d(channels, 1e-5, affine=True)]
        layers += [nn.ReLU(), *[nn.MaxPool2d(2)] * pool]
    return nn.Sequential(*layers, nn.Flatten())


class ReferenceANML(nn.Module):
    def __init__(self, pln_channels: int, nm_channels: int, outputs: int) -> None:
        super().__init__()
        gate = nn.Linear(nm_channels * 9, pln_channels * 9)
        self.nm = nn.Sequential(*tower(nm_channels), gate, nn.Sigmoid())
        self.pln = tower(pln_channels)
        self.head = nn.Linear(pln_channels * 9, outputs)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.nm(images) * self.pln(images))


class ReferenceOML(nn.Module):
    def __init__(self, channels: int, hidden: int, outputs: int) -> None:
        super().__init__()
        rln: list[nn.Module] = []
        for c_in, stride in zip((1, *[channels] * 5), (1, 1, 1, 2, 1, 2), strict=True):
            rln += [nn.Conv2d(c_in, channels, 3, stride), nn.ReLU()]
        self.rln = nn.Sequential(*rln, nn.Flatten())
        self.hidden = nn.Linear(channels * 9, hidden)
        self.head = nn.Linear(hidden, outputs)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(torch.relu(self.hidden(self.rln(images))))


def with_batch_norm(reference: nn.Module) -> nn.Module:
    """The same network normalising over the whole batch: for one image it is the same function."""
    changed = copy.deepcopy(reference)
    for part in list(changed.modules()):
        for name, norm in list(part.named_children()):
            if isinstance(norm, nn.InstanceNorm2d):
                batch = nn.BatchNorm2d(norm.num_features, norm.eps, track_running_stats=False)
                batch.weight, batch.bias = norm.weight, norm.bias
                setattr(part, name, batch)
    return changed


class CopiedConv2d(nn.Conv2d):
    """A convolution that takes as many copies of one channel as it has channels."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images.expand(-1, self.in_channels, -1, -1))


def with_channels(reference: nn.Module, channels: int) -> nn.Module:
    """The same function of a drawing, taken as equal channels that have a kernel each."""
    changed = copy.deepcopy(reference)
    for part in list(changed.modules()):
        for name, conv in list(part.named_children()):
            if isinstance(conv, nn.Conv2d) and conv.in_channels == 1:
                options = {"stride": conv.stride, "dtype": conv.weight.dtype}
                copied = CopiedConv2d(channels, conv.out_channels, conv.kernel_size, **options)
                with torch.no_grad():
                    copied.weight += (conv.weight - copied.weight.sum(1, keepdim=True)) / channels
                    copied.bias.copy_(conv.bias)
                setattr(part, name, copied)
    return changed


FAST = {"anml": ("pln", "head"), "oml": ("hidden", "head")}
"""Submodules that the inner loop moves."""


def networks(kind: str, seed: int = 0) -> tuple[nn.Module, nn.Module]:
    """A small network in float64 and its reference, with the same random weights.

    All weights are random, biases and the norm's affine too: nothing hides behind a zero.
    """
    torch.manual_seed(seed)
    if kind == "anml":
        model, reference = ANML(3, 2, 7), ReferenceANML(3, 2, 7)
    else:
        model, reference = OML(3, 6, 7), ReferenceOML(3, 6, 7)
    model, reference = model.double(), reference.double()
    with torch.no_grad():
        for name, own in model.named_parameters():
            if own.dim() == 1:
                own.normal_(1.0 if name.endswith("norm.weight") else 0.0, 0.3)
    copy_weights(model, reference)
    return model, reference


def copy_weights(model: nn.Module, reference: nn.Module) -> None:
    """Both hold their parameters in the same order."""
    with torch.no_grad():
        for own, other in zip(model.parameters(), reference.parameters(), strict=True):
            other.copy_(own)


def replicas(models: Iterable[nn.Module]) -> dict[str, Tensor]:
    """Parameters [R, ...] of several networks, without gradient history."""
    named = [dict(model.named_parameters()) for model in models]
    return {name: torch.stack([one[name].detach() for one in named]) for name in named[0]}


def random_episode(
    seed: int = 0, steps: int = 3, remember: int = 4, count: int = 1, outputs: int = 7
) -> Episode:
    """Blurred noise in [0, 1], float64: no flat ground, so that maxima have no ties."""
    generator = torch.Generator().manual_seed(seed)
    drawings = steps + remember
    images = torch.rand(drawings, count, 28, 28, generator=generator, dtype=torch.float64)
    classes = torch.randint(outputs, (count, drawings), generator=generator)
    classes[:, :steps] = classes[:, :1]
    return Episode(images, classes, steps)


def one_replica(episode: Episode, r: int) -> Episode:
    return Episode(episode.images[:, r : r + 1], episode.classes[r : r + 1], episode.inner_steps)
