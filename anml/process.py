"""What a program that computes sets up once at its start; importing `anml` does not.

Both settings are of the whole process, and change speed alone.
"""

import ctypes
import platform

import torch

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_KEEP = 1 << 30  # bytes


def prepare_process() -> None:
    """Set up this process. To be called before torch's first parallel work: its threads inherit."""
    keep_freed_memory()
    flush_denormals()


def keep_freed_memory() -> None:
    """Ask glibc to keep freed blocks below 1 GiB; elsewhere this does nothing.

    By default glibc maps every large tensor anew and unmaps it when it is freed, and the system
    zeroes those pages each time.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEEP)
        libc.mallopt(_M_MMAP_THRESHOLD, _KEEP)


def flush_denormals() -> None:
    """Take float32 below 1.2e-38 for zero, where the processor can.

    Processors compute with such numbers many times slower, and Adam makes them: its running mean of
    a gradient that stays zero, a silent unit's, falls by a tenth at each step and never gets to
    zero. A weight moves by less than 1e-30 for them, which no weight is small enough to notice.
    """
    torch.set_flush_denormal(True)
