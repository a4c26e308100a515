"""Everything a profile asks for, from drawings to tables: in worker processes, resumable.

On a GPU this process itself meta-trains several seeds side by side before the workers begin.

A run lives in one folder: `checkpoints/`, `parts/` (one file a finished evaluation), `results/`
(the tables that notebooks read), `logs/`, and `run.json` (what it is a run of). Calling `run` again
does what is missing, and what code that changed since has made stale.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from anml.data import Drawings
from anml.errors import AnmlError
from anml.process import usable_cores
from anml.profiles import PROFILES, Profile
from anml.running.disk import require_space
from anml.running.gather import beginnings, write_tables
from anml.running.groups import Group, group_name
from anml.running.jobs import Place, Plan, TrainJob, Work, read_json
from anml.running.plan import plan
from anml.running.run_log import RunLog
from anml.running.side_by_side import shared_beginnings, side_by_side, train_side_by_side
from anml.running.staleness import set_aside, stale_beginnings, stale_jobs
from anml.running.workers import run_jobs
from anml.store.code_state import pin_states
from anml.store.files import clear_leftovers, replacing, require_writable, telling_failure
from anml.store.lock import locked

LOCK = "run.lock"
"""In a run's folder: held alone by a whole run, shared by groups of jobs."""
CLAIM_LOCK = Path("locks") / "claim"
"""In a run's folder: held by whoever looks what it is a run of, and says so if nobody has."""
CLAIM_SECONDS = 30.0
"""How long to wait for that lock, which nobody holds for longer than it takes to write a line."""
STALE_LOCK = Path("locks") / "stale"
"""In a run's folder: held by whoever looks what other code made and sets it aside."""
STALE_SECONDS = 600.0
"""How long to wait for that lock: all results of a run are looked at meanwhile."""


def default_folder(profile: Profile, source: str, overrides: Mapping[str, Any]) -> Path:
    """`runs/<profile>-<data source>`, with a mark of its own when single values are overridden.

    The mark is of these values alone, so that it stays when the profile's prose or others change.
    """
    values = {name: profile.values()[name] for name in overrides}
    mark = sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:8]
    return Path("runs") / (f"{profile.name}-{source}" + (f"-{mark}" if overrides else ""))


def run(
    profile: Profile,
    drawings: Drawings,
    data_name: str,
    folder: Path,
    *,
    only: Sequence[str] = (),
    device: str = "cpu",
    workers: int | None = None,
    keep: bool = False,
) -> tuple[Path, int]:
    """Do what is missing of a run and write its tables, as `gather`, whose result it returns.

    `data_name`: what `data.load` was asked for, since workers load the drawings themselves. `only`:
    as for `plan`; the tables then hold all that is finished so far. `workers`: processes of one
    thread each (default: `default_workers`). `keep`: do not do again what other code made.
    AnmlError: another run is at work in the folder, it holds a run of other settings, the disk is
    too full, a job failed, meta-trainings diverged (when all that does not wait for them is
    finished), or code changed before all workers had it. KeyboardInterrupt: after workers have
    saved.
    """
    place = Place(profile, folder, device, keep)
    _pin_code(plan(profile))
    jobs = plan(profile, only)
    claim(place, drawings)
    with locked(folder / LOCK, str(folder)):
        clear_leftovers(folder)
        require_space(place, jobs)  # a log needs some too; `do` counts what it makes again
        log = RunLog(folder / "logs")
        do(place, data_name, jobs, workers or default_workers(device), log)
        return gather(place, drawings)


def _pin_code(jobs: Plan) -> None:
    """Hold this process to the code as it is now: by the tree at the end of a long run, results
    that its workers made from the tree at its beginning would be of other code.
    """
    pin_states({job.code for job in jobs})


def default_workers(device: str) -> int:
    """One process for each core that this one may use; on a GPU one, since processes would take
    turns on it.
    """
    return usable_cores() if device == "cpu" else 1


def run_group(
    place: Place, drawings: Drawings, data_name: str, group: Group, workers: int = 1
) -> None:
    """Do what is missing of one group of jobs; groups of one folder may run at the same time.

    AnmlError: a group that it waits for is not finished; or as `run`.
    """
    waits = plan(place.profile)
    _pin_code(waits)
    claim(place, drawings)
    missing = [
        job.name
        for own in group.jobs
        for job in waits[own]
        if job not in group.jobs and not job.result(place).is_file()
    ]
    if missing:
        raise AnmlError(
            f"{group.name} needs {missing[0]} ({len(set(missing))} jobs are missing): "
            f"run {', '.join(group.waits)} first"
        )
    with alone(place, drawings, group.jobs) as log:
        inside = {own: [job for job in waits[own] if job in group.jobs] for own in group.jobs}
        do(place, data_name, inside, workers, log)


