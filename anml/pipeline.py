"""Everything a profile asks for, from drawings to tables: in worker processes, resumable.

A run lives in one folder: `checkpoints/`, `parts/` (one file a finished evaluation), `results/`
(the tables that notebooks read) and `run.json` (what it is a run of). Calling `run` again does what
is missing.
"""

import json
import multiprocessing
import os
import queue
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from hashlib import sha256
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from tqdm import tqdm

from anml import data
from anml.checkpoint import load_checkpoint
from anml.data import Drawings
from anml.errors import AnmlError
from anml.files import replacing
from anml.jobs import EvaluateJob, Place, TrainJob
from anml.memory import keep_freed_memory
from anml.meta_train import LOG_METRICS
from anml.profiles import Profile
from anml.results import provenance_now, write_table
from anml.treatments import TREATMENTS, find_training, find_treatment

LOG_POINTS = 200
"""Points of each learning curve that the log table keeps: means over equal stretches."""
BAR_FORMAT = "{desc} |{bar}| {percentage:3.0f}% [{elapsed}, about {remaining} left{postfix}]"
TICK = 10
"""A worker reports progress after this many steps."""

Work = TrainJob | EvaluateJob


def default_folder(profile: Profile, source: str, overrides: Mapping[str, Any]) -> Path:
    """`runs/<profile>-<data source>`, with a mark of its own when single values are overridden."""
    mark = sha256(json.dumps(profile.values(), sort_keys=True).encode()).hexdigest()[:8]
    return Path("runs") / (f"{profile.name}-{source}" + (f"-{mark}" if overrides else ""))


def plan(profile: Profile, treatments: Sequence[str]) -> dict[Work, list[Work]]:
    """Every job of a run with the jobs that it waits for, the longest first."""
    rows = [find_treatment(name) for name in treatments]
    jobs: dict[Work, list[Work]] = {}
    for training in dict.fromkeys(row.training for row in rows):
        if find_training(training).procedure != "none":
            jobs |= {TrainJob(training, seed): [] for seed in range(profile.model_seeds)}
    for row in rows:
        waits = [job for job in jobs if isinstance(job, TrainJob) and job.training == row.training]
        for optimizer in profile.optimizers:
            for n in profile.n_classes:
                jobs[EvaluateJob(row.name, n, optimizer)] = waits
    cost = {job: job.weight() * job.steps(profile) for job in jobs}
    return {job: jobs[job] for job in sorted(jobs, key=lambda job: -cost[job])}


def run(
    profile: Profile,
    drawings: Drawings,
    data_name: str,
    folder: Path,
    *,
    treatments: Sequence[str] = tuple(TREATMENTS),
    device: str = "cpu",
    workers: int | None = None,
) -> Path:
    """Do what is missing of a run and write its tables; returns the folder of the tables.

    `data_name`: what `data.load` was asked for, since workers load the drawings themselves.
    `workers`: processes of one thread each (default: one a core). AnmlError: the folder holds a run
    of other settings, or a job failed. KeyboardInterrupt: after workers have saved.
    """
    place = Place(profile, folder, device)
    _claim(place, drawings)
    jobs = plan(profile, treatments)
    _run_jobs(place, data_name, jobs, workers or os.cpu_count() or 1)
    return write_tables(place, drawings, list(jobs))


def _claim(place: Place, drawings: Drawings) -> None:
    """Write what this folder is a run of, or refuse another run's folder."""
    settings = {"profile": place.profile.values(), "data_fingerprint": drawings.fingerprint}
    settings["profile"].pop("summary")
    path = place.folder / "run.json"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(settings, indent=1))
    elif json.loads(path.read_text()) != settings:
        raise AnmlError(
            f"{place.folder} holds a run with other settings or drawings: "
            "delete that folder, or choose another one with --out"
        )


