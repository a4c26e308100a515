"""Jobs in worker processes of one thread each: each after those that it waits for, resumable."""

import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from ctypes import c_byte
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.process import BaseProcess
from multiprocessing.queues import Queue
from types import MappingProxyType

import torch
from tqdm import tqdm

from anml import data
from anml.data import Drawings
from anml.errors import AnmlError
from anml.meta_training.divergence import DivergedError
from anml.meta_training.precision import choose_float32
from anml.process import prepare_process
from anml.results import running_commit
from anml.running.jobs import Place, Plan, Resumable, TrainJob, Work
from anml.store.code_state import code_state, pin_states
from anml.store.interrupt import hold_interrupt, terminate_as_interrupt

BAR_FORMAT = "{desc} |{bar}| {percentage:3.0f}% [{elapsed}, about {remaining} left{postfix}]"
THREADS = 1
"""Of a worker: jobs side by side are faster than threads within one."""
REPORT_SECONDS = 0.5
"""A worker reports progress, and asks whether to stop, about this often."""


def run_jobs(
    place: Place,
    data_name: str,
    jobs: Plan,
    workers: int,
    heard: Callable[[str], None] = lambda text: None,
    diverged: Mapping[Work, str] = MappingProxyType({}),
) -> None:
    """Run the jobs whose file is missing, each after those that it waits for.

    `data_name`: what `data.load` was asked for; `heard` is told of each job's end. Where a
    meta-training diverges, as it would at every start, the jobs that do not wait for it go on.
    `diverged`: those that did before, and what the user is told of each.
    AnmlError: meta-trainings diverged, when all others are finished; a job failed, a worker was
    killed, or one that was started late found other code than this process.
    """
    problems = list(dict.fromkeys(diverged.values()))
    waiting = [job for job in jobs if not job.result(place).is_file()]
    for job in diverged:
        waiting = _without(job, waiting, jobs)
    if waiting:
        problems += _run_in_workers(place, data_name, jobs, waiting, workers, heard)
    if problems:
        raise AnmlError(
            "; ".join(problems) + "; all that does not wait for it is finished: --gather makes "
            "tables of that"
        )


def _run_in_workers(
    place: Place,
    data_name: str,
    jobs: Plan,
    waiting: list[Work],
    workers: int,
    heard: Callable[[str], None],
) -> list[str]:
    """Run the `waiting` of `jobs`, as `run_jobs`; what the user is told of those that diverged."""
    problems: list[str] = []
    done = {job for job in jobs if job.result(place).is_file()}
    total = sum(job.weight() * job.steps(place.profile) for job in jobs)
    begun = {job: job.steps_begun(place) for job in jobs if isinstance(job, Resumable)}
    finished = sum(
        job.weight() * (job.steps(place.profile) if job in done else begun.get(job, 0))
        for job in jobs
    )
    running: dict[Future[None], Work] = {}
    context = multiprocessing.get_context("spawn")
    ticks, stop = context.Queue(), context.RawValue("b", 0)
    codes = {TrainJob.code, *(job.code for job in waiting)}  # other jobs meta-train too
    set_up = (data_name, codes, ticks, stop)
    with (
        terminate_as_interrupt(),
        ProcessPoolExecutor(workers, context, _start_worker, set_up) as pool,
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
                        state = code_state(job.code, *job.rows)
                        with hold_interrupt():
                            running[pool.submit(_work, job, place, state)] = job
                ready, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
                _advance(bar, ticks)
                for future in ready:
                    job = running.pop(future)
                    try:
                        future.result()
                    except DivergedError as problem:
                        problems.append(f"{job.name}: {problem}")
                        heard(f"diverged: {problems[-1]}")
                        bar.write(f"{problems[-1]} (others go on)", file=sys.stderr)
                        waiting = _without(job, waiting, jobs)
                        continue
                    done.add(job)
                    heard(f"done: {job.name}")
                    bar.set_description(f"{place.profile.name}: {len(done)} of {len(jobs)} jobs")
                bar.set_postfix_str("; ".join(job.name for job in running.values()), refresh=False)
        except BrokenProcessPool as error:
            raise AnmlError(
                "a worker process was killed, most likely for want of memory, or could not start, "
                "in which case it says above why: run the same command to go on, with fewer "
                "processes (--workers 1) if memory was short"
            ) from error
        finally:
            # After Ctrl-C or a failed job the others save and stop, not only when they are through.
            stop.value = 1
            pool.shutdown(wait=True, cancel_futures=True)
    return problems


def _without(job: Work, waiting: list[Work], jobs: Plan) -> list[Work]:
    """`waiting` without a job, those that wait for it, those that wait for them, and so on."""
    lost = [job]
    for one in lost:  # grows while it is read
        lost += [other for other in jobs if one in jobs[other] and other not in lost]
    return [other for other in waiting if other not in lost]


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


def _start_worker(data_name: str, codes: set[str], ticks: "Queue[float]", stop: c_byte) -> None:
    """Set up a worker process: one thread, its own copy of the drawings."""
    global _worker
    prepare_process()
    torch.set_num_threads(THREADS)
    choose_float32(tf32=False)  # meta-test and probes too, whatever this worker did before
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    threading.Thread(
        target=_end_with, args=(multiprocessing.parent_process(),), daemon=True
    ).start()
    running_commit()  # before the tree may change under a long run
    for module in codes:
        import_module(module)  # first: what is imported after its state was taken may be newer
    pin_states(codes)
    ticks.cancel_join_thread()  # progress is no reason to wait at the end
    _worker = _Worker(data.load(data_name), ticks, stop)


def _end_with(parent: BaseProcess) -> None:
    """End this process when its parent is gone, killed perhaps: nobody would take its results."""
    parent.join()
    os._exit(1)


def _work(job: Work, place: Place, state: str) -> None:
    """Run one job in a worker, reporting weighted steps about once in `REPORT_SECONDS`.

    AnmlError: the code is not in the `state` in which the run began. The pool starts a worker when
    it needs one, perhaps hours later, and that worker imports the tree as it is then.
    """
    if code_state(job.code, *job.rows) != state:
        raise AnmlError(
            f"the code that decides {job.name} changed while the run was going on: "
            "run the same command again"
        )
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
