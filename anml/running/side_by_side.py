"""On a GPU, all seeds of a meta-training in one process: replicas share its launches.

One model after another would leave most of the card idle. On a CPU, which is busy with one, every
seed is a job of its own.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

import torch

from anml import data
from anml.errors import AnmlError
from anml.meta_train import Job, meta_train
from anml.meta_training.divergence import DivergedError
from anml.meta_training.outer_step import on_gpu
from anml.running.jobs import Place, TrainJob, Work
from anml.store.checkpoint import load_checkpoint, save_checkpoint
from anml.store.interrupt import terminate_as_interrupt
from anml.treatments import find_training


def side_by_side(place: Place, jobs: Iterable[Work]) -> dict[str, tuple[int, ...]]:
    """The seeds of each meta-training that a run trains side by side: those that are missing, where
    they are several and the device is a GPU. One that was begun alone goes on alone.
    """
    if not on_gpu(place.device):
        return {}
    missing: dict[str, list[int]] = defaultdict(list)
    for job in jobs:
        if (
            isinstance(job, TrainJob)
            and not job.result(place).is_file()
            and not job.steps_begun(place)
        ):
            missing[job.training].append(job.seed)
    return {name: tuple(sorted(seeds)) for name, seeds in missing.items() if len(seeds) > 1}


def train_side_by_side(
    place: Place, data_name: str, jobs: Iterable[Work], heard: Callable[[str], None]
) -> None:
    """Meta-train what `side_by_side` names, going on from working checkpoints of the same seeds.

    Then each seed has a working checkpoint of its own, as if it had been alone. Where a seed
    diverges, the others go on without it.
    `data_name`: what `data.load` was asked for; `heard` is told of each meta-training's end.
    AnmlError: seeds diverged, when all others are finished; or as `anml.meta_train.meta_train`.
    """
    together = side_by_side(place, jobs)
    if not together:
        return
    drawings = data.load(data_name)
    problems: list[DivergedError] = []
    with terminate_as_interrupt():
        for name, seeds in together.items():
            folder = place.folder / "checkpoints"
            job = Job(find_training(name), place.profile, drawings, seeds, folder, place.device)
            finished = _train_without_diverging(job, place.keep, problems)
            if finished:
                _take_apart(replace(job, seeds=finished), [(seed,) for seed in finished])
                heard(f"done: meta-train {name}, seeds {', '.join(map(str, finished))}")
            torch.cuda.empty_cache()  # what this process keeps, the workers would lack
    if problems:
        raise AnmlError("; ".join(map(str, problems)))


def _train_without_diverging(
    job: Job, keep: bool, problems: list[DivergedError]
) -> tuple[int, ...]:
    """Meta-train; returns the seeds that came to the end. What a seed diverged with is added to
    `problems`, and the others go on from what was saved last.
    """
    while job.seeds:
        try:
            meta_train(job, resume=True, keep=keep)
            break
        except DivergedError as problem:
            problems.append(problem)
            left = tuple(seed for seed in job.seeds if seed not in problem.seeds)
            if job.resume_path.is_file():
                _take_apart(job, [left] if left else [])
            job = replace(job, seeds=left)
    return job.seeds


def _take_apart(job: Job, parts: Collection[tuple[int, ...]]) -> None:
    """Put working checkpoints of parts of the seeds in the place of the one that all shared.

    Of single seeds: whatever goes on from one, such as a longer meta-training, asks for a seed
    alone.
    """
    if job.seeds in parts:  # there is but one
        return
    tensors, header = load_checkpoint(job.resume_path)
    step, log = tensors.pop("step"), tensors.pop("log")
    for part in parts:
        own = [job.seeds.index(seed) for seed in part]
        mine = {name: tensor[own] for name, tensor in tensors.items()}
        mine |= {"step": step, "log": log[:, own]}
        seconds = header["seconds"] * len(part) / len(job.seeds)
        path = replace(job, seeds=part).resume_path
        save_checkpoint(path, mine, header | {"seconds": seconds})
    job.resume_path.unlink()
