"""Keep freed memory for the next iteration instead of handing it back to the system."""

import ctypes
import platform

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_KEEP = 1 << 30  # bytes


def keep_freed_memory() -> None:
    """Ask glibc to keep freed blocks below 1 GiB; elsewhere this does nothing.

    By default glibc maps every large tensor anew and unmaps it when it is freed, and the system
    zeroes those pages each time. Programs call this once at their start; importing `anml` does not,
    since it changes the whole process.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEEP)
        libc.mallopt(_M_MMAP_THRESHOLD, _KEEP)
