"""Seconds and memory of one meta-iteration at every profile's width, beside `higher` at full width.

    python benchmarks/cost.py            # everything, into results/reference/cost.csv
    python benchmarks/cost.py --one paper anml adjoint

Each case runs in a process of its own, one after another: warm-up, then the median, the fastest and
the slowest of a few iterations, and the process's peak memory. Ways of computing the same gradient:

- adjoint  what meta-training runs (`anml.adapt`)
- autograd the plain reference: unrolled SGD in ordinary autograd
- higher   the same model and loop through the library `higher`
"""

import argparse
import csv
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F
from torch import nn

from anml import adapt
from anml.adapt import Episode
from anml.adapt_oml import oml_meta_gradient
from anml.files import replacing
from anml.memory import keep_freed_memory
from anml.meta_train import build_model, rates
from anml.models import add_replica_axis
from anml.profiles import PROFILES, Profile
from anml.supervised import supervised_gradient
from anml.treatments import TRAININGS

OUT = Path(__file__).parents[1] / "results" / "reference" / "cost.csv"
COLUMNS = ("profile", "training", "way", "seconds", "fastest", "slowest", "peak_mb", "device")
CASES = (
    *((name, training, "adjoint") for name in PROFILES for training in ("anml", "oml", "pretrain")),
    ("paper", "anml", "autograd"),
    ("paper", "anml", "higher"),
)
ITERATIONS = 5


def episode_of(profile: Profile) -> Episode:
    """A random episode: the cost does not depend on what the drawings show."""
    torch.manual_seed(0)
    drawings = profile.inner_steps + profile.remember
    images = (torch.rand(drawings, 1, 28, 28) > 0.9).float()
    classes = torch.randint(0, 963, (1, drawings))
    classes[:, : profile.inner_steps] = classes[0, 0]
    return Episode(images, classes, profile.inner_steps)


def higher_gradient(model: nn.Module, episode: Episode, rate: float) -> None:
    """ANML's meta-gradient through `higher`: the prediction network moves, NM does not."""
    import higher

    images, classes = episode.images, episode.classes[0]
    fast = [p for name, p in model.named_parameters() if name.startswith(adapt.ANML_FAST)]
    optimizer = torch.optim.SGD(fast, lr=rate)
    with higher.innerloop_ctx(model, optimizer, copy_initial_weights=False) as (moving, sgd):
        for k in range(episode.inner_steps):
            sgd.step(F.cross_entropy(moving(images[k : k + 1]), classes[k : k + 1]))
        loss = F.cross_entropy(moving(images), classes)
        torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)


def iteration(profile: Profile, training: str, way: str) -> Callable[[], object]:
    """One meta-gradient, ready to be called."""
    model = build_model(TRAININGS[training].network, profile)
    rate, _ = rates(TRAININGS[training], profile)
    episode = episode_of(profile)
    if way == "higher":
        return lambda: higher_gradient(model, episode, rate)
    if way == "autograd":
        return lambda: adapt.plain_meta_gradient(model, adapt.ANML_FAST, episode, rate)
    parameters = add_replica_axis(model.named_parameters())
    if training == "pretrain":
        return lambda: supervised_gradient(parameters, episode.images, episode.classes)
    gradient = {"anml": adapt.anml_meta_gradient, "oml": oml_meta_gradient}[training]
    return lambda: gradient(parameters, episode, rate)


def measure(name: str, training: str, way: str) -> dict[str, object]:
    """Time one case in this process."""
    keep_freed_memory()
    step = iteration(PROFILES[name], training, way)
    step()
    seconds = []
    for _ in range(ITERATIONS):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB on Linux
    timing = (f"{median(seconds):.4g}", f"{min(seconds):.4g}", f"{max(seconds):.4g}", round(peak))
    device = f"CPU, {torch.get_num_threads()} threads"
    return dict(zip(COLUMNS, (name, training, way, *timing, device), strict=True))


def main() -> None:
    """Measure one case, or all of them in a process each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--one", nargs=3, metavar=("PROFILE", "TRAINING", "WAY"))
    one = parser.parse_args().one
    if one:
        print(json.dumps(measure(*one)))
        return
    rows = []
    for case in CASES:
        command = [sys.executable, __file__, "--one", *case]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=dict(os.environ))
        rows.append(json.loads(done.stdout))
        print(rows[-1], flush=True)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    with replacing(OUT) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
