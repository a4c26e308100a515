import os
import platform
import subprocess
import sys

import pytest
import torch
from memory_speed import huge_pages
from torch import Tensor

from anml.meta_testing.linear_learning_adam import learn_adam
from anml.process import flush_denormals, usable_cores

TINY = torch.finfo(torch.float32).tiny
STEPS = 1200
"""A running mean falls by a tenth a step: below `TINY` after eight hundred silent steps."""

flushes = pytest.mark.skipif(
    not torch.set_flush_denormal(False), reason="this processor cannot flush denormals"
)


def lessons() -> tuple[Tensor, Tensor]:
    """Features [1, STEPS, 7] and labels [1, STEPS]; half of the units fall silent after a few."""
    random = torch.Generator().manual_seed(0)
    x = torch.rand(1, STEPS, 7, generator=random)
    x[:, 20:, :4] = 0.0
    x[..., -1] = 1.0
    return x, torch.randint(5, (1, STEPS), generator=random)


def start() -> Tensor:
    return torch.randn(1, 5, 7, generator=torch.Generator().manual_seed(1))


def learn() -> Tensor:
    weight = start()
    learn_adam([weight], [1e-3], [lessons()])
    return weight


def moments() -> Tensor:
    """The running means that torch's own Adam has in the end for the same lessons."""
    weight = start().requires_grad_()
    optimizer = torch.optim.Adam([weight], lr=1e-3, fused=True)
    for x, label in zip(*(part[0] for part in lessons()), strict=True):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(weight[0] @ x, label).backward()
        optimizer.step()
    return optimizer.state[weight]["exp_avg"]


def denormals(x: Tensor) -> int:
    """How many there are, by their bits: comparisons may flush what they compare."""
    size = x.view(torch.int32) & 0x7FFFFFFF
    return int(((size > 0) & (size < torch.tensor(TINY).view(torch.int32))).sum())


@flushes
def test_weights_do_not_notice_that_denormals_are_flushed() -> None:
    torch.set_flush_denormal(False)
    kept, means = learn(), moments()
    assert denormals(means)
    flush_denormals()
    assert not denormals(moments())
    assert torch.equal(learn(), kept)


def printed(program: str) -> str:
    """What a program prints in a process of its own, which complains of nothing."""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert found.stderr == ""
    return found.stdout


@flushes
def test_threads_of_the_process_flush_too() -> None:
    program = (
        "import torch; from anml.process import prepare_process; torch.set_num_threads(2);"
        "prepare_process(); x = torch.full((1 << 22,), 1e-39) * 1.0;"
        "print(x.view(torch.int32).any())"
    )
    assert printed(program) == "tensor(False)\n"


@pytest.mark.skipif(
    huge_pages() == "never" or platform.libc_ver()[0] != "glibc",
    reason="this system has no huge pages to ask for",
)
def test_tensors_lie_in_huge_pages() -> None:
    program = (
        "import torch; from anml.process import prepare_process; prepare_process();"
        "x = torch.ones(1 << 26);"
        "print(open('/proc/self/smaps_rollup').read().split('AnonHugePages:')[1].split()[0])"
    )
    assert int(printed(program)) > 0  # KiB


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no such system call")
def test_cores_are_those_that_this_process_may_use() -> None:
    """In a queue's allocation: fewer than the machine has."""
    ask = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
    ask += "from anml.process import usable_cores; print(usable_cores())"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"


def test_where_the_system_does_not_say_all_cores_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert usable_cores() == 7
