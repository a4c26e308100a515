"""Everything a profile asks for, from drawings to tables: in worker processes, resumable.

A run lives in one folder: `checkpoints/`, `parts/` (one file a finished evaluation), `results/`
(the tables that notebooks read) and `run.json` (what it is a run of). Calling `run` again does what
is missing.
"""

import json
import multiprocessing
import os
import queue
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from ctypes import c_byte
from dataclasses import dataclass
from hashlib import sha256
from multiprocessing.process import BaseProcess
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from tqdm import tqdm

from anml import data
from anml.checkpoint import load_checkpoint
from anml.data import Drawings
from anml.disagreements import plan_disagreements
from anml.errors import AnmlError
from anml.evaluations import plan_evaluations
from anml.files import replacing, require_writable
from anml.interrupt import hold_interrupt, terminate_as_interrupt
from anml.jobs import Place, Plan, Row, TrainJob, Work, read_json, read_part
from anml.memory import keep_freed_memory
from anml.meta_train import LOG_METRICS
from anml.probe_jobs import plan_probes
from anml.profiles import Profile
from anml.rate_search import plan_rate_search
from anml.results import provenance_now, write_table
from anml.tables import listing

LOG_POINTS = 200
"""Points of each learning curve that the log table keeps: means over equal stretches."""
BAR_FORMAT = "{desc} |{bar}| {percentage:3.0f}% [{elapsed}, about {remaining} left{postfix}]"
REPORT_SECONDS = 0.5
"""A worker reports progress, and asks whether to stop, about this often."""

PLANNERS: tuple[Callable[[Profile], Plan], ...] = (
    plan_evaluations,
    plan_probes,
    plan_disagreements,
    plan_rate_search,
)
"""What a run consists of; the jobs that theirs wait for are added by `plan`."""


def default_folder(profile: Profile, source: str, overrides: Mapping[str, Any]) -> Path:
    """`runs/<profile>-<data source>`, with a mark of its own when single values are overridden."""
    mark = sha256(json.dumps(profile.values(), sort_keys=True).encode()).hexdigest()[:8]
    return Path("runs") / (f"{profile.name}-{source}" + (f"-{mark}" if overrides else ""))


def plan(profile: Profile, only: Sequence[str] = ()) -> Plan:
    """Every job of a run with the jobs that it waits for, the longest first.

    `only`: parts of names; given some, just the jobs with one of them in their name, and what those
    wait for. AnmlError if there is no such job.
    """
    jobs: Plan = {}
    for planner in PLANNERS:
        jobs |= planner(profile)
    jobs |= {job: [] for waits in list(jobs.values()) for job in waits if job not in jobs}
    if only:
        jobs = _chosen(jobs, only)
    cost = {job: job.weight() * job.steps(profile) for job in jobs}
    return {job: jobs[job] for job in sorted(jobs, key=lambda job: (-cost[job], job.name))}


def _chosen(jobs: Plan, only: Sequence[str]) -> Plan:
    """The jobs with one of the texts `only` in their name, and all that they wait for."""
    left = [job for job in jobs if any(part.lower() in job.name.lower() for part in only)]
    if not left:
        raise AnmlError(
            f"no job's name holds {listing(only)}: names are such as "
            f"{listing(sorted({job.name for job in jobs})[:: max(1, len(jobs) // 4)])}"
        )
    chosen: Plan = {}
    while left:
        job = left.pop()
        chosen[job] = jobs[job]
        left += [other for other in jobs[job] if other not in chosen]
    return chosen


def run(
    profile: Profile,
    drawings: Drawings,
    data_name: str,
    folder: Path,
    *,
    only: Sequence[str] = (),
    device: str = "cpu",
    workers: int | None = None,
) -> tuple[Path, int]:
    """Do what is missing of a run and write its tables, as `gather`, whose result it returns.

    `data_name`: what `data.load` was asked for, since workers load the drawings themselves. `only`:
    as for `plan`; the tables then hold all that is finished so far. `workers`: processes of one
    thread each (default: one a core). AnmlError: the folder holds a run of other settings, or a job
    failed. KeyboardInterrupt: after workers have saved.
    """
    place = Place(profile, folder, device)
    jobs = plan(profile, only)
    claim(place, drawings)
    _run_jobs(place, data_name, jobs, workers or os.cpu_count() or 1)
    return gather(place, drawings)


def gather(place: Place, drawings: Drawings) -> tuple[Path, int]:
    """Write the tables from what is finished: their folder, and how many jobs are missing.

    AnmlError: nothing is finished, or the folder holds a run of other settings.
    """
    jobs = plan(place.profile)
    finished = [job for job in jobs if job.result(place).is_file()]
    if not finished:
        raise AnmlError(f"{place.folder} holds nothing that is finished: run it without --gather")
    claim(place, drawings)
    return write_tables(place, drawings, finished), len(jobs) - len(finished)


def claim(place: Place, drawings: Drawings) -> None:
    """Write what this folder is a run of; AnmlError if it is another run's or cannot be written."""
    settings = {
        "profile": place.profile.settings(),
        "data_fingerprint": drawings.fingerprint,
    }
    path = place.folder / "run.json"
    require_writable(place.folder)
    if not path.is_file():
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(settings, indent=1))
    elif read_json(path) != settings:
        raise AnmlError(
            f"{place.folder} holds a run with other settings or drawings: "
            "delete that folder, or choose another one with --out"
        )


