"""Seconds and memory of a meta-iteration: ours, other ways, and against what arithmetic predicts.

    make bench                                       # everything, into results/reference/
    python benchmarks/cost.py                        # the same
    python benchmarks/cost.py --quick --out FOLDER   # tiny sizes: does it run?

Written are cost.csv (every case of `CASES`), speed_sweeps.csv (`SWEEPS`) and speed_machine.csv (the
machine); each row of the first two also holds how fast the machine multiplied large matrices just
then, and ours the share of the time that convolutions and products take. Each case runs in a
process of its own, one after another: warm-ups, then a few meta-iterations (meta-gradient and
Adam's step on a random episode). A machine that others share changes its speed by the minute, so
that all of it is gone through `ROUNDS` times: a row has the median of the rounds' medians, the
fastest and the slowest iteration of all, and the largest peak memory of a process. Let the machine
do nothing else meanwhile; the load at the start is recorded. The ways are those of `ways.WAYS`;
libraries that are not installed leave their rows empty.
"""

import argparse
import csv
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from machine import machine_facts
from shares import products_share
from torch import Tensor
from ways import WAYS

from anml.adapt import Episode, anml_meta_gradient
from anml.errors import AnmlError
from anml.figures.arithmetic import multiply_adds
from anml.meta_training.training_job import build_model, rates
from anml.process import prepare_process
from anml.profiles import META_TRAIN_CLASSES, PROFILES, Profile
from anml.results import device_name
from anml.store.files import replacing, require_writable
from anml.treatments import TRAININGS

OUT = Path(__file__).resolve().parents[1] / "results" / "reference"
ROUNDS = 2
WARM_UPS = 3
"""Calls before timing, fewer where they take over `SECONDS`: memory is laid out anew in each."""
ITERATIONS = 5
"""Timed meta-iterations of a case in a round, fewer (but three) if they take over `SECONDS`."""
SECONDS = 4.0
MATRIX = 2048
"""Side of the matrices whose product gives the machine's speed: large, so that it is the best."""
QUICK = {
    **{"pln_channels": 4, "nm_channels": 2, "oml_channels": 4, "oml_hidden": 6},
    **{"inner_steps": 2, "remember": 3},
}

Row = dict[str, Any]
MERGED: dict[str, Callable[[list[float]], float]] = {
    **{"seconds": median, "gflops": median, "products": median},
    **{"fastest": min, "slowest": max, "peak_mb": max},
}
"""What becomes of a column's numbers of several rounds; the other columns are the same in all."""
TIMES = ("seconds", "fastest", "slowest")
COLUMNS = (
    *("profile", "training", "way", *TIMES, "peak_mb", "device", "multiply_adds"),
    *("gflops", "products", "note"),
)


@dataclass(frozen=True)
class Case:
    """One row of cost.csv: a profile's widths, a meta-training, and a way of `ways.WAYS`."""

    profile: str
    training: str
    way: str


OTHER_WAYS = tuple(way for way in WAYS if way not in ("adjoint", "supervised"))
CASES = (
    *(Case(name, training, "adjoint") for name in PROFILES for training in ("anml", "oml")),
    *(Case(name, "pretrain", "adjoint") for name in PROFILES),
    *(Case(name, "anml", way) for name in ("quick", "paper") for way in OTHER_WAYS),
    *(Case("paper", "oml", way) for way in ("autograd", "higher")),
)


@dataclass(frozen=True)
class Sweep:
    """One thing varied in ANML's meta-iteration, the rest as in the profile."""

    profile: str
    values: tuple[int, ...]
    changes: Callable[[int], Mapping[str, int]] = lambda x: {}
    replicas: bool = False  # the value is the number of replicas

    def sized(self, x: int, quick: bool) -> tuple[Profile, int]:
        """The profile and the number of replicas at value `x`."""
        profile = replace(PROFILES[self.profile], **(QUICK if quick else {}))
        return replace(profile, **self.changes(x)), x if self.replicas else 1


SWEEPS = {
    "inner steps": Sweep("paper", (1, 2, 5, 10, 15, 20), lambda x: {"inner_steps": x}),
    "width": Sweep(
        "paper",
        (32, 64, 96, 128, 192, 256),
        lambda x: {
            "pln_channels": x,
            "nm_channels": x * PROFILES["paper"].nm_channels // PROFILES["paper"].pln_channels,
        },
    ),
    "remember set": Sweep("paper", (1, 16, 64, 128, 256), lambda x: {"remember": x}),
    "replicas": Sweep("laptop", (1, 2, 4, 8), replicas=True),
}


