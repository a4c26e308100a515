"""A run in pieces that are worth a process of their own: what a workflow or a cluster schedules.

Jobs are small (one search, one N); starting Python for each would take longer than many of them. A
group is what one process does in a row: one meta-training, one treatment under one regime, ...
"""

import re
from collections import defaultdict
from dataclasses import dataclass
from hashlib import sha256

from anml.errors import AnmlError
from anml.profiles import Profile
from anml.running.disagreements import DisagreementJob
from anml.running.evaluations import EvaluateJob, SearchJob
from anml.running.head_jobs import HeadJob
from anml.running.head_output_jobs import HeadOutputJob
from anml.running.jobs import TrainJob, Work
from anml.running.lengths import LengthJob
from anml.running.plan import plan
from anml.running.probe_jobs import ProbeJob
from anml.running.rate_search import RateJob
from anml.store.code_state import code_state


@dataclass(frozen=True)
class Group:
    """Jobs that one process does, after the groups `waits`."""

    name: str  # 'meta-train.anml-seed0', 'meta-test.oml-olft-oracle', ...
    jobs: tuple[Work, ...]
    waits: tuple[str, ...]

    @property
    def kind(self) -> str:
        """What is done: the name up to its first dot."""
        return self.name.partition(".")[0]

    @property
    def state(self) -> str:
        """A fingerprint of its jobs and of the code that decides their numbers."""
        facts = [(job.name, code_state(job.code, *job.rows)) for job in self.jobs]
        return sha256(repr(facts).encode()).hexdigest()[:16]


def slug(*words: str) -> str:
    """Words as they may stand in a file's name."""
    return re.sub("[^a-z0-9]+", "-", "-".join(words).lower()).strip("-")


def group_name(job: Work) -> str:
    """The group that a job belongs to."""
    match job:
        case TrainJob(training, seed):
            return f"meta-train.{slug(training)}-seed{seed}"
        case SearchJob(point, _) | EvaluateJob(point, _):
            return f"meta-test.{slug(point.treatment, point.regime)}"
        case ProbeJob(seed):
            return f"probe.seed{seed}"
        case DisagreementJob(setting, _):
            changes = ["660"] * setting.extra_class + ["as-stored"] * setting.stored_order
            words = (setting.treatment, setting.optimizer, setting.drawings_split, *changes)
            return f"paper-versus-code.{slug(*words)}"
        case RateJob(training):
            return f"rates.{slug(training)}"
        case LengthJob(seed):
            return f"lengths.{slug(job.meta_training)}-seed{seed}"
        case HeadOutputJob(_, seed):
            return f"head.outputs-seed{seed}"
        case HeadJob(_, seed):
            return f"head.seed{seed}"
    raise TypeError(f"{type(job).__name__} belongs to no group")


def groups(profile: Profile) -> dict[str, Group]:
    """Every group of a run by name."""
    jobs = plan(profile)
    own: dict[str, list[Work]] = defaultdict(list)
    for job in jobs:
        own[group_name(job)].append(job)
    waits = {
        name: sorted({group_name(other) for job in members for other in jobs[job]} - {name})
        for name, members in own.items()
    }
    return {name: Group(name, tuple(own[name]), tuple(waits[name])) for name in sorted(own)}


def find_group(profile: Profile, name: str) -> Group:
    """The group called `name`; AnmlError lists the known ones."""
    known = groups(profile)
    if name not in known:
        raise AnmlError(f"unknown group {name!r}: choose one of {', '.join(known)}")
    return known[name]
