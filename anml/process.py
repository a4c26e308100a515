"""What a program that computes sets up once at its start; importing `anml` does not.

All settings are of the whole process, and change speed alone.
"""

import ctypes
import os
import platform

import torch

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_KEEP = (1 << 31) - 1  # bytes, the most that glibc lets one say
_MADV_HUGEPAGE = 14
_HUGE_PAGE = 1 << 21  # bytes
_IN_HUGE_PAGES = 1 << 30  # bytes; well below `_KEEP`, or glibc would give them back


def prepare_process() -> None:
    """Set up this process. To be called before torch's first parallel work: its threads inherit."""
    keep_freed_memory()
    use_huge_pages()
    flush_denormals()


def usable_cores() -> int:
    """How many cores this process may use: in a queue's allocation fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _glibc() -> ctypes.CDLL | None:
    """The C library, if it is glibc: others have no such settings."""
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None


def keep_freed_memory() -> None:
    """Ask glibc to keep freed blocks, below 2 GiB; elsewhere this does nothing.

    By default it maps every large tensor anew and unmaps it when it is freed, and the system
    zeroes those pages each time.
    """
    if libc := _glibc():
        libc.mallopt(_M_TRIM_THRESHOLD, _KEEP)
        libc.mallopt(_M_MMAP_THRESHOLD, _KEEP)


def use_huge_pages() -> None:
    """Ask Linux for pages of 2 MiB in the GiB that glibc hands out next, where it keeps memory.

    With ordinary ones, of 4 KiB, the processor looks an address up for every thousand numbers of a
    tensor. A block of 1 GiB is taken, marked and freed: it stays address space until it is used.
    Where there is no such block, or the system has no such pages, nothing changes.
    """
    libc = _glibc()
    if libc is None:
        return
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    libc.free.argtypes = [ctypes.c_void_p]
    block = libc.malloc(_IN_HUGE_PAGES)
    if block:
        start = -(-block // _HUGE_PAGE) * _HUGE_PAGE
        libc.madvise(start, _IN_HUGE_PAGES - _HUGE_PAGE, _MADV_HUGEPAGE)
        libc.free(block)


def flush_denormals() -> None:
    """Take float32 below 1.2e-38 for zero, where the processor can.

    Processors compute with such numbers many times slower, and Adam makes them: its running mean of
    a gradient that stays zero, a silent unit's, falls by a tenth at each step and never gets to
    zero. A weight moves by less than 1e-30 for them, which no weight is small enough to notice.
    """
    torch.set_flush_denormal(True)
