"""The tables of a run: the rows that finished jobs left, with one provenance."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from anml.checkpoint import load_checkpoint
from anml.data import Drawings
from anml.groups import group_name
from anml.jobs import Place, Row, TrainJob, Work, read_part
from anml.meta_train import LOG_METRICS
from anml.results import provenance_now, together, write_table

LOG_POINTS = 200
"""Points of each learning curve that the log table keeps: means over equal stretches."""


def write_tables(place: Place, drawings: Drawings, jobs: Sequence[Work]) -> Path:
    """Gather finished jobs into the tables; returns their folder.

    A table is whatever rows some job's part names it; meta-trainings add `meta_train_log`, and all
    jobs `stages`: how long each group of them took.
    """
    profile, folder = place.profile, place.folder / "results"
    rows: dict[str, list[Row]] = defaultdict(list)
    spent: dict[str, list[float]] = defaultdict(list)
    makers: list[dict[str, Any]] = []
    for job in jobs:
        if isinstance(job, TrainJob):
            tensors, made = load_checkpoint(job.result(place))
            rows["meta_train_log"] += learning_curve(job, tensors["log"])
        else:
            made = read_part(job, place)
            for name, observations in made["tables"].items():
                rows[name] += observations
        makers.append(made)
        spent[group_name(job)].append(made["seconds"])
    rows["stages"] = [
        {"stage": group.partition(".")[0], "group": group, "jobs": len(own), "seconds": sum(own)}
        for group, own in spent.items()
    ]
    provenance = provenance_now(
        data_source=drawings.source,
        data_fingerprint=drawings.fingerprint,
        profile=profile.name,
        profile_values=profile.values(),
        seconds=sum(sum(own) for own in spent.values()),
        device=together(made["made_on"] for made in makers),
        commit=together(made["commit"] for made in makers),
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
