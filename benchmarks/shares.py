"""How much of a step's time convolutions and matrix products take."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

PRODUCTS = frozenset(
    (
        *("conv2d", "convolution", "convolution_backward", "linear", "matmul"),
        *("mm", "addmm", "bmm", "baddbmm", "addbmm", "mv", "addmv", "dot"),
    )
)
"""Torch's operators that multiply, in place or not: convolutions and products."""
ITERATIONS = 3


class _Stopwatch(TorchDispatchMode):
    """Sums up the seconds that torch spends in `PRODUCTS`.

    Not torch's profiler: what that keeps of every event lies between the tensors in memory, so that
    freed blocks cannot be used again, and a step of large tensors takes twice its time.
    """

    seconds = 0.0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        name = func.overloadpacket.__name__.removesuffix("_")
        start = time.perf_counter()
        result = func(*args, **(kwargs or {}))
        if name in PRODUCTS:
            self.seconds += time.perf_counter() - start
        return result


def products_share(step: Callable[[], object]) -> float:
    """The share, in [0, 1], of the wall time of `step` spent inside convolutions and products.

    The stopwatch has calls of its own, not those whose time is the whole.
    """
    start = time.perf_counter()
    for _ in range(ITERATIONS):
        step()
    wall = time.perf_counter() - start
    with _Stopwatch() as stopwatch:
        for _ in range(ITERATIONS):
            step()
    return stopwatch.seconds / wall
