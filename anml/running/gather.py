"""The tables of a run: the rows that finished jobs left, with one provenance.

What is begun and not finished has a table of its own, with its own provenance: it is no result.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from anml.data import Drawings
from anml.errors import AnmlError
from anml.meta_training.training_job import Job
from anml.profiles import Profile
from anml.results import Provenance, provenance_now, together, write_table
from anml.running.groups import group_name
from anml.running.jobs import Place, Row, TrainJob, Work, read_part
from anml.running.lengths import LengthJob
from anml.store.checkpoint import WORKING_FILES, load_checkpoint, parse_working_name, read_header
from anml.store.tables import LOG_METRICS
from anml.treatments import find_training

LOG_POINTS = 200
"""Points of each learning curve that the log table keeps: means over equal stretches."""
UNFINISHED = "unfinished_log"
"""The table of what is begun and not finished."""


@dataclass(frozen=True)
class Beginning:
    """A meta-training that is begun and not finished."""

    job: TrainJob
    log: torch.Tensor  # [iterations done, 3]
    made: Mapping[str, Any]  # 'seconds', 'commit', 'made_on'


@dataclass(frozen=True)
class Working:
    """A working checkpoint: of one meta-training, with the seeds that it trains side by side."""

    path: Path
    training: str
    seeds: tuple[int, ...]


def working_checkpoints(place: Place) -> list[Working]:
    """Every working checkpoint of a run."""
    paths = sorted((place.folder / "checkpoints").glob(WORKING_FILES))
    return [Working(path, *parse_working_name(path.name)) for path in paths]


def beginnings(place: Place, drawings: Drawings, jobs: Iterable[Work]) -> list[Beginning]:
    """Those of `jobs`, none of them finished, that a working checkpoint is there for.

    A checkpoint that is damaged, of other settings, drawings or (unless `place.keep`) code, or past
    what the profile asks for is left out: the job itself will say so. Replicas share the seconds of
    theirs. Where a seed is in two checkpoints, the one that is further counts.
    """
    wanted = set(jobs)
    found: dict[TrainJob, Beginning] = {}
    for working in working_checkpoints(place):
        own = {TrainJob(working.training, seed): r for r, seed in enumerate(working.seeds)}
        own = {job: r for job, r in own.items() if job in wanted}
        if not own:
            continue
        try:
            tensors, header = load_checkpoint(working.path)
        except AnmlError:
            continue
        training, log = find_training(working.training), tensors["log"]
        made_alike = Job(training, place.profile, drawings, working.seeds, working.path.parent)
        same = all(header.get(name) == value for name, value in made_alike.header().items())
        same &= next(iter(own)).goes_on_from(header, place)
        # Older ones do not say how long they took.
        made = header | {"seconds": header.get("seconds", 0.0) / len(working.seeds)}
        for job, r in own.items():
            further = job not in found or len(found[job].log) < len(log)
            if same and further and 1 <= len(log) <= job.steps(place.profile):
                found[job] = Beginning(job, log[:, r], made)
    return list(found.values())


def write_tables(
    place: Place, drawings: Drawings, jobs: Sequence[Work], begun: Sequence[Beginning] = ()
) -> Path:
    """Gather finished jobs, and how far others are, into the tables; returns their folder.

    A table is whatever rows some job's part names it; meta-trainings add `meta_train_log`, and all
    jobs `stages`: how long each group of them took on each device. What is `begun` is in
    `unfinished_log` alone. A table that nothing fills any more is removed.
    """
    folder = place.folder / "results"
    rows: dict[str, list[Row]] = defaultdict(list)
    spent: dict[tuple[str, str], list[float]] = defaultdict(list)
    makers: list[Mapping[str, Any]] = []
    for job in jobs:
        if isinstance(job, TrainJob):
            tensors, made = load_checkpoint(job.result(place))
            if "log" in tensors:  # a recorded model has none
                rows["meta_train_log"] += learning_curve(job, tensors["log"])
        else:
            made = read_part(job, place)
            for name, observations in made["tables"].items():
                rows[name] += observations
        makers.append(made)
        if isinstance(job, LengthJob):
            # Its model may have been begun by another commit, on another device.
            with suppress(AnmlError):
                makers.append(read_header(job.training.result(job.own(place))) | {"seconds": 0.0})
        spent[group_name(job), made["made_on"]].append(made["seconds"])
    rows["stages"] = [
        {"stage": group.partition(".")[0], "group": group, "device": device}
        | {"jobs": len(own), "seconds": sum(own)}
        for (group, device), own in spent.items()
    ]
    unfinished = [row for one in begun for row in _unfinished_rows(place.profile, one)]
    finished_from = _provenance(place.profile, drawings, makers)
    begun_from = _provenance(place.profile, drawings, [one.made for one in begun])
    tables = {name: (own, finished_from) for name, own in rows.items()}
    tables[UNFINISHED] = (unfinished, begun_from)
    filled = {name: table for name, table in tables.items() if table[0]}
    for name, (observations, provenance) in filled.items():
        frame = pd.DataFrame(observations)
        frame.insert(0, "data", drawings.source)
        frame.insert(0, "profile", place.profile.name)
        write_table(folder / f"{name}.parquet", frame, provenance)
    for path in table_paths(folder):
        if path.stem not in filled:
            path.unlink()
    return folder


def table_paths(folder: Path) -> list[Path]:
    """The tables in a folder by name, without what a killed process was writing."""
    return sorted(p for p in folder.glob("*.parquet") if not p.name.startswith("."))


def _provenance(
    profile: Profile, drawings: Drawings, makers: Sequence[Mapping[str, Any]]
) -> Provenance:
    """One provenance of everything that `makers` say how it was made."""
    return provenance_now(
        data_source=drawings.source,
        data_fingerprint=drawings.fingerprint,
        profile=profile.name,
        profile_values=profile.values(),
        seconds=sum(made["seconds"] for made in makers),
        device=together(made["made_on"] for made in makers),
        commit=together(made["commit"] for made in makers),
    )


def _unfinished_rows(profile: Profile, begun: Beginning) -> list[Row]:
    """Rows of the table of what is not finished: the curve so far, and how far that is."""
    how_far = {
        "done": len(begun.log),
        "asked": begun.job.steps(profile),
        "seconds": begun.made["seconds"],
        "device": begun.made["made_on"],
    }
    return [row | how_far for row in learning_curve(begun.job, begun.log)]


def learning_curve(job: TrainJob, log: torch.Tensor) -> list[Row]:
    """Rows of the log table: means over at most 200 equal stretches of `log` [iterations, 3].

    None for stretches that a training which went on from a recorded model has no log of.
    """
    stretches = log.chunk(min(LOG_POINTS, len(log)))
    rows, done = [], 0
    for stretch in stretches:
        done += len(stretch)
        if stretch[:, -1].isnan().any():  # an accuracy: a loss may have become NaN by itself
            continue
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