def random_episode(profile: Profile, replicas: int = 1) -> Episode:
    """An episode of noise: the cost does not depend on what the drawings show."""
    torch.manual_seed(0)
    drawings = profile.inner_steps + profile.remember
    images = (torch.rand(drawings, replicas, 28, 28) > 0.9).float()
    classes = torch.randint(META_TRAIN_CLASSES, (replicas, drawings))
    classes[:, : profile.inner_steps] = classes[:, :1]
    return Episode(images, classes, profile.inner_steps)


def with_adam(
    parameters: Mapping[str, Tensor], gradients: Callable[[], Mapping[str, Tensor]]
) -> Callable[[], None]:
    """A meta-iteration: the meta-gradient, then Adam's step, as `anml.meta_train` takes it."""
    optimizer = torch.optim.Adam(parameters.values(), lr=1e-3, fused=True)

    def step() -> None:
        now = gradients()
        for name, parameter in parameters.items():
            parameter.grad = now[name].contiguous()
        optimizer.step()

    return step


def case_step(case: Case, profile: Profile) -> Callable[[], None]:
    """One meta-iteration of the case, ready to be called."""
    torch.manual_seed(0)
    training, episode = TRAININGS[case.training], random_episode(profile)
    model, (rate, _) = build_model(training.network, profile), rates(training, profile)
    way = WAYS["supervised" if training.procedure == "supervised" else case.way]
    return with_adam(dict(model.named_parameters()), lambda: way.gradient(model, episode, rate))


def replica_step(profile: Profile, replicas: int) -> Callable[[], None]:
    """One meta-iteration of several ANML networks in one program."""
    torch.manual_seed(0)
    training, episode = TRAININGS["anml"], random_episode(profile, replicas)
    models = [dict(build_model("anml", profile).named_parameters()) for _ in range(replicas)]
    state = {
        name: torch.stack([m[name].detach() for m in models]).requires_grad_() for name in models[0]
    }
    rate, _ = rates(training, profile)
    return with_adam(state, lambda: anml_meta_gradient(state, episode, rate).gradients)


def timed(step: Callable[[], object], quick: bool) -> dict[str, str]:
    """Median, fastest and slowest seconds of `step`, warmed up."""
    start = time.perf_counter()
    for _ in range(1 if quick else WARM_UPS):
        step()
        if time.perf_counter() - start > SECONDS:
            break
    seconds: list[float] = []
    enough = 1 if quick else ITERATIONS
    while len(seconds) < enough and (len(seconds) < 3 or sum(seconds) < SECONDS):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    values = (median(seconds), min(seconds), max(seconds))
    return {name: f"{value:.4g}" for name, value in zip(TIMES, values, strict=True)}


def counted(case: Case, profile: Profile) -> int:
    """Multiply-adds of the case's meta-gradient, as its way goes about it."""
    way = WAYS[case.way]
    return multiply_adds(
        case.training, profile, second_order=way.second_order, by_points=way.by_points
    )


def measure(case: Case, quick: bool) -> Row:
    """Time one case in this process: a row of cost.csv, empty where a library is missing."""
    row: Row = dict.fromkeys(COLUMNS, "") | dict(
        zip(COLUMNS, astuple(case), strict=False), device=device_name()
    )
    if not WAYS[case.way].installed:
        return row | {"note": "not installed"}
    profile = replace(PROFILES[case.profile], **(QUICK if quick else {}))
    step = case_step(case, profile)
    times = timed(step, quick)
    unit = 1024 if platform.system() == "Linux" else 1024**2  # KiB there, bytes on macOS
    peak = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)
    row |= {"gflops": f"{product_speed(quick):.4g}"}
    if not WAYS[case.way].library:
        row |= {"products": f"{products_share(step):.3f}"}
    return row | times | {"peak_mb": peak, "multiply_adds": counted(case, profile)}


