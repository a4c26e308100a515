"""Milliseconds of a meta-test step where convolutions learn: ours beside autograd and torch.optim.

    python benchmarks/network_speed.py                  # into results/reference/
    python benchmarks/network_speed.py --out FOLDER

Written is network_speed.csv: for each treatment in which convolutions learn at meta-test, at two
profiles' widths and on one thread (as a run's processes have), the time of a step with Adam by each
way (median, fastest and slowest of a few stretches; the ways take turns), and what that makes for
the longest trajectory. The ways are

- ours               `anml.meta_testing.network_learning.Learners`
- torch.optim        the plain loop: the whole network, autograd and torch's Adam as it comes
- torch.optim, fused the same with torch's fused kernel

Drawings are noise: the cost does not depend on what they show. Let the machine do nothing else
meanwhile.
"""

import argparse
import copy
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F
from cost import OUT, Row, write
from machine import processor
from meta_test_speed import LONGEST, PROFILE_NAMES, RATE
from torch import Tensor, nn

from anml.errors import AnmlError
from anml.meta_testing.network_learning import Learners, frozen_inputs, split_network
from anml.meta_testing.trajectories import TRAINING_DRAWINGS
from anml.meta_training.training_job import build_model
from anml.process import prepare_process
from anml.profiles import PROFILES, Profile
from anml.results import device_name, git_commit
from anml.store.files import require_writable
from anml.treatments import TREATMENTS, find_training

TREATMENT_NAMES = [name for name, row in TREATMENTS.items() if row.learns_convolutions]
STEPS = 64
STRETCHES = 3
Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Problem:
    """A network, what of it learns, and drawings [S, 1, 28, 28] with labels [S] to learn."""

    model: nn.Module
    plastic: tuple[str, ...]
    images: Tensor
    labels: Tensor


def ours(problem: Problem) -> Weights:
    """Our way."""
    split = split_network(problem.model, problem.plastic)
    learners = Learners(problem.model, split, problem.plastic, [RATE], torch.optim.Adam)
    inputs = frozen_inputs(split, [problem.images])
    for step, label in enumerate(problem.labels.tolist()):
        learners.step(tuple(x[None, step : step + 1] for x in inputs), [label])
    return {name: tensor[0].detach() for name, tensor in learners.weights.items()}


def plain(problem: Problem, **options: bool) -> Weights:
    """The plain loop."""
    model = copy.deepcopy(problem.model)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(problem.plastic))
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(learning, lr=RATE, **options)
    for image, label in zip(problem.images.split(1), problem.labels.split(1), strict=True):
        optimizer.zero_grad()
        F.cross_entropy(model(image), label).backward()
        optimizer.step()
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


WAYS: dict[str, Callable[[Problem], Weights]] = {
    "ours": ours,
    "torch.optim": plain,
    "torch.optim, fused": lambda problem: plain(problem, fused=True),
}


def draw_problem(treatment: str, profile: Profile, steps: int) -> Problem:
    """The treatment's network, and noise for its drawings."""
    torch.manual_seed(0)
    row = TREATMENTS[treatment]
    model = build_model(find_training(row.training).network, profile)
    labels = torch.arange(steps) // TRAINING_DRAWINGS
    return Problem(model, row.plastic, torch.rand(steps, 1, 28, 28), labels)


def measure(
    treatment: str, profile: Profile, steps: int = STEPS, stretches: int = STRETCHES
) -> Iterator[Row]:
    """A row for each way, measured in turns after a stretch each to warm up."""
    problem = draw_problem(treatment, profile, steps)
    times: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(stretches + 1):
        for name, way in WAYS.items():
            start = time.perf_counter()
            way(problem)
            times[name].append((time.perf_counter() - start) / steps)
    for name, (_, *own) in times.items():
        yield {
            "profile": profile.name,
            "treatment": treatment,
            "way": name,
            "step_ms": f"{1e3 * median(own):.4g}",
            "fastest_ms": f"{1e3 * min(own):.4g}",
            "slowest_ms": f"{1e3 * max(own):.4g}",
            "trajectory_seconds": f"{LONGEST * median(own):.3g}",
            "device": device_name(),
            "processor": processor(),
        }


def run(out: Path) -> None:
    """Measure everything and write the table; AnmlError: the folder cannot be written."""
    require_writable(out)
    prepare_process()
    torch.set_num_threads(1)
    made = {"date": datetime.now(UTC).date().isoformat(), "commit": git_commit()}
    rows: list[Row] = []
    for name, treatment in product(PROFILE_NAMES, TREATMENT_NAMES):
        for row in measure(treatment, PROFILES[name]):
            rows.append(row | made)
            print(*rows[-1].values(), sep=", ", flush=True)
    write(out / "network_speed.csv", rows)


def main() -> None:
    """Measure on one thread."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=OUT, help="default: results/reference")
    run(parser.parse_args().out)


if __name__ == "__main__":
    try:
        main()
    except AnmlError as error:
        sys.exit(f"error: {error}")
