"""How much of a step's time convolutions and matrix products take, by torch's profiler."""

import time
from collections.abc import Callable

from torch.profiler import ProfilerActivity, profile

PRODUCTS = (
    *("mkldnn_convolution", "convolution_backward", "thnn_conv2d", "slow_conv2d"),
    *("mm", "addmm", "bmm", "baddbmm", "addbmm", "mv", "addmv", "dot"),
)
"""How the names of torch's operators that multiply begin: convolutions and products."""
ITERATIONS = 3


def products_share(step: Callable[[], object]) -> float:
    """The share, in [0, 1], of the wall time of `step` spent inside convolutions and products.

    The profiler's own time is in the wall time, so the share is a little too small, most of all
    where operations are small.
    """
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        start = time.perf_counter()
        for _ in range(ITERATIONS):
            step()
        wall = time.perf_counter() - start
    inside = sum(
        event.self_cpu_time_total
        for event in profiler.key_averages()
        if event.key.startswith("aten::")
        and event.key.removeprefix("aten::").strip("_").startswith(PRODUCTS)
    )
    return inside / 1e6 / wall