def measure_sweep(name: str, quick: bool) -> list[Row]:
    """Time one sweep in this process: rows of speed_sweeps.csv."""
    sweep, rows = SWEEPS[name], []
    for x in sweep.values[:2] if quick else sweep.values:
        profile, replicas = sweep.sized(x, quick)
        count = multiply_adds("anml", profile, replicas)
        times = timed(replica_step(profile, replicas), quick)
        own = {"sweep": name, "x": x, "profile": sweep.profile, "training": "anml"}
        rows.append(own | times | {"multiply_adds": count, "gflops": f"{product_speed(quick):.4g}"})
    return rows


def product_speed(quick: bool) -> float:
    """10^9 operations a second in a large matrix product, the best of a few.

    Taken where a case was just timed, since what a shared machine gives changes by the minute.
    """
    side = 128 if quick else MATRIX
    a, b = torch.rand(side, side), torch.rand(side, side)
    return 2 * side**3 / float(timed(lambda: a @ b, quick)["fastest"]) / 1e9


def parts(quick: bool) -> list[tuple[str, ...]]:
    """What runs in a process of its own each, as command-line words; first the file it is for.

    `quick`: a few of them, at least one for each file.
    """
    every = [
        ("speed_machine",),
        *(("cost", *astuple(case)) for case in CASES),
        *(("speed_sweeps", name) for name in SWEEPS),
    ]
    return [every[0], every[1], every[-1]] if quick else every


def measure_part(part: Sequence[str], quick: bool) -> list[Row]:
    """The rows of one part."""
    prepare_process()
    match part:
        case ["cost", *words]:
            return [measure(Case(*words), quick)]
        case ["speed_sweeps", name]:
            return measure_sweep(name, quick)
        case _:
            return machine_facts(128 if quick else MATRIX)


def measured_apart(
    script: str, what: str, *words: str, environment: Mapping[str, str] | None = None
) -> Row:
    """The row that `script` prints as JSON, asked for a part, `words`, in a process of its own.

    `environment`: variables to be set there. AnmlError, naming `what`, if it failed.
    """
    command = [sys.executable, script, "--part", *words]
    own = os.environ | (environment or {})
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=own)
    if done.returncode:
        raise AnmlError(f"measuring {what!r} failed, see above: nothing was written")
    return json.loads(done.stdout)


def merged(rounds: Sequence[Row]) -> Row:
    """One row of those that several rounds measured of the same thing."""
    row = dict(rounds[0])
    for name in MERGED.keys() & row.keys():
        if row[name] != "":
            row[name] = f"{MERGED[name]([float(each[name]) for each in rounds]):.4g}"
    return row


def write(path: Path, rows: Sequence[Row]) -> None:
    """Rows as a CSV file, in place of the old one only when complete."""
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def run(out: Path, quick: bool) -> None:
    """Measure every part in a process of its own and write the tables.

    AnmlError: the folder cannot be written, or a part failed (nothing is written then).
    """
    require_writable(out)
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if not quick and load > cores / 4:
        raise AnmlError(
            f"the machine is busy (load {load:.1f} on {cores} cores), so that nothing measured now "
            "would mean much: let it idle for some minutes, then run the same command"
        )
    start, measured = time.monotonic(), {part: [] for part in parts(quick)}
    for part in list(measured) * (1 if quick else ROUNDS):
        command = [sys.executable, __file__, *(["--quick"] if quick else []), "--part", *part]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            raise AnmlError(f"measuring {' '.join(part)!r} failed, see above: nothing was written")
        rows = json.loads(done.stdout.splitlines()[-1])  # libraries may print before it
        measured[part].append(rows)
        for row in rows:
            print(*(value for value in row.values() if value != ""), sep=", ", flush=True)
    tables: dict[str, list[Row]] = {}
    for part, rounds in measured.items():
        rows = [merged(each) for each in zip(*rounds, strict=True)]
        tables.setdefault(part[0], []).extend(rows)
    for name, rows in tables.items():
        write(out / f"{name}.csv", rows)
    print(f"{time.monotonic() - start:.0f} s; wrote {', '.join(tables)} to {out}")


def main() -> None:
    """Measure everything, or one part for the process that asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="tiny sizes, one iteration each")
    parser.add_argument("--out", type=Path, help="folder of the tables; default results/reference")
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        print(json.dumps(measure_part(options.part, options.quick)))
        return
    if options.quick and options.out is None:
        raise AnmlError("--quick measures nothing worth keeping: give it a folder with --out")
    run(options.out or OUT, options.quick)


if __name__ == "__main__":
    try:
        main()
    except AnmlError as error:
        sys.exit(f"error: {error}")
