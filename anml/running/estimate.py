"""What a run will take on this machine, from a few steps of everything that it does."""

import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import torch

from anml.data import Drawings
from anml.meta_test import SIDE_BY_SIDE, meta_test
from anml.meta_train import Job, initial_model, meta_train
from anml.meta_training.episodes import Stream
from anml.meta_training.outer_step import iterations_ahead, on_gpu
from anml.running.disagreements import DisagreementJob
from anml.running.evaluations import EvaluateJob, SearchJob
from anml.running.groups import group_name
from anml.running.head_jobs import TREATMENT, HeadJob
from anml.running.jobs import Place, Plan, Resumable, TrainJob, Work, make_runs
from anml.running.lengths import LengthJob
from anml.running.rate_search import RateJob
from anml.running.side_by_side import side_by_side
from anml.store.checkpoint import working_name
from anml.treatments import find_training, find_treatment

LOOKS = {"cpu": 4, "cuda": 2}
"""Reports of a meta-training that are timed, the first of which is left out; on a GPU each is of
many meta-iterations."""
CLASSES = 20
"""Classes that a meta-test learns to be timed: several of the blocks in which it reports."""


@dataclass(frozen=True)
class Estimate:
    """One group of jobs: how many, how many finished, and seconds of one thread for the rest."""

    stage: str
    group: str
    jobs: int
    finished: int
    seconds: float


def estimate(
    place: Place, drawings: Drawings, jobs: Plan, again: Collection[Work] = ()
) -> list[Estimate]:
    """Time a few steps of each kind of work on one thread, and count what is left of it.

    `again`: what is finished and left to do all the same (`anml.running.staleness`).
    """
    stale = set(again)
    begun = {job: job.steps_begun(place) for job in jobs if isinstance(job, Resumable)}
    together: dict[Work, tuple[int, ...]] = {}
    for training, seeds in side_by_side(place, jobs, stale):
        own = [TrainJob(training, seed) for seed in seeds]
        together |= dict.fromkeys(own, seeds)
        shared = place.folder / "checkpoints" / working_name(training, seeds)
        begun |= {job: job.steps_in(shared, place) for job in own}
    a_step = step_timer(place, drawings, together)
    found: dict[str, list[tuple[bool, float]]] = defaultdict(list)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for job in jobs:
            done = job.result(place).is_file() and job not in stale
            left = 0 if done else job.steps(place.profile) - begun.get(job, 0)
            seconds = left * a_step(job) if left else 0.0
            found[group_name(job)].append((done, seconds))
    finally:
        torch.set_num_threads(threads)
    return [
        Estimate(
            *(group.partition(".")[0], group, len(own)),
            sum(done for done, _ in own),
            sum(seconds for _, seconds in own),
        )
        for group, own in found.items()
    ]


def step_timer(
    place: Place, drawings: Drawings, together: Mapping[Work, tuple[int, ...]]
) -> Callable[[Work], float]:
    """A function that gives the seconds of one of a job's steps; each kind is timed once.

    `together`: the seeds beside which a meta-training runs, its own too; its seconds are its part
    of all.
    """

    kind = torch.device(place.device).type

    @cache
    def training_step(training: str, seeds: tuple[int, ...] = (0,)) -> float:
        ahead = iterations_ahead(place.device)
        profile = place.profile.of_length(LOOKS[kind] * ahead)
        with tempfile.TemporaryDirectory() as folder:
            job = Job(
                *(find_training(training), profile, drawings, seeds, Path(folder)),
                device=place.device,
            )
            heard: list[float] = []
            meta_train(job, progress=False, on_step=lambda *_: heard.append(time.monotonic()))
        # It reports of `ahead` iterations at once; what comes before the first is set-up.
        looks = heard[ahead - 1 :: ahead]
        return statistics.median(b - a for a, b in pairwise(looks)) / ahead / len(seeds)

    @cache
    def meta_test_step(treatment: str, optimizer: str) -> float:
        row = find_treatment(treatment)
        network = find_training(row.training).network
        model = initial_model(network, place.profile, 0).to(place.device)
        seeds = range(SIDE_BY_SIDE[kind])  # as many as go on together
        runs = make_runs(place.profile, CLASSES, seeds, [1e-3], Stream.SEARCH)
        heard: list[tuple[float, int]] = []

        def hear(learned: int) -> None:
            if on_gpu(place.device):
                torch.cuda.synchronize()  # what was asked of it may not be done yet
            heard.append((time.monotonic(), learned))

        meta_test(row, model, drawings, runs, optimizer, hear)
        # What comes before the first report is set-up, which long runs have once.
        return (heard[-1][0] - heard[0][0]) / sum(n for _, n in heard[1:])

    def step(job: Work) -> float:
        match job:
            case TrainJob(training, _):
                return training_step(training, together.get(job, (0,)))
            case RateJob():
                each = sum(meta_test_step(name, "adam") for name in job.treatments)
                learning = job.drawings_learned(place.profile) * each
                training = place.profile.rate_search_iterations * training_step(job.meta_training)
                return (training + learning) / job.steps(place.profile)
            case LengthJob():
                learning = sum(
                    job.drawings_learned(place.profile, name) * meta_test_step(name, "adam")
                    for name in job.treatments
                )
                training = (job.iterations - job.since) * training_step(job.meta_training)
                return (training + learning) / job.steps(place.profile)
            case SearchJob(point, _) | EvaluateJob(point, _):
                return meta_test_step(point.treatment, point.optimizer)
            case HeadJob():
                return meta_test_step(TREATMENT, job.optimizer)
            case DisagreementJob(setting, _) if not job.evaluations(place.profile):
                return meta_test_step(setting.treatment, setting.optimizer)
        return job.weight() / 1000

    return step
