"""Seconds of a meta-iteration while something else keeps a core busy: what bears it best.

    python benchmarks/beside.py                  # into results/reference/
    python benchmarks/beside.py --out FOLDER

Written is beside.csv: ANML's meta-iteration at two profiles' widths by each of `SETTINGS`, with the
machine to itself and beside one process that never rests. Threads that wait for one another keep
their core busy for a while before they sleep; where another process wants it too, the one that is
waited for may go without. GNU's OpenMP, which torch uses on Linux, reads from GOMP_SPINCOUNT how
long that while is; elsewhere the variable has no effect. No computed number depends on it.

Each setting runs in a process of its own. Let the machine do nothing else meanwhile.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import torch
from cost import OUT, Row, measured_apart, replica_step, timed, write

from anml.errors import AnmlError
from anml.process import prepare_process
from anml.profiles import PROFILES, Profile
from anml.results import device_name, git_commit
from anml.store.files import require_writable

PROFILE_NAMES = ("quick", "paper")
CORES = os.cpu_count() or 1


@dataclass(frozen=True)
class Setting:
    """How a meta-training is started."""

    name: str
    threads: int = CORES
    environment: Mapping[str, str] = field(default_factory=dict)


SETTINGS = (
    Setting("as it comes"),
    Setting("short waits", environment={"GOMP_SPINCOUNT": "1000"}),
    Setting("no waits", environment={"GOMP_SPINCOUNT": "0"}),
    Setting("one thread", threads=1),
)
BESIDE = ("nothing", "one busy process")


@contextmanager
def busy() -> Iterator[subprocess.Popen]:
    """A process that never rests."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def measure(profile: Profile, quick: bool = False) -> Row:
    """Time ANML's meta-iteration in this process, on the threads that it has."""
    prepare_process()
    return timed(replica_step(profile, 1), quick) | {"device": device_name("cpu")}


def measure_apart(profile: str, setting: Setting) -> Row:
    """`measure` in a process of its own, started by a setting; AnmlError if that failed."""
    words = (profile, str(setting.threads))
    return measured_apart(__file__, setting.name, *words, environment=setting.environment)


def run(out: Path) -> None:
    """Measure every setting and write the table; AnmlError: the folder cannot be written."""
    require_writable(out)
    made = {"date": datetime.now(UTC).date().isoformat(), "commit": git_commit()}
    rows: list[Row] = []
    for name, beside, setting in product(PROFILE_NAMES, BESIDE, SETTINGS):
        with nullcontext() if beside == "nothing" else busy():
            found = measure_apart(name, setting)
        rows.append({"profile": name, "setting": setting.name, "beside": beside} | found | made)
        print(*rows[-1].values(), sep=", ", flush=True)
    write(out / "beside.csv", rows)


def main() -> None:
    """Measure everything, or one part for the process that asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=OUT, help="default: results/reference")
    parser.add_argument("--part", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        profile, threads = options.part
        torch.set_num_threads(int(threads))
        print(json.dumps(measure(PROFILES[profile])))
        return
    run(options.out)


if __name__ == "__main__":
    try:
        main()
    except AnmlError as error:
        sys.exit(f"error: {error}")