def _run_jobs(place: Place, data_name: str, jobs: Mapping[Work, list[Work]], workers: int) -> None:
    """Run the jobs whose file is missing, each after those that it waits for."""
    done = {job for job in jobs if job.result(place).is_file()}
    total = sum(job.weight() * job.steps(place.profile) for job in jobs)
    finished = sum(job.weight() * job.steps(place.profile) for job in done)
    waiting = [job for job in jobs if job not in done]
    running: dict[Future[None], Work] = {}
    context = multiprocessing.get_context("spawn")
    with (
        context.Manager() as manager,
        ProcessPoolExecutor(workers, context, _start_worker, (data_name,)) as pool,
        tqdm(
            total=total,
            initial=finished,
            desc=f"{place.profile.name}: {len(done)} of {len(jobs)} jobs",
            bar_format=BAR_FORMAT,
            smoothing=0,
        ) as bar,
    ):
        ticks = manager.Queue()
        try:
            while waiting or running:
                for job in [job for job in waiting if done.issuperset(jobs[job])]:
                    if len(running) < workers:
                        waiting.remove(job)
                        running[pool.submit(_work, job, place, ticks)] = job
                ready, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
                _advance(bar, ticks)
                for future in ready:
                    job = running.pop(future)
                    future.result()
                    done.add(job)
                    bar.set_description(f"{place.profile.name}: {len(done)} of {len(jobs)} jobs")
                bar.set_postfix_str("; ".join(job.name for job in running.values()), refresh=False)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _advance(bar: tqdm, ticks: "queue.Queue[float]") -> None:
    """Move the bar by what workers have reported."""
    while True:
        try:
            bar.update(min(ticks.get_nowait(), bar.total - bar.n))
        except queue.Empty:
            return


_drawings: Drawings
"""A worker's drawings, loaded once when it starts."""


def _start_worker(data_name: str) -> None:
    """Set up a worker process: one thread, its own copy of the drawings."""
    global _drawings
    keep_freed_memory()
    torch.set_num_threads(1)
    _drawings = data.load(data_name)


def _work(job: Work, place: Place, ticks: "queue.Queue[float]") -> None:
    """Run one job in a worker, reporting weighted steps."""
    pending = 0

    def on_step(steps: int) -> None:
        nonlocal pending
        pending += steps
        if pending >= TICK:
            ticks.put(pending * job.weight())
            pending = 0

    job.run(place, _drawings, on_step)
    ticks.put(pending * job.weight())


def write_tables(place: Place, drawings: Drawings, jobs: Sequence[Work]) -> Path:
    """Gather finished jobs into the tables; returns their folder."""
    profile, folder = place.profile, place.folder / "results"
    rows: dict[str, list[Any]] = {"meta_test": [], "learning_rates": [], "meta_train_log": []}
    seconds = 0.0
    for job in jobs:
        if isinstance(job, TrainJob):
            tensors, header = load_checkpoint(job.result(place))
            seconds += header["seconds"]
            rows["meta_train_log"] += learning_curve(job, tensors["log"])
        else:
            part = json.loads(job.result(place).read_text())
            seconds += part["seconds"]
            for name in ("meta_test", "learning_rates"):
                rows[name] += part[name]
    provenance = provenance_now(
        data_source=drawings.source,
        data_fingerprint=drawings.fingerprint,
        profile=profile.name,
        profile_values=profile.values(),
        seconds=seconds,
        device=place.device,
    )
    for name, observations in rows.items():
        if observations:
            frame = pd.DataFrame(observations)
            frame.insert(0, "data", drawings.source)
            frame.insert(0, "profile", profile.name)
            write_table(folder / f"{name}.parquet", frame, provenance)
    return folder


def learning_curve(job: TrainJob, log: torch.Tensor) -> list[dict[str, Any]]:
    """Rows of the log table: means over at most 200 equal stretches of `log` [iterations, 3]."""
    stretches = log.chunk(min(LOG_POINTS, len(log)))
    rows, done = [], 0
    for stretch in stretches:
        done += len(stretch)
        rows += [
            {
                "treatment": job.training,
                "model_seed": job.seed,
                "iteration": done,
                "metric": metric,
                "value": value,
            }
            for metric, value in zip(LOG_METRICS, stretch.mean(0).tolist(), strict=True)
        ]
    return rows
