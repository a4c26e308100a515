"""Why the order of classes matters: the head of ANML treated in other ways, rate by rate.

At meta-test the head alone learns, and it has a row for every class from the start. Adam divides
each weight's step by the size of its own past gradients, so that a row whose class has not come
yet, and which every drawing tells to answer a little less, moves about as far as those of classes
learned before. What that does to the classes learned first and last, each rule here shows by
leaving it out or by changing the rate.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from anml.data import Drawings
from anml.meta_test import Run, Score
from anml.meta_testing.head_rules import HEAD_RULES
from anml.meta_testing.trajectories import TRAINING_DRAWINGS
from anml.meta_training.episodes import Stream
from anml.profiles import Profile
from anml.running.jobs import (
    OnStep,
    Place,
    Plan,
    Row,
    Rows,
    part_path,
    train_jobs,
    trajectory_seeds,
    write_part,
)
from anml.running.points import LINEAR_WEIGHT, Point
from anml.store.tables import TESTING, TRAINING
from anml.treatments import find_treatment

TREATMENT = "ANML"
PARTS = 10
"""Into how many parts of equal size the classes are put, by when they were learned."""


@dataclass(frozen=True)
class HeadJob:
    """Meta-test one model under one rule, at each of its rates, after the most classes."""

    code: ClassVar[str] = "anml.running.head_jobs"
    rule: str  # a key of `HEAD_RULES`
    seed: int

    @property
    def name(self) -> str:
        """Unique in a run."""
        return f"head: {self.rule}, model {self.seed}"

    @property
    def rows(self) -> Rows:
        """The rows of `anml.treatments` that it works by."""
        return (find_treatment(TREATMENT),)

    @property
    def optimizer(self) -> str:
        """That of its rule."""
        return HEAD_RULES[self.rule].optimizer

    def result(self, place: Place) -> Path:
        """The file that says that the job is done."""
        return part_path(self, place)

    def steps(self, profile: Profile) -> int:
        """Drawings learned."""
        runs = profile.head_trajectories * len(HEAD_RULES[self.rule].rates)
        return runs * max(profile.n_classes) * TRAINING_DRAWINGS

    def weight(self) -> float:
        """Roughly how long a step takes, for the progress bar and the order of work."""
        return LINEAR_WEIGHT

    def point_and_runs(self, profile: Profile) -> tuple[Point, list[Run]]:
        """What is meta-tested, and every trajectory of the model at every rate of the rule."""
        point = Point(TREATMENT, max(profile.n_classes), self.optimizer)
        seeds = trajectory_seeds(self.seed, profile.head_trajectories)
        rates = HEAD_RULES[self.rule].rates
        return point, point.runs(profile, seeds, rates, Stream.TRAJECTORY)

    def run(self, place: Place, drawings: Drawings, on_step: OnStep) -> None:
        """Write the accuracies of every part of the classes."""
        began, point, runs = time.monotonic(), *self.point_and_runs(place.profile)
        head = HEAD_RULES[self.rule].head
        scores = point.scores(place, drawings, self.seed, runs, on_step, head)
        rows = [row for score in scores for row in part_rows(self, score)]
        write_part(self, place, {"head_rules": rows}, time.monotonic() - began)


def part_rows(job: HeadJob, score: Score) -> list[Row]:
    """Rows of the table `head_rules`: both accuracies of every part of a score's classes."""
    own = {TRAINING: score.per_class_training, TESTING: score.per_class}
    parts = min(PARTS, len(score.per_class))
    return [
        {
            "treatment": TREATMENT,
            "rule": job.rule,
            "optimizer": job.optimizer,
            "learning_rate": score.run.learning_rate,
            "model_seed": job.seed,
            "trajectory_seed": score.run.trajectory.seed,
            "n_classes": len(values),
            "part": part,
            "metric": metric,
            "value": float(np.mean(own_part)),
        }
        for metric, values in own.items()
        for part, own_part in enumerate(np.array_split(np.array(values), parts), 1)
    ]


def plan_head_rules(profile: Profile) -> Plan:
    """One job a rule and model, after the model's meta-training."""
    training = find_treatment(TREATMENT).training
    return {
        HeadJob(rule, seed): train_jobs(training, [seed])
        for rule in HEAD_RULES
        for seed in profile.model_numbers(profile.head_models)
    }
