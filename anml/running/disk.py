"""How much a run will write, and whether the disk has room for it."""

import shutil
from collections.abc import Collection
from pathlib import Path

from anml.errors import AnmlError
from anml.meta_training.training_job import build_model
from anml.running.jobs import Place, Plan, TrainJob, Work
from anml.running.lengths import LengthJob
from anml.running.rate_search import RateJob
from anml.treatments import find_training

PART_BYTES = 50_000
"""Of a finished evaluation, generously: accuracies as text, of every class where they are kept."""
WORKING_COPIES = 3
"""A working checkpoint holds the weights and both of Adam's moments."""
LOG_ROW_BYTES = 24
SPARE_BYTES = 200_000_000
"""Left free for everything else."""


def bytes_to_write(place: Place, jobs: Plan, again: Collection[Work] = ()) -> int:
    """About how many bytes the jobs will write that are not finished, or are to be done `again`."""
    total = 0
    for job in jobs:
        if job.result(place).is_file() and job not in again:
            continue
        training, own = job, place
        if isinstance(job, LengthJob | RateJob):
            training, own = job.training, job.own(place)
        if isinstance(training, TrainJob):
            # A finished model and the working checkpoint, which stays; a new one is written beside
            # the old one before it takes its place.
            network = find_training(training.training).network
            weights = 4 * sum(p.numel() for p in build_model(network, place.profile).parameters())
            log = LOG_ROW_BYTES * training.steps(own.profile)
            total += weights * (1 + 2 * WORKING_COPIES) + 3 * log
        else:
            total += PART_BYTES
    return total


def free_bytes(folder: Path) -> int:
    """What is free where `folder` is, or will be."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def require_space(place: Place, jobs: Plan, again: Collection[Work] = ()) -> None:
    """AnmlError if the disk has less room than the jobs need (`bytes_to_write`)."""
    needed = bytes_to_write(place, jobs, again) + SPARE_BYTES
    free = free_bytes(place.folder.absolute())
    if needed > free:
        raise AnmlError(
            f"{place.folder} has {free / 1e9:.1f} GB free and the run needs {needed / 1e9:.1f} GB: "
            "free some space, or choose a folder on another disk with --out"
        )
