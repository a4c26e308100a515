"""A CUDA graph's rules on a CPU: record a function's operations, replay them on their tensors.

A replay runs the same operations in the same order on the same memory, whatever Python would decide
by now: as a graph does. What the function read on the host is then as old as the recording.
"""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

HOST_TAGS = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)
"""torch's own marks of operations whose result on the host, or its size, hangs on the data."""


def tensors(tree: Any) -> list[Tensor]:
    """All tensors in nested arguments or results."""
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


class Tape(TorchDispatchMode):
    """Records every operation below autograd in its block; `replay` does them again."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, tuple, dict, Any]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        self.calls.append((func, args, kwargs, out))
        return out

    def replay(self) -> None:
        """Do all operations again, each result into the memory that it had when recorded."""
        # What was made in inference mode can only be overwritten there.
        with torch.inference_mode():
            for func, args, kwargs, out in self.calls:
                again = func(*args, **kwargs)
                for old, new in zip(tensors(out), tensors(again), strict=True):
                    if old.untyped_storage().data_ptr() != new.untyped_storage().data_ptr():
                        old.copy_(new)

    def host_readers(self) -> list[str]:
        """Names of the recorded operations that a graph cannot hold."""
        return [str(func) for func, args, _, _ in self.calls if reads_on_host(func, args)]

    def devices(self) -> set[str]:
        """Devices of everything that went in or came out."""
        return {t.device.type for _, a, k, out in self.calls for t in tensors((a, k, out))}


def reads_on_host(func: Any, args: tuple) -> bool:
    """Whether an operation makes the host wait for data. Indices are fine, masks are not."""
    if func is torch.ops.aten.index.Tensor:
        return any(t.dtype in (torch.bool, torch.uint8) for t in tensors(args[1]))
    return any(tag in func.tags for tag in HOST_TAGS)
