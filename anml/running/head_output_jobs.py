"""What the rows of ANML's head answer half-way through a meta-test, under each of `HEAD_RULES`.

Half of the classes have been learned then, half are to come: how far down the rows of either have
been pushed says from where a class that comes next has to rise.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch

from anml.data import Drawings
from anml.meta_test import Learned
from anml.meta_testing.head_rules import HEAD_RULES
from anml.meta_testing.trajectories import TRAINING_DRAWINGS
from anml.profiles import Profile
from anml.running.head_jobs import TREATMENT, HeadJob, plan_head_rules
from anml.running.jobs import OnStep, Place, Plan, Row, write_part
from anml.store.tables import BELOW, LEARNED, OF_LEARNED, OF_TO_COME, OWN, TO_COME


@dataclass(frozen=True)
class HeadOutputJob(HeadJob):
    """Learn half of the most classes from one model under one rule, at each of its rates."""

    code: ClassVar[str] = "anml.running.head_output_jobs"

    @property
    def name(self) -> str:
        """Unique in a run."""
        return f"head: outputs, {self.rule}, model {self.seed}"

    def steps(self, profile: Profile) -> int:
        """Drawings learned."""
        runs = profile.head_trajectories * len(HEAD_RULES[self.rule].rates)
        return runs * half_of(max(profile.n_classes)) * TRAINING_DRAWINGS

    def run(self, place: Place, drawings: Drawings, on_step: OnStep) -> None:
        """Write what the rows answer."""
        began, point, runs = time.monotonic(), *self.point_and_runs(place.profile)
        head, half = HEAD_RULES[self.rule].head, half_of(point.n_classes)
        learned = point.learned(place, drawings, self.seed, runs, on_step, head, half)
        rows = [row for one in learned for row in output_rows(self, one, half)]
        write_part(self, place, {"head_outputs": rows}, time.monotonic() - began)


def half_of(n_classes: int) -> int:
    """How many of the classes are learned."""
    return n_classes // 2


def output_rows(job: HeadOutputJob, learned: Learned, half: int) -> Iterator[Row]:
    """Rows of the table `head_outputs`: means over the held-out drawings of classes learned and of
    those to come. 'own row' is that of the drawing's class, and never counts among the others'. No
    rows of a run that diverged, as its accuracies show.
    """
    trajectory = learned.run.trajectory
    n = len(trajectory.classes)
    which = torch.arange(n, device=learned.features.device)
    held_out = torch.from_numpy(trajectory.test).to(which.device)
    chosen = learned.features[which[:, None], held_out]
    logits = learned.outputs(chosen.flatten(0, 1)).unflatten(0, chosen.shape[:2])[..., :n]
    if not logits.isfinite().all():
        return
    own = logits[which, :, which]
    others = logits.masked_fill((which[:, None] == which)[:, None], float("nan"))
    first, rest = slice(0, half), slice(half, n)
    for drawings, of in ((OF_LEARNED, first), (OF_TO_COME, rest)):
        answers = {
            OWN: own[of],
            LEARNED: others[of, :, first],
            TO_COME: others[of, :, rest],
            BELOW: _share_below(others[of, :, first], own[of]),
        }
        means = {metric: values.double().nanmean().item() for metric, values in answers.items()}
        for metric, mean in means.items():
            if math.isnan(mean):  # of few classes there may be no other learned or to come
                continue
            yield {
                "treatment": TREATMENT,
                "rule": job.rule,
                "optimizer": job.optimizer,
                "learning_rate": learned.run.learning_rate,
                "model_seed": job.seed,
                "trajectory_seed": trajectory.seed,
                "n_classes": n,
                "learned": half,
                "drawings": drawings,
                "metric": metric,
                "value": mean,
            }


def _share_below(others: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """Which share of its `others` [C, 5, R] each of `own` [C, 5] is above; NaN left out."""
    below = (others < own[..., None]).double()
    return below.masked_fill(others.isnan(), float("nan")).nanmean(-1)


def plan_head_outputs(profile: Profile) -> Plan:
    """A job beside each of `plan_head_rules`."""
    plan = plan_head_rules(profile)
    return {HeadOutputJob(job.rule, job.seed): waits for job, waits in plan.items()}
