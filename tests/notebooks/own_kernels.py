"""A pytest plugin: nbval's kernels talk through files of their own instead of network ports.

A port that was free when one process chose it may be another's when the kernel opens it; the kernel
then dies at its start.
"""

import atexit
import shutil
import tempfile
from typing import Any

import nbval.kernel
from jupyter_client.manager import KernelManager


def own_kernel(**options: Any) -> KernelManager:
    """The manager of a kernel that shares nothing with those beside it."""
    folder = tempfile.mkdtemp(prefix="kernel-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return KernelManager(connection_file=f"{folder}/kernel.json", transport="ipc", **options)


nbval.kernel.KernelManager = own_kernel
