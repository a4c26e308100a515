"""Milliseconds a meta-test step where only linear layers learn: ours beside torch.optim.

    python benchmarks/meta_test_speed.py                  # into results/reference/
    python benchmarks/meta_test_speed.py --out FOLDER

Written is meta_test_speed.csv: for each treatment's layers at two profiles' widths, each optimiser
and number of threads, the wall-clock time of a step by each way (median, fastest and slowest of a
few stretches; the ways take turns), its processor time, and what that makes for the longest
trajectory. The ways are

- ours               `anml.meta_testing.linear_learning.learn_linears`
- torch.optim        the plain loop: autograd and torch's optimiser as it comes
- torch.optim, fused the same with torch's fused kernel

Features are noise: the cost does not depend on what they show. Let the machine do nothing else
meanwhile.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F
from cost import OUT, Row, write
from torch import Tensor

from anml.errors import AnmlError
from anml.meta_testing.linear_learning import OPTIMIZERS, Linears, learn_linears, plain_learn
from anml.meta_testing.trajectories import TRAINING_DRAWINGS
from anml.meta_training.training_job import build_model
from anml.process import prepare_process
from anml.profiles import PROFILES, Profile
from anml.results import device_name
from anml.store.files import require_writable
from anml.treatments import TREATMENTS, find_training

PROFILE_NAMES = ("quick", "paper")
TREATMENT_NAMES = ("ANML", "OML", "OML-OLFT")
RATE = 1e-3
STEPS = 256
"""Steps of a stretch: several blocks of SGD's."""
STRETCHES = 5
LONGEST = max(PROFILES["paper"].n_classes) * TRAINING_DRAWINGS
"""Steps of the longest trajectory, 600 classes."""

Problem = tuple[Tensor, Tensor, Tensor, Linears]


def ours(problem: Problem, optimizer: str) -> None:
    """Our way."""
    features, drawings, labels, start = problem
    list(learn_linears(features, drawings[None], labels[None], [start], [RATE], optimizer))


WAYS: dict[str, Callable[[Problem, str], object]] = {
    "ours": ours,
    "torch.optim": lambda problem, optimizer: plain_learn(*problem, RATE, optimizer),
    "torch.optim, fused": lambda problem, optimizer: plain_learn(
        *problem, RATE, optimizer, fused=True
    ),
}


def draw_problem(treatment: str, profile: Profile, steps: int) -> Problem:
    """The treatment's plastic layers, and noise for their input."""
    torch.manual_seed(0)
    row = TREATMENTS[treatment]
    model = build_model(find_training(row.training).network, profile)
    layers = [getattr(model, prefix.rstrip(".")) for prefix in row.plastic]
    start = [(layer.weight.detach(), layer.bias.detach()) for layer in layers]
    features = F.relu(torch.randn(steps, layers[0].in_features))
    labels = torch.arange(steps) // TRAINING_DRAWINGS
    return features, torch.arange(steps), labels, start


def measure(
    treatment: str,
    profile: Profile,
    optimizer: str,
    threads: int,
    steps: int = STEPS,
    stretches: int = STRETCHES,
) -> Iterator[Row]:
    """A row for each way, measured in turns after a stretch each to warm up."""
    torch.set_num_threads(threads)
    problem = draw_problem(treatment, profile, steps)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in WAYS}
    for _ in range(stretches + 1):
        for name, way in WAYS.items():
            start = time.perf_counter(), time.process_time()
            way(problem, optimizer)
            end = time.perf_counter(), time.process_time()
            times[name].append(tuple((b - a) / steps for a, b in zip(start, end, strict=True)))
    for name, own in times.items():
        wall, processor = zip(*own[1:], strict=True)
        yield {
            "profile": profile.name,
            "treatment": treatment,
            "optimizer": optimizer,
            "way": name,
            "step_ms": f"{1e3 * median(wall):.4g}",
            "fastest_ms": f"{1e3 * min(wall):.4g}",
            "slowest_ms": f"{1e3 * max(wall):.4g}",
            "processor_ms": f"{1e3 * median(processor):.4g}",
            "trajectory_seconds": f"{LONGEST * median(wall):.3g}",
            "device": device_name(),
        }


def run(out: Path, threads: Sequence[int]) -> None:
    """Measure everything and write the table; AnmlError: the folder cannot be written."""
    require_writable(out)
    prepare_process()
    rows: list[Row] = []
    for name, treatment, optimizer, n in product(
        PROFILE_NAMES, TREATMENT_NAMES, OPTIMIZERS, threads
    ):
        for row in measure(treatment, PROFILES[name], optimizer, n):
            rows.append(row)
            print(*row.values(), sep=", ", flush=True)
    write(out / "meta_test_speed.csv", rows)


def main() -> None:
    """Measure on one thread and on all of the machine's."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=OUT, help="default: results/reference")
    run(parser.parse_args().out, sorted({1, os.cpu_count() or 1}))


if __name__ == "__main__":
    try:
        main()
    except AnmlError as error:
        sys.exit(f"error: {error}")
