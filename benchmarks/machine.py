"""What a benchmark's numbers were measured on and with."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ways import WAYS

from anml.results import device_name, git_commit


def machine_facts(matrix_side: int) -> list[dict[str, Any]]:
    """Rows of speed_machine.csv; `matrix_side`: of the product by which the speed is told."""
    facts = {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": git_commit(),
        "device": device_name(),
        "processor": processor(),
        "load at the start": f"{os.getloadavg()[0]:.2f}",
        "matrix side": matrix_side,
        "python": platform.python_version(),
    }
    libraries = ("torch", *(way.library for way in WAYS.values() if way.library))
    facts |= {name: version_of(name) for name in libraries}
    return [{"what": what, "value": value} for what, value in facts.items()]


def processor() -> str:
    """The processor's name where the system tells it, else its architecture."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def version_of(library: str) -> str:
    """The installed version, or that there is none."""
    try:
        return version(library)
    except PackageNotFoundError:
        return "not installed"
