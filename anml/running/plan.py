"""Which jobs a run consists of, and which jobs each waits for."""

from collections.abc import Callable, Sequence

from anml.errors import AnmlError
from anml.profiles import Profile
from anml.running.disagreements import plan_disagreements
from anml.running.evaluations import plan_evaluations
from anml.running.head_jobs import plan_head_rules
from anml.running.head_output_jobs import plan_head_outputs
from anml.running.jobs import Plan, TrainJob
from anml.running.lengths import plan_lengths
from anml.running.probe_jobs import plan_probes
from anml.running.rate_search import plan_rate_search
from anml.store.tables import listing

PLANNERS: tuple[Callable[[Profile], Plan], ...] = (
    plan_evaluations,
    plan_probes,
    plan_disagreements,
    plan_rate_search,
    plan_lengths,
    plan_head_rules,
    plan_head_outputs,
)
"""What a run consists of; the meta-trainings that theirs wait for are added by `plan`."""


def plan(profile: Profile, only: Sequence[str] = ()) -> Plan:
    """Every job of a run with the jobs that it waits for, the longest first.

    `only`: parts of names; given some, just the jobs with one of them in their name, and what those
    wait for.

    Raises:
        AnmlError: there is no such job.
        ValueError: a planner names a job to wait for that none of them plans, a mistake in them.
    """
    jobs: Plan = {}
    for planner in PLANNERS:
        jobs |= planner(profile)
    for job in {job for waits in jobs.values() for job in waits if job not in jobs}:
        if not isinstance(job, TrainJob):  # alone in waiting for nothing
            raise ValueError(f"no planner says what this job waits for: {job.name}")
        jobs[job] = []
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