@contextmanager
def alone(place: Place, drawings: Drawings, jobs: Sequence[Work]) -> Iterator[RunLog]:
    """Claim a run's folder for a few jobs that nobody else may do meanwhile; yields their log.

    Others may be at work on other groups of the same run. AnmlError: one of theirs is in use, or as
    `run`.
    """
    claim(place, drawings)
    with ExitStack() as held:
        held.enter_context(locked(place.folder / LOCK, str(place.folder), shared=True))
        for name in sorted({group_name(job) for job in jobs}):
            path = place.folder / "locks" / name
            held.enter_context(locked(path, f"{name} in {place.folder}"))
        require_space(place, {job: [] for job in jobs})
        yield RunLog(place.folder / "logs")


def do(place: Place, data_name: str, jobs: Plan, workers: int, log: RunLog) -> None:
    """Set stale results aside, then do what is missing; everything is said in the log as well.

    AnmlError: as `run`; nothing is set aside where the disk has no room to make it again.
    """
    _refuse_shared_beginnings(place, jobs)
    if place.keep:
        require_space(place, jobs)
    else:
        lock = place.folder / STALE_LOCK
        with locked(lock, f"{place.folder / 'stale'}", wait_seconds=STALE_SECONDS):
            _set_stale_aside(place, jobs, log)
    try:
        diverged = train_side_by_side(place, data_name, jobs, log.write)
        run_jobs(place, data_name, jobs, workers, log.write, diverged)
    except BaseException as error:
        log.write(f"stopped: {error or type(error).__name__}")
        raise
    log.write("everything asked for is finished")


def _set_stale_aside(place: Place, jobs: Plan, log: RunLog) -> None:
    """Set aside what other code made of what `jobs` make or go on from, and what rests on it."""
    stale = stale_jobs(place, jobs, plan(place.profile))
    require_space(place, jobs, stale)  # set aside, they take up their room as before
    again = [job for job in jobs if job in stale or not job.result(place).is_file()]
    paths = [job.result(place) for job in stale] + stale_beginnings(place, again)
    if not paths:
        return
    text = (
        f"other code than this made {len(paths)} files, or what they rest on: they are made again, "
        f"and what they were lies in {set_aside(place, paths)} "
        "(--keep would have taken them as they are)"
    )
    print(text, file=sys.stderr)
    log.write(text)
    for path in paths:
        log.write(f"stale: {path}")


def _refuse_shared_beginnings(place: Place, jobs: Plan) -> None:
    """Refuse to begin anew what was begun for several seeds at once, unless it goes on so here."""
    waiting = {job for job in jobs if not job.result(place).is_file()}
    going_on = side_by_side(place, jobs)
    for working in shared_beginnings(place):
        wanted = any(TrainJob(working.training, seed) in waiting for seed in working.seeds)
        if wanted and (working.training, working.seeds) not in going_on:
            raise AnmlError(
                f"{working.path} is an unfinished meta-training of several seeds: finish it with "
                f"`anml meta-train {working.training} --seeds {','.join(map(str, working.seeds))} "
                f"--resume --out {place.folder}` and this run's --profile, --data and --set, or "
                "delete that file to meta-train them one by one"
            )


def gather(place: Place, drawings: Drawings) -> tuple[Path, int]:
    """Write the tables from what is finished, and a table of its own from meta-trainings that are
    under way: their folder, and how many jobs are missing, those under way among them.

    AnmlError: nothing is finished or under way, or the folder holds a run of other settings.
    """
    jobs = plan(place.profile)
    finished = [job for job in jobs if job.result(place).is_file()]
    if not place.keep:
        stale = set(stale_jobs(place, jobs, jobs))
        finished = [job for job in finished if job not in stale]
    begun = beginnings(place, drawings, jobs.keys() - set(finished))
    if not finished and not begun:
        raise AnmlError(
            f"{place.folder} holds nothing that is finished or under way with these settings: "
            "run it without --gather"
        )
    claim(place, drawings)
    return write_tables(place, drawings, finished, begun), len(jobs) - len(finished)


def claim(place: Place, drawings: Drawings) -> None:
    """Write what this folder is a run of, one process at a time.

    AnmlError: it is another run's, or it cannot be written.
    """
    settings = {
        "profile": place.profile.settings(),
        "data_fingerprint": drawings.fingerprint,
    }
    path = place.folder / "run.json"
    require_writable(place.folder)
    with locked(place.folder / CLAIM_LOCK, str(path), wait_seconds=CLAIM_SECONDS):
        if not path.is_file():
            with telling_failure(path), replacing(path) as temporary:
                temporary.write_text(json.dumps(settings, indent=1))
        elif _held_settings(path) != settings:
            raise AnmlError(
                f"{place.folder} holds a run with other settings or drawings: "
                "delete that folder, or choose another one with --out"
            )


def _held_settings(path: Path) -> dict[str, Any]:
    """What run.json holds (`claim`), with this version's value of the named profile for any that
    the version that wrote it did not have yet, and without those that it alone had.

    AnmlError: it is damaged.
    """
    held = read_json(path)
    own = held.get("profile", {}) if isinstance(held, dict) else None
    if not isinstance(own, dict):
        raise AnmlError(f"{path} is damaged: delete it, then run the same command to go on")
    named = PROFILES.get(str(own.get("name")))
    known = named.settings() if named else own
    return held | {"profile": known | {k: v for k, v in own.items() if k in known}}
