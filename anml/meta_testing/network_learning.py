"""Meta-test training where convolutions learn too: a plain loop of autograd and the optimiser.

What the treatment freezes is computed once for all drawings; only the rest is run at each step.
Runs (trajectories, learning rates) can be trained side by side as replicas, since one drawing at a
time is too little work for a GPU.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from anml.models import (
    ANML,
    OML_STRIDES,
    add_replica_axis,
    anml_tower,
    linear,
    oml_layers,
    oml_tower,
    tower_blocks,
)

Named = Mapping[str, Tensor]
Inputs = tuple[Tensor, ...]
Layer = Callable[[Named, str, Tensor], Tensor]
"""A linear layer by its name: `models.linear`, or what learns by it."""
GATE = "nm.gate"
FEATURE_BATCH = 500
"""Drawings that are passed through a network at once: bounds the memory."""


@dataclass(frozen=True)
class Split:
    """A network cut in front of its first layer that learns, and in front of its linear layers.

    `frozen`: images [B, 1, 28, 28] to what never changes about them, tensors [B, ...]. `features`:
    from weights [R, ...] and those tensors, [R, B, ...], to what the linear layers get, [R, B, D],
    with the `Layer` that stands for a linear layer among them. `linears`: names of the linear
    layers behind, ReLU between them; they and a convolution learn.
    """

    frozen: Callable[[Tensor], Inputs]
    features: Callable[[Named, Inputs, Layer], Tensor]
    linears: tuple[str, ...]


def split_network(model: nn.Module, plastic: tuple[str, ...]) -> Split:
    """The network cut as late as `plastic`, prefixes of the parameters that learn, allows."""
    return (split_anml if isinstance(model, ANML) else split_oml)(model, plastic)


def split_anml(model: ANML, plastic: tuple[str, ...]) -> Split:
    """ANML cut at its gate, in front of NM's linear layer, or not at all."""

    def gated(weights: Named, images: Tensor, gate: Tensor) -> Tensor:
        return gate * anml_tower(_as_channels(images), tower_blocks(weights, "pln."))

    def gate(weights: Named, features: Tensor, layer: Layer) -> Tensor:
        return torch.sigmoid(layer(weights, GATE, features))

    def tower(weights: Named, images: Tensor) -> Tensor:
        return anml_tower(_as_channels(images), tower_blocks(weights, "nm.tower."))

    head = ("head",)
    if _learns(model, "nm.tower.", plastic):
        return Split(
            lambda x: (x,),
            lambda w, i, layer: gated(w, i[0], gate(w, tower(w, i[0]), layer)),
            head,
        )
    if _learns(model, f"{GATE}.", plastic):
        return Split(
            lambda x: (x, model.nm.tower(x)),
            lambda w, i, layer: gated(w, i[0], gate(w, i[1], layer)),
            head,
        )
    return Split(lambda x: (x, model.nm(x)), lambda w, i, _: gated(w, *i), head)


def split_oml(model: nn.Module, plastic: tuple[str, ...]) -> Split:
    """OML cut in front of the first convolution that learns."""
    depth = next(i for i in range(len(OML_STRIDES)) if _learns(model, f"rln.{i}.", plastic))
    channels = model.rln[0].out_channels

    def frozen(images: Tensor) -> Inputs:
        if not depth:
            return (images,)
        layers = oml_layers(add_replica_axis(model.named_parameters()))[:depth]
        maps = oml_tower(images, layers, OML_STRIDES[:depth])[0].unflatten(1, (channels, -1))
        return (maps.unflatten(2, (round(maps.shape[2] ** 0.5), -1)),)

    def features(weights: Named, inputs: Inputs, _: Layer) -> Tensor:
        maps = _as_channels(inputs[0])
        return oml_tower(maps, oml_layers(weights)[depth:], OML_STRIDES[depth:])

    return Split(frozen, features, ("hidden", "head"))


def _learns(model: nn.Module, part: str, plastic: tuple[str, ...]) -> bool:
    """Whether any parameter of `part` learns."""
    names = (name for name, _ in model.named_parameters() if name.startswith(part))
    return any(name.startswith(plastic) for name in names)


def _as_channels(maps: Tensor) -> Tensor:
    """Replicas [R, B, C, side, side] beside one another as channels [B, R * C, side, side]."""
    return maps.transpose(0, 1).flatten(1, 2)


def frozen_inputs(split: Split, parts: Iterable[Tensor]) -> Inputs:
    """What is frozen about images that come in parts [B, 1, 28, 28], in one piece each."""
    with torch.no_grad():
        parts = [split.frozen(part) for part in parts]
    return tuple(torch.cat(tensors) for tensors in zip(*parts, strict=True))


