"""On a GPU, all seeds of a meta-training in one process: replicas share its launches.

One model after another would leave most of the card idle. On a CPU, which is busy with one, every
seed is a job of its own.
"""

import gc
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from functools import partial

import torch

from anml import data
from anml.errors import AnmlError
from anml.meta_train import Job, meta_train
from anml.meta_training.divergence import DivergedError
from anml.meta_training.outer_step import on_gpu
from anml.running.gather import Working, working_checkpoints
from anml.running.jobs import Place, TrainJob, Work
from anml.store.checkpoint import load_checkpoint, read_header, save_checkpoint
from anml.store.interrupt import terminate_as_interrupt
from anml.treatments import find_training

Replicas = tuple[str, tuple[int, ...]]
"""A meta-training and the seeds of it that are trained side by side."""


def shared_beginnings(place: Place) -> list[Working]:
    """The working checkpoints that several seeds share, less those that other code made, unless
    `place.keep`.
    """
    shared = [working for working in working_checkpoints(place) if len(working.seeds) > 1]
    return [working for working in shared if _is_ours(working, place)]


def _is_ours(working: Working, place: Place) -> bool:
    """Whether this code made it; of a damaged one, who goes on from it will say so."""
    try:
        header = read_header(working.path)
    except AnmlError:
        return True
    return TrainJob(working.training, working.seeds[0]).goes_on_from(header, place)


def side_by_side(
    place: Place, jobs: Iterable[Work], again: Collection[Work] = ()
) -> list[Replicas]:
    """Which missing seeds a run trains side by side: on a GPU, and where they are several.

    Those that were begun together go on together, one that was begun alone goes on alone.
    `again`: finished jobs that are to be done again.
    """
    if not on_gpu(place.device):
        return []
    missing = [
        job
        for job in jobs
        if isinstance(job, TrainJob) and (job in again or not job.result(place).is_file())
    ]
    groups: list[Replicas] = []
    for working in shared_beginnings(place):
        own = [TrainJob(working.training, seed) for seed in working.seeds]
        if set(own) <= set(missing):
            groups.append((working.training, working.seeds))
            missing = [job for job in missing if job not in own]
    rest: dict[str, list[int]] = defaultdict(list)
    for job in missing:
        if not job.steps_begun(place):
            rest[job.training].append(job.seed)
    return groups + [(name, tuple(sorted(seeds))) for name, seeds in rest.items() if len(seeds) > 1]


def begun_otherwise(place: Place, training: str, seeds: tuple[int, ...]) -> list[Working]:
    """The working checkpoints that hold some of `seeds`, but not these alone and in this order."""
    return [
        working
        for working in working_checkpoints(place)
        if working.training == training
        and set(seeds) & set(working.seeds)
        and seeds != working.seeds
    ]


def split_off(job: Job, place: Place, resume: bool) -> None:
    """Give the seeds of `job` a working checkpoint of their own, if they share one with others.

    The others get one, too. AnmlError: they would have to, and are not to `resume`; some of them
    were begun in another checkpoint than the rest, or in two; or other code began them.
    """
    found = begun_otherwise(place, job.training.name, job.seeds)
    if not found:
        return
    working, *more = found
    rest = tuple(seed for seed in working.seeds if seed not in job.seeds)
    parts = [job.seeds, *[rest] * bool(rest)]
    twice = [path for part in parts if (path := replace(job, seeds=part).resume_path).is_file()]
    if twice:
        raise AnmlError(
            f"{twice[0]} and {working.path} hold unfinished meta-trainings of the same seeds: "
            "delete the one that shall not go on"
        )
    if more or not set(job.seeds) <= set(working.seeds):
        numbers = ",".join(map(str, working.seeds))
        raise AnmlError(
            f"{working.path} holds an unfinished meta-training of some of these seeds alone: go on "
            f"with `--seeds {numbers} --resume`, or delete that file to begin them anew"
        )
    if not resume:
        raise AnmlError(
            f"{working.path} holds an unfinished run of these seeds: add --resume to go on, or "
            "delete that file to start afresh"
        )
    if not _is_ours(working, place):
        raise AnmlError(
            f"{working.path} was begun by other code than this: add --keep to go on with this code "
            "all the same, or delete that file to start afresh"
        )
    _take_apart(replace(job, seeds=working.seeds), parts)


def train_side_by_side(
    place: Place, data_name: str, jobs: Iterable[Work], heard: Callable[[str], None]
) -> dict[Work, str]:
    """Meta-train what `side_by_side` names, going on from working checkpoints of the same seeds.

    Then each seed has a working checkpoint of its own, as if it had been alone. Where a seed
    diverges, the others go on without it; returned is which did, and what the user is told of it.
    `data_name`: what `data.load` was asked for; `heard` is told of each meta-training's end.
    AnmlError: as `anml.meta_train.meta_train`.
    """
    groups = side_by_side(place, jobs)
    lost: dict[Work, str] = {}
    if not groups:
        return lost
    drawings = data.load(data_name)

    def diverged(name: str, problem: DivergedError) -> None:
        # The error itself would hold on to the memory of what it stopped.
        lost.update({TrainJob(name, seed): str(problem) for seed in problem.seeds})
        heard(f"diverged: {problem}")

    with terminate_as_interrupt():
        for name, seeds in groups:
            folder = place.folder / "checkpoints"
            job = Job(find_training(name), place.profile, drawings, seeds, folder, place.device)
            finished = _train_without_diverging(job, place.keep, partial(diverged, name))
            if finished:
                _take_apart(replace(job, seeds=finished), [(seed,) for seed in finished])
                heard(f"done: meta-train {name}, seeds {', '.join(map(str, finished))}")
            torch.cuda.empty_cache()  # what this process keeps, the workers would lack
    return lost


def _train_without_diverging(
    job: Job, keep: bool, diverged: Callable[[DivergedError], None]
) -> tuple[int, ...]:
    """Meta-train; returns the seeds that came to the end.

    `diverged` is told of each error. The seeds that it names keep a working checkpoint of their
    own, if anything was saved, from which they would fail again; the rest goes on without them.
    """
    while job.seeds:
        try:
            meta_train(job, resume=True, keep=keep)
            break
        except DivergedError as problem:
            diverged(problem)
            left = tuple(seed for seed in job.seeds if seed not in problem.seeds)
            parts = [left] * bool(left) + [(seed,) for seed in problem.seeds]
        if job.resume_path.is_file():
            _take_apart(job, parts)
        job = replace(job, seeds=left)
        gc.collect()  # or the others have less of the card's memory
        torch.cuda.empty_cache()
    return job.seeds


def _take_apart(job: Job, parts: Collection[tuple[int, ...]]) -> None:
    """Put working checkpoints of parts of the seeds in the place of the one that all shared.

    What goes on from one later, such as a longer meta-training, asks for its own seeds alone.
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
