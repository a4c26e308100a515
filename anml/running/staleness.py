"""Which finished jobs must be done again: those whose code changed since, and all that read them.

What is stale is moved into the run's folder `stale/`, not deleted: it took time to make.
"""

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from anml.errors import AnmlError
from anml.running.gather import working_checkpoints
from anml.running.jobs import Place, Plan, TrainJob, Work, read_json
from anml.running.lengths import LengthJob
from anml.running.rate_search import RateJob
from anml.store.checkpoint import read_header
from anml.store.code_state import code_state


def made_by(path: Path) -> str | None:
    """The state of the code that a checkpoint or part was made by; None if it does not say."""
    record = read_header(path) if path.suffix == ".safetensors" else read_json(path)
    return record.get("code") if isinstance(record, dict) else None


def stale_jobs(place: Place, jobs: Plan, everything: Plan) -> list[Work]:
    """The finished jobs that have to be done again if `jobs` are to be: theirs, in their order, and
    then all of `everything` that read what those left, whether it is among `jobs` or not.

    AnmlError: a result is damaged.
    """
    stale = [
        job
        for job in jobs
        if job.result(place).is_file() and _by_other_code(job.result(place), job)
    ]
    readers = [job for job in everything if job.result(place).is_file()]
    for job in stale:  # grows while it is read: readers have readers
        stale += [other for other in readers if job in everything[other] and other not in stale]
    return stale


def stale_beginnings(place: Place, jobs: Iterable[Work]) -> list[Path]:
    """What other code made and a job would go on from: checkpoints of meta-trainings that are not
    finished, those inside of jobs that meta-train to measure something, and what these measured.
    """
    found = []
    for job in jobs:
        for path, code in _begun(job, place):
            if path in found:  # of seeds that share one
                continue
            # A damaged one is nobody's: the job itself will say so.
            with suppress(AnmlError):
                if made_by(path) != code:
                    found.append(path)
    return found


def _begun(job: Work, place: Place) -> list[tuple[Path, str]]:
    """The files that a job would go on from, each with the state of the code that it would have to
    be of; the job's first row is that of its meta-training.
    """
    match job:
        case TrainJob():
            paths = [
                working.path
                for working in working_checkpoints(place)
                if working.training == job.training and job.seed in working.seeds
            ]
        case LengthJob() | RateJob():
            own = job.own(place)
            paths = [job.training.working(own), job.training.result(own)]
        case _:
            return []
    trained = code_state(TrainJob.code, job.rows[0])
    found = [(path, trained) for path in paths]
    if isinstance(job, LengthJob):
        found += [
            (piece.result(own), code_state(piece.code, *piece.rows))
            for piece in job.pieces(place.profile)
        ]
    return [(path, code) for path, code in found if path.is_file()]


def _by_other_code(path: Path, job: Work) -> bool:
    """Whether other code than this, or other rows, made a job's file; AnmlError: it is damaged."""
    return made_by(path) != code_state(job.code, *job.rows)


def set_aside(place: Place, paths: Iterable[Path]) -> Path:
    """Move results of the run to a new folder in its `stale/`; returns that folder."""
    folder = place.folder / "stale" / f"{datetime.now().astimezone():%Y%m%dT%H%M%S%f}"
    for path in paths:
        target = folder / path.relative_to(place.folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)
    return folder