class _IntoSlot(torch.autograd.Function):
    """A linear layer for one drawing, `x` [R, 1, D], that writes its weight's gradient to `slot`.

    The gradient is an outer product of millions of numbers: autograd's would be made and then
    moved. `slot` is like `weight`, [R, O, D].
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, slot: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.slot = slot
        return torch.baddbmm(bias.unsqueeze(1), x, weight.mT)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, u: Tensor) -> tuple[Tensor | None, None, Tensor, None]:
        x, weight = ctx.saved_tensors
        torch.mul(u.mT, x, out=ctx.slot)
        return torch.bmm(u, weight) if ctx.needs_input_grad[0] else None, None, u.squeeze(1), None


class Learners:
    """`R` copies of a network that learn side by side, each at its own rate."""

    def __init__(
        self,
        model: nn.Module,
        split: Split,
        plastic: tuple[str, ...],
        rates: Sequence[float],
        optimizer: type[torch.optim.Optimizer],
    ) -> None:
        """Copies of `model`, with the parameters that `plastic` names free to learn."""
        self.split = split
        named = {name: parameter.detach() for name, parameter in model.named_parameters()}
        fixed = {name: p.expand(len(rates), *p.shape) for name, p in named.items()}
        own = {
            name: p.contiguous().clone() for name, p in fixed.items() if name.startswith(plastic)
        }
        self.weights = fixed | own
        # Gradients of the linear layers' weights are written by hand, into their slots.
        by_hand = (*(f"{name}." for name in split.linears), f"{GATE}.weight")
        self.slots = {
            name: torch.zeros_like(p) for name, p in own.items() if name.startswith(by_hand)
        }
        # What the optimiser moves: each copy's part of the weights that the network runs with.
        self.copies = [{name: p[r] for name, p in own.items()} for r in range(len(rates))]
        for name, slot in self.slots.items():
            self._hand_over(name, slot)
        self.leaves = [name for name in own if name not in self.slots]
        for name in self.leaves:
            own[name].requires_grad_()
        groups = [
            {"params": list(copy.values()), "lr": rate}
            for copy, rate in zip(self.copies, rates, strict=True)
        ]
        self.optimizer = optimizer(groups, fused=True)

    def _hand_over(self, name: str, gradient: Tensor) -> None:
        """Give the optimiser the gradient [R, ...] of a parameter, where it lies if that can be."""
        # The fused kernel goes through weights and gradients in the order of their memory.
        for copy, own in zip(self.copies, gradient.contiguous(), strict=True):
            copy[name].grad = own

    def step(self, inputs: Inputs, labels: Sequence[int]) -> None:
        """Learn one drawing each: `inputs` [R, 1, ...], `labels` [R]."""
        features = self.split.features(self.weights, inputs, self._learn_layer)
        upstream = torch.stack(
            [self._learn_linears(r, x[0].detach(), labels[r]) for r, x in enumerate(features)]
        )
        leaves = [self.weights[name] for name in self.leaves]
        # A convolution's bias in front of a norm has no part in the loss: it has no gradient.
        found = torch.autograd.grad(features, leaves, upstream.unsqueeze(1), allow_unused=True)
        for name, gradient in zip(self.leaves, found, strict=True):
            if gradient is not None:
                self._hand_over(name, gradient)
        self.optimizer.step()

    def _learn_layer(self, weights: Named, name: str, x: Tensor) -> Tensor:
        """A linear layer in front: its bias is a leaf, its weight's gradient goes to its slot."""
        weight = f"{name}.weight"
        return _IntoSlot.apply(x, weights[weight], weights[f"{name}.bias"], self.slots[weight])

    def _learn_linears(self, which: int, x: Tensor, label: int) -> Tensor:
        """Gradient of the cross-entropy in `x` [D]; that of the linear layers into their slots."""
        layers = [self.layer(which, name) for name in self.split.linears]
        inputs = [x]
        for weight, bias in layers[:-1]:
            inputs.append(F.relu(torch.addmv(bias, weight, inputs[-1])))
        weight, bias = layers[-1]
        error = torch.softmax(torch.addmv(bias, weight, inputs[-1]), 0)
        error[label] -= 1.0
        for depth in reversed(range(len(layers))):
            name = self.split.linears[depth]
            torch.outer(error, inputs[depth], out=self.slots[f"{name}.weight"][which])
            self.slots[f"{name}.bias"][which] = error
            error = layers[depth][0].mT @ error
            if depth:
                error *= inputs[depth] > 0
        return error

    def layer(self, which: int, name: str) -> tuple[Tensor, Tensor]:
        """Weight [O, D] and bias [O] of linear layer `name` of copy `which`, in place."""
        return self.weights[f"{name}.weight"][which], self.weights[f"{name}.bias"][which]

    def logits(self, which: int, inputs: Inputs) -> Tensor:
        """Logits [B, outputs] of copy `which` for `inputs` [B, ...]."""
        weights = {name: tensor[which : which + 1] for name, tensor in self.weights.items()}
        with torch.no_grad():
            x = self.split.features(weights, tuple(x.unsqueeze(0) for x in inputs), linear)
            for depth, name in enumerate(self.split.linears):
                x = linear(weights, name, F.relu(x) if depth else x)
        return x[0]