def _run_jobs(place: Place, data_name: str, jobs: Plan, workers: int) -> None:
    """Run the jobs whose file is missing, each after those that it waits for."""
    done = {job for job in jobs if job.result(place).is_file()}
    total = sum(job.weight() * job.steps(place.profile) for job in jobs)
    finished = sum(
        job.weight() * (job.steps(place.profile) if job in done else _steps_begun(job, place))
        for job in jobs
    )
    waiting = [job for job in jobs if job not in done]
    if not waiting:
        return
    running: dict[Future[None], Work] = {}
    context = multiprocessing.get_context("spawn")
    ticks, stop = context.Queue(), context.RawValue("b", 0)
    with (
        terminate_as_interrupt(),
        ProcessPoolExecutor(workers, context, _start_worker, (data_name, ticks, stop)) as pool,
        tqdm(
            total=total,
            initial=finished,
            desc=f"{place.profile.name}: {len(done)} of {len(jobs)} jobs",
            bar_format=BAR_FORMAT,
            smoothing=0,
        ) as bar,
    ):
        try:
            while waiting or running:
                for job in [job for job in waiting if done.issuperset(jobs[job])]:
                    if len(running) < workers:
                        waiting.remove(job)
                        with hold_interrupt():
                            running[pool.submit(_work, job, place)] = job
                ready, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
                _advance(bar, ticks)
                for future in ready:
                    job = running.pop(future)
                    future.result()
                    done.add(job)
                    bar.set_description(f"{place.profile.name}: {len(done)} of {len(jobs)} jobs")
                bar.set_postfix_str("; ".join(job.name for job in running.values()), refresh=False)
        except BrokenProcessPool as error:
            raise AnmlError(
                "a worker process was killed, most likely for want of memory: run the same command "
                "to go on, with fewer processes (--workers 1)"
            ) from error
        finally:
            # After Ctrl-C or a failed job the others save and stop, not only when they are through.
            stop.value = 1
            pool.shutdown(wait=True, cancel_futures=True)


def _steps_begun(job: Work, place: Place) -> int:
    """Steps that an unfinished job need not do again: those of its working checkpoint."""
    if not isinstance(job, TrainJob):
        return 0
    try:
        _, header = load_checkpoint(job.working(place))
    except AnmlError:  # not there; or damaged, as the job itself will say
        return 0
    return min(header["iteration"], job.steps(place.profile))


def _advance(bar: tqdm, ticks: "Queue[float]") -> None:
    """Move the bar by what workers have reported."""
    while True:
        try:
            bar.update(min(ticks.get_nowait(), bar.total - bar.n))
        except queue.Empty:
            return


@dataclass(frozen=True)
class _Worker:
    """What a worker process has at hand for every job."""

    drawings: Drawings
    ticks: "Queue[float]"  # weighted steps that were done
    stop: c_byte  # set by the parent: save and end


_worker: _Worker


def _start_worker(data_name: str, ticks: "Queue[float]", stop: c_byte) -> None:
    """Set up a worker process: one thread, its own copy of the drawings."""
    global _worker
    keep_freed_memory()
    torch.set_num_threads(1)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    threading.Thread(
        target=_end_with, args=(multiprocessing.parent_process(),), daemon=True
    ).start()
    ticks.cancel_join_thread()  # progress is no reason to wait at the end
    _worker = _Worker(data.load(data_name), ticks, stop)


def _end_with(parent: BaseProcess) -> None:
    """End this process when its parent is gone, killed perhaps: nobody would take its results."""
    parent.join()
    os._exit(1)


def _work(job: Work, place: Place) -> None:
    """Run one job in a worker, reporting weighted steps about once in `REPORT_SECONDS`."""
    pending, reported = 0, time.monotonic()

    def on_step(steps: int) -> None:
        nonlocal pending, reported
        pending += steps
        if time.monotonic() - reported > REPORT_SECONDS:
            _worker.ticks.put(pending * job.weight())
            pending, reported = 0, time.monotonic()
            if _worker.stop.value:
                signal.raise_signal(signal.SIGTERM)  # as from outside: the job saves what it can

    job.run(place, _worker.drawings, on_step)
    _worker.ticks.put(pending * job.weight())


def write_tables(place: Place, drawings: Drawings, jobs: Sequence[Work]) -> Path:
    """Gather finished jobs into the tables; returns their folder.

    A table is whatever rows some job's part names it; meta-trainings add `meta_train_log`.
    """
    profile, folder = place.profile, place.folder / "results"
    rows: dict[str, list[Row]] = defaultdict(list)
    seconds = 0.0
    for job in jobs:
        if isinstance(job, TrainJob):
            tensors, header = load_checkpoint(job.result(place))
            seconds += header["seconds"]
            rows["meta_train_log"] += learning_curve(job, tensors["log"])
        else:
            tables, took = read_part(job, place)
            seconds += took
            for name, observations in tables.items():
                rows[name] += observations
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


def learning_curve(job: TrainJob, log: torch.Tensor) -> list[Row]:
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
