"""What the Snakefile asks of each profile: memory and time of a group, overrides as text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from anml.commands.cli_run import read_overrides
from anml.errors import AnmlError
from anml.profiles import Profile
from anml.running.groups import Group
from anml.running.jobs import TrainJob
from anml.running.lengths import LengthJob
from anml.running.rate_search import RateJob

NARROW, WIDE = 1500, 4000
"""MB of one process, drawings and libraries included: networks of a profile for a laptop, and at
the paper's width, where the outer batch takes about 1 GB."""
WIDE_CHANNELS = 128
MARGIN = 2
"""Times the estimate: a queue's machines may be slower than the one that was timed."""
HOURS = {"meta-train": 24, "rates": 24, "lengths": 24}
"""Guesses at the paper's profile where nothing was estimated. What is not named takes a few."""
OTHER_HOURS = 8
MIN_HOURS, MAX_HOURS = 1, 72


@dataclass(frozen=True)
class Limits:
    """Hours that a group asks for at least and at most."""

    low: float
    high: float


def read_limits(config: Mapping[str, Any]) -> Limits:
    """The limits that the workflow's config sets; AnmlError says what is allowed."""
    given = {name: config[name] for name in ("min_hours", "max_hours") if name in config}
    try:
        high = float(given.get("max_hours", MAX_HOURS))
        low = float(given.get("min_hours", min(MIN_HOURS, high)))
    except (TypeError, ValueError):
        low = high = math.nan
    if not 0 < low <= high < math.inf:
        said = ", ".join(f"{name}={value}" for name, value in given.items())
        raise AnmlError(f"{said}: allowed are hours with 0 < min_hours <= max_hours")
    return Limits(low, high)


def read_split(config: Mapping[str, Any], otherwise: bool) -> bool:
    """Whether the config asks for a process a group; AnmlError says what is allowed."""
    given = str(config.get("split", otherwise)).lower()
    if given not in ("true", "false"):
        raise AnmlError(f"split={config['split']}: allowed are true and false")
    return given == "true"


def memory_mb(profile: Profile) -> int:
    """Memory to ask for, in MB, for one process."""
    return WIDE if max(profile.pln_channels, profile.oml_channels) >= WIDE_CHANNELS else NARROW


def group_hours(profile: Profile, group: Group, estimates: pd.Series) -> float:
    """Hours that a group takes, generously: by its estimate (in seconds), else by a guess."""
    if group.name in estimates:
        return MARGIN * estimates[group.name] / 3600
    return HOURS.get(group.kind, OTHER_HOURS) if profile.name == "paper" else OTHER_HOURS


def minutes(hours: float, limits: Limits, attempt: int = 1) -> int:
    """Minutes to ask for at a try, within the limits: each try asks for more than the last."""
    return math.ceil(60 * min(max(attempt * hours, limits.low), limits.high))


def longest_job(profile: Profile, group: Group, seconds: float) -> float:
    """Of a group's seconds, those of its longest job that has to be done in one go.

    A meta-training hasn't, whatever its length, nor what is mostly one: it goes on from its working
    checkpoint.
    """
    going_on = TrainJob | LengthJob | RateJob
    work = {job: job.weight() * job.steps(profile) for job in group.jobs}
    in_one_go = [cost for job, cost in work.items() if not isinstance(job, going_on)]
    return seconds * max(in_one_go, default=0.0) / sum(work.values())


def endless_warning(
    profile: Profile, groups: Iterable[Group], estimates: pd.Series, limits: Limits
) -> str:
    """A line that names the groups which no number of tries finishes; '' if there is none."""
    names = [
        group.name
        for group in groups
        if group.name in estimates
        and longest_job(profile, group, estimates[group.name]) > 3600 * limits.high
    ]
    if not names:
        return ""
    return (
        f"warning: single jobs of {', '.join(names)} take longer than max_hours={limits.high:g} by "
        "estimate; where a queue ends them then, they begin anew at every try and never finish: "
        "raise --config max_hours=HOURS"
    )


def overrides(text: str) -> dict[str, str]:
    """Single values of the profile from 'NAME=VALUE;NAME=VALUE'."""
    return read_overrides(item.strip() for item in text.split(";") if item.strip())
