"""Read a network's layers off a real forward pass: operations, shapes, parameters.

The figure and the table of the architecture are made from this, so that no shape is typed by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

IMAGE_SHAPE = (1, 28, 28)
WEIGHTED = ("conv2d", "linear")
NORMS = ("group_norm", "instance_norm", "batch_norm")


@dataclass(frozen=True)
class Layer:
    """A convolution or linear layer and what follows it, up to the next one.

    `part` is 'NM', 'PLN' or 'head'; `name` the module's path; `operations` in the order in which
    they ran; `shape` of the result for one image; `parameters` the names of the weights and
    `count` how many numbers they hold.
    """

    part: str
    name: str
    operations: tuple[str, ...]
    shape: tuple[int, ...]
    parameters: tuple[str, ...]
    count: int

    @property
    def size(self) -> str:
        """The shape in words: `256 × 13 × 13`."""
        return in_words(self.shape)


def in_words(shape: tuple[int, ...]) -> str:
    """Return a shape as it is read: `256 × 13 × 13`."""
    return " × ".join(str(length) for length in shape)


class _Recorder(TorchFunctionMode):
    """Records the layers of one pass, whether they are modules or functions of their weights."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        # Weights may be used as views, so they are known by their memory.
        self.names = {_memory(value): name for name, value in model.named_parameters()}
        self.steps: list[dict[str, Any]] = []

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        result = function(*args, **kwargs)
        kind = getattr(function, "__name__", "")
        label = _label(kind, args, kwargs)
        if label is None:
            return result
        if kind in WEIGHTED:
            self.steps.append({"operations": [], "parameters": []})
        if self.steps:
            step = self.steps[-1]
            step["operations"].append(label)
            step["shape"] = tuple(result.shape[1:])
            tensors = [t for t in (*args, *kwargs.values()) if isinstance(t, Tensor)]
            used = [self.names[_memory(t)] for t in tensors if _memory(t) in self.names]
            step["parameters"].extend(used)
        return result


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _label(kind: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    """Return an operation in words, None for those that only move numbers about."""
    if kind == "conv2d":
        weight = args[1] if len(args) > 1 else kwargs["weight"]
        return f"conv {weight.shape[-2]}×{weight.shape[-1]}"
    if kind == "max_pool2d":
        size = args[1] if len(args) > 1 else kwargs["kernel_size"]
        height, width = size if isinstance(size, tuple) else (size, size)
        return f"max-pool {height}×{width}"
    if kind in NORMS:
        return "norm"
    return {"linear": "linear", "relu": "ReLU", "sigmoid": "sigmoid"}.get(kind)


def _trace(model: nn.Module, part: str, run: Callable[[], Tensor]) -> tuple[list[Layer], Tensor]:
    with torch.no_grad(), _Recorder(model) as recorder:
        result = run()
    sizes = {name: value.numel() for name, value in model.named_parameters()}
    layers = []
    for step in recorder.steps:
        # A layer owns all weights of a module that it uses, a bias that has no effect included.
        owners = {name.rpartition(".")[0] for name in step["parameters"]}
        owned = tuple(name for name in sizes if name.rpartition(".")[0] in owners)
        name = _common([owner.split(".") for owner in sorted(owners)])
        count = sum(sizes[parameter] for parameter in owned)
        layers.append(Layer(part, name, tuple(step["operations"]), step["shape"], owned, count))
    return layers, result


def _common(paths: list[list[str]]) -> str:
    """Return the path that all of `paths` begin with: the block of a convolution and its norm."""
    shared = []
    for parts in zip(*paths, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return ".".join(shared)


def anml_layers(model: nn.Module, image: Tensor | None = None) -> list[Layer]:
    """Return the layers of an ANML network: NM's, then PLN's, then the head.

    `model` offers `.nm(images)`, `.latent(images)` and `.head`, as `anml.models.ANML`; `image` is
    float `[1, 1, 28, 28]`, a ramp by default: shapes do not depend on it.

    Raises:
        ValueError: the network's output is not `head(nm(image) * latent(image))`, or it has
            weights that this pass does not use.
    """
    if image is None:
        image = torch.linspace(0, 1, prod(IMAGE_SHAPE)).reshape(1, *IMAGE_SHAPE)
    nm, gate = _trace(model, "NM", lambda: model.nm(image))
    pln, latent = _trace(model, "PLN", lambda: model.latent(image))
    head, outputs = _trace(model, "head", lambda: model.head(gate * latent))
    with torch.no_grad():
        same = torch.allclose(model(image), outputs)
    layers = nm + pln + head
    if not same or sum(layer.count for layer in layers) != sum(
        value.numel() for value in model.parameters()
    ):
        raise ValueError("the network is not head(nm(image) * latent(image))")
    return layers


def layer_table(layers: list[Layer]) -> pd.DataFrame:
    """Return the layers for reading: network, module, operations, output, parameters; a total."""
    rows = [
        {
            "network": layer.part,
            "module": layer.name,
            "operations": ", ".join(layer.operations),
            "output": layer.size,
            "parameters": f"{layer.count:,}",
        }
        for layer in layers
    ]
    total = f"{sum(layer.count for layer in layers):,}"
    blank = {"network": "all", "module": "", "operations": "", "output": ""}
    return pd.DataFrame([*rows, blank | {"parameters": total}])
