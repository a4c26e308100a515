"""Replay a fixed sequence of GPU work as one CUDA graph, or just call it where there is no GPU.

A meta-iteration is some thousand small kernels: launched one by one from Python they cost far more
than they compute. A graph records the kernels with their addresses once, and one launch replays
them all. What is recorded must therefore be the same every time: no value of a tensor may be read
on the host or decide what is computed, and everything that changes between replays, inputs and
results, must live in tensors that stay where they are.
"""

import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

WARM_UPS = 3
"""Calls before recording: libraries set themselves up and choose their kernels in these."""


def graphed(work: Callable[[], None], changed: Sequence[Tensor]) -> Callable[[], None]:
    """A function that does `work()`: its CUDA graph, replayed, or `work` itself on a CPU.

    `changed`: every tensor that outlives a call and that `work` writes to, all on one device. On
    return they hold what they held before. Capture follows PyTorch's notes on CUDA semantics
    (warm up on a side stream, then capture). It has not yet been run on a GPU: the tests check, on
    a CPU, all that it demands of `work`.
    """
    device = changed[0].device
    if device.type != "cuda":
        return work
    before = [tensor.detach().clone() for tensor in changed]
    torch.backends.cudnn.benchmark = True  # shapes never change: it may try its ways, warming up
    with torch.cuda.device(device):
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side), warnings.catch_warnings():
            # A capturable optimiser warns of every step that is not captured; these are meant.
            warnings.filterwarnings("ignore", message=".*capturable=True")
            for _ in range(WARM_UPS):
                work()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            work()
    with torch.no_grad():
        for tensor, value in zip(changed, before, strict=True):
            tensor.copy_(value)
    return graph.replay
