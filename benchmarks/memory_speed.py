"""Seconds of a meta-iteration by how the process asks for memory: what `anml.process` sets up.

    python benchmarks/memory_speed.py                  # into results/reference/
    python benchmarks/memory_speed.py --out FOLDER

Written is memory_speed.csv: ANML's meta-iteration at two profiles' widths by each of `SETTINGS`,
each in a process of its own, in rounds: a row has the median of the rounds' medians, the fastest
and the slowest iteration of all, and how often in one the system had to supply a page of memory
(page faults of the last iteration). No computed number depends on it. `huge_pages` is what Linux
says of them: always, madvise (where a program asks) or never.

Let the machine do nothing else meanwhile.
"""

import argparse
import json
import resource
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

from cost import OUT, Row, measured_apart, merged, replica_step, timed, write
from machine import processor

from anml.errors import AnmlError
from anml.process import flush_denormals, keep_freed_memory, use_huge_pages
from anml.profiles import PROFILES, Profile
from anml.results import device_name, git_commit
from anml.store.files import require_writable

PROFILE_NAMES = ("quick", "paper")
ROUNDS = 6
SETTINGS: dict[str, tuple[Callable[[], None], ...]] = {
    "as glibc comes": (),
    "kept": (keep_freed_memory,),
    "kept, in huge pages": (keep_freed_memory, use_huge_pages),
}
"""What of `anml.process` is called; numbers too small to matter are flushed in any case."""
KNOB = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def measure(profile: Profile, setting: str) -> Row:
    """Time ANML's meta-iteration in this process, set up so: to be called once in it."""
    for set_up in (*SETTINGS[setting], flush_denormals):
        set_up()
    step = replica_step(profile, 1)
    row: Row = timed(step, quick=False)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    step()
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    return row | {"page_faults": faults, "device": device_name("cpu")}


def measure_apart(profile: str, setting: str) -> Row:
    """`measure` in a process of its own; AnmlError if that failed."""
    return measured_apart(__file__, setting, profile, setting)


def huge_pages() -> str:
    """What Linux says of huge pages, between brackets in its file; elsewhere 'never'."""
    return KNOB.read_text().split("[")[1].split("]")[0] if KNOB.is_file() else "never"


def run(out: Path, rounds: int = ROUNDS) -> None:
    """Measure every setting and write the table; AnmlError: the folder cannot be written."""
    require_writable(out)
    made = {
        **{"processor": processor(), "huge_pages": huge_pages()},
        **{"date": datetime.now(UTC).date().isoformat(), "commit": git_commit()},
    }
    cases = list(product(PROFILE_NAMES, SETTINGS))
    measured: dict[tuple[str, str], list[Row]] = {case: [] for case in cases}
    for case in cases * rounds:
        measured[case].append(measure_apart(*case))
        print(*case, *measured[case][-1].values(), sep=", ", flush=True)
    rows = [
        {"profile": name, "setting": setting} | merged(each) | made
        for (name, setting), each in measured.items()
    ]
    write(out / "memory_speed.csv", rows)


def main() -> None:
    """Measure everything, or one part for the process that asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=OUT, help="default: results/reference")
    parser.add_argument("--part", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        name, setting = options.part
        print(json.dumps(measure(PROFILES[name], setting)))
        return
    run(options.out)


if __name__ == "__main__":
    try:
        main()
    except AnmlError as error:
        sys.exit(f"error: {error}")
