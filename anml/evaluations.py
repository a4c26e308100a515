"""Meta-tests of a profile: search a treatment's learning rate, then measure all its models."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anml.data import Drawings
from anml.episodes import Stream
from anml.jobs import (
    SEEDS_A_MODEL,
    OnStep,
    Place,
    Plan,
    Row,
    make_runs,
    part_path,
    train_jobs,
    treatment_model,
    write_part,
)
from anml.meta_test import Run, Score, meta_test
from anml.profiles import Profile
from anml.tables import TESTING, TRAINING
from anml.trajectories import TRAINING_DRAWINGS
from anml.treatments import TREATMENTS, find_treatment


@dataclass(frozen=True)
class EvaluateJob:
    """Search a treatment's learning rate at one N, then meta-test all its models there."""

    treatment: str
    n_classes: int
    optimizer: str

    @property
    def name(self) -> str:
        """Unique in a run."""
        return f"meta-test {self.treatment}, {self.n_classes} classes, {self.optimizer}"

    def result(self, place: Place) -> Path:
        """The file that says that the job is done."""
        return part_path(self, place)

    def steps(self, profile: Profile) -> int:
        """Drawings learned, over all searches and trajectories."""
        searches = profile.search_trajectories * len(profile.learning_rates)
        runs = searches + profile.model_seeds * profile.trajectories
        return runs * self.n_classes * TRAINING_DRAWINGS

    def weight(self) -> float:
        """Roughly how long a step takes, for the progress bar and the order of work."""
        return 8.0 if find_treatment(self.treatment).plastic == ("",) else 1.0

    def run(self, place: Place, drawings: Drawings, on_step: OnStep) -> None:
        """Search, test, and write the rows of both tables."""
        began = time.monotonic()
        rate, searched = search_learning_rate(self, place, drawings, on_step)
        tested = []
        for seed in range(place.profile.model_seeds):
            seeds = [SEEDS_A_MODEL * seed + t for t in range(place.profile.trajectories)]
            runs = make_runs(place.profile, self.n_classes, seeds, [rate], Stream.TRAJECTORY)
            for score in self.scores(place, drawings, seed, runs, on_step):
                tested += [self.row(score, seed, *part) for part in accuracies(score)]
        tables = {"meta_test": tested, "learning_rates": searched}
        write_part(self, place, tables, time.monotonic() - began)

    def scores(
        self, place: Place, drawings: Drawings, seed: int, runs: Sequence[Run], on_step: OnStep
    ) -> list[Score]:
        """Meta-test `runs` from the treatment's model of `seed`."""
        treatment = find_treatment(self.treatment)
        model = treatment_model(place, treatment.training, seed)
        return meta_test(treatment, model, drawings, runs, self.optimizer, on_step)

    def row(self, score: Score, seed: int, metric: str, value: float) -> Row:
        """One observation of the table `meta_test`."""
        return {
            "treatment": self.treatment,
            "regime": "sequential",
            "optimizer": self.optimizer,
            "learning_rate": score.run.learning_rate,
            "model_seed": seed,
            "trajectory_seed": score.run.trajectory.seed,
            "n_classes": self.n_classes,
            "metric": metric,
            "value": value,
        }


def plan_evaluations(profile: Profile) -> Plan:
    """Every treatment at every N, each after the meta-trainings of its models."""
    return {
        EvaluateJob(row.name, n, optimizer): train_jobs(row.training, range(profile.model_seeds))
        for row in TREATMENTS.values()
        for optimizer in profile.optimizers
        for n in profile.n_classes
    }


def accuracies(score: Score) -> tuple[tuple[str, float], tuple[str, float]]:
    """Both accuracies of a score with the names they have in tables."""
    return (TRAINING, score.training), (TESTING, score.testing)


def search_learning_rate(
    job: EvaluateJob, place: Place, drawings: Drawings, on_step: OnStep
) -> tuple[float, list[Row]]:
    """The meta-test learning rate of a treatment at one N, and the rows of the search.

    On trajectories of their own, each takes the rate with the best meta-test testing accuracy; the
    rate most often best wins (spec, section 4), by mean accuracy where that is a draw.
    """
    rates, rows, best = place.profile.learning_rates, [], []
    values = np.zeros((place.profile.search_trajectories, len(rates)))
    for search in range(place.profile.search_trajectories):
        seed = search % place.profile.model_seeds
        runs = make_runs(place.profile, job.n_classes, [search], rates, Stream.SEARCH)
        for i, score in enumerate(job.scores(place, drawings, seed, runs, on_step)):
            values[search, i] = score.testing
            rows.append(job.row(score, seed, TESTING, score.testing))
        best.append(int(values[search].argmax()))
    wins, means = Counter(best), values.mean(0)
    chosen = max(range(len(rates)), key=lambda i: (wins[i], means[i]))
    return rates[chosen], rows
