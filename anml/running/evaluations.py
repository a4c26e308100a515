"""Meta-tests of a profile: search each treatment's learning rate, then measure its models.

A search tries all rates on one trajectory, a measurement takes all trajectories of one model: jobs
that are short enough for a killed run to lose little.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from anml.data import Drawings
from anml.meta_test import Score
from anml.meta_testing.regimes import REGIMES, SEQUENTIAL
from anml.meta_training.episodes import Stream
from anml.profiles import Profile
from anml.running.jobs import (
    OnStep,
    Place,
    Plan,
    Row,
    Rows,
    part_path,
    read_part,
    train_jobs,
    trajectory_seeds,
    write_part,
)
from anml.running.points import Point, extent, rate_grid, search_numbers, searched_for
from anml.running.rate_choice import best_rate
from anml.store.tables import TESTING, TRAINING
from anml.treatments import TREATMENTS, find_treatment


@dataclass(frozen=True)
class SearchJob:
    """Try the learning rates of a point on one search trajectory."""

    code: ClassVar[str] = "anml.running.evaluations"
    point: Point
    search: int

    @property
    def name(self) -> str:
        """Unique in a run."""
        return f"search rate {self.point}, trajectory {self.search}"

    @property
    def rows(self) -> Rows:
        """The rows of `anml.treatments` that it works by."""
        return (find_treatment(self.point.treatment),)

    def result(self, place: Place) -> Path:
        """The file that says that the job is done."""
        return part_path(self, place)

    def steps(self, profile: Profile) -> int:
        """Drawings learned."""
        return self.point.steps(len(rate_grid(profile, self.point.treatment, self.point.optimizer)))

    def weight(self) -> float:
        """Roughly how long a step takes, for the progress bar and the order of work."""
        return self.point.weight()

    def run(self, place: Place, drawings: Drawings, on_step: OnStep) -> None:
        """Write the rows of the search."""
        began = time.monotonic()
        rows = search_rows(self.point, place, drawings, self.search, on_step)
        write_part(self, place, {"learning_rates": rows}, time.monotonic() - began)


@dataclass(frozen=True)
class EvaluateJob:
    """Meta-test one model of a point, at the rate that its searches found."""

    code: ClassVar[str] = "anml.running.evaluations"
    point: Point
    seed: int

    @property
    def name(self) -> str:
        """Unique in a run."""
        return f"meta-test {self.point}, model {self.seed}"

    @property
    def rows(self) -> Rows:
        """The rows of `anml.treatments` that it works by."""
        return (find_treatment(self.point.treatment),)

    def result(self, place: Place) -> Path:
        """The file that says that the job is done."""
        return part_path(self, place)

    def steps(self, profile: Profile) -> int:
        """Drawings learned."""
        return self.point.steps(
            extent(profile, self.point.treatment, self.point.regime).trajectories
        )

    def weight(self) -> float:
        """Roughly how long a step takes, for the progress bar and the order of work."""
        return self.point.weight()

    def run(self, place: Place, drawings: Drawings, on_step: OnStep) -> None:
        """Write the accuracies, and those of each class where the profile keeps them."""
        began, point = time.monotonic(), self.point
        rate = best_rate(read_searches(place, point))
        scores = measure(point, place, drawings, self.seed, rate, on_step)
        tables = {"meta_test": measured_rows(point, scores, self.seed)}
        if keeps_classes(place.profile, point):
            tables["class_accuracy"] = [
                row for score in scores for row in class_rows(point, score, self.seed)
            ]
        write_part(self, place, tables, time.monotonic() - began)


def plan_evaluations(profile: Profile) -> Plan:
    """Every treatment under every regime, each model after the searches for its point."""
    jobs: Plan = {}
    for treatment in TREATMENTS.values():
        for regime in REGIMES:
            measured = extent(profile, treatment.name, regime)
            for optimizer in profile.optimizers:
                for n in measured.n_classes:
                    point = Point(treatment.name, n, optimizer, regime)
                    searches = plan_searches(profile, point)
                    jobs |= searches
                    for seed in profile.model_numbers(measured.models):
                        trained = train_jobs(treatment.training, [seed])
                        jobs[EvaluateJob(point, seed)] = [*trained, *searches]
    return jobs


def plan_searches(profile: Profile, point: Point) -> Plan:
    """The searches for `point`, each after the meta-training of the model whose turn it is."""
    training = find_treatment(point.treatment).training
    return {
        job: train_jobs(training, [job.search % profile.model_seeds])
        for job in search_jobs(profile, point)
    }


def search_jobs(profile: Profile, point: Point) -> list[SearchJob]:
    """The searches that give `point` its learning rate."""
    searched = searched_for(profile, point)
    return [SearchJob(searched, i) for i in search_numbers(profile, point.treatment)]


def read_searches(place: Place, point: Point) -> list[Row]:
    """The rows that the finished searches of `point` left."""
    jobs = search_jobs(place.profile, point)
    return [row for job in jobs for row in read_part(job, place)["tables"]["learning_rates"]]


def measure(
    point: Point, place: Place, drawings: Drawings, seed: int, rate: float, on_step: OnStep
) -> list[Score]:
    """Meta-test the model of `seed` at one rate, on as many trajectories as the profile has."""
    count = extent(place.profile, point.treatment, point.regime).trajectories
    runs = point.runs(place.profile, trajectory_seeds(seed, count), [rate], Stream.TRAJECTORY)
    return point.scores(place, drawings, seed, runs, on_step)


def measured_rows(point: Point, scores: Sequence[Score], seed: int) -> list[Row]:
    """Both accuracies of every score as rows of the table `meta_test`."""
    return [point.row(score, seed, *part) for score in scores for part in accuracies(score)]


def accuracies(score: Score) -> tuple[tuple[str, float], tuple[str, float]]:
    """Both accuracies of a score with the names they have in tables."""
    return (TRAINING, score.training), (TESTING, score.testing)


def keeps_classes(profile: Profile, point: Point) -> bool:
    """Whether the accuracy of each class is kept (Fig. S9): in one table, so with one optimiser."""
    return (
        point.regime == SEQUENTIAL.name
        and point.n_classes == max(profile.n_classes)
        and point.optimizer == profile.optimizers[0]
        and not find_treatment(point.treatment).learns_convolutions
    )


def class_rows(point: Point, score: Score, seed: int) -> list[Row]:
    """Rows of the table `class_accuracy`, in the order in which the classes were learned."""
    return [
        {
            "treatment": point.treatment,
            "model_seed": seed,
            "trajectory_seed": score.run.trajectory.seed,
            "n_classes": point.n_classes,
            "position": position,
            "metric": TESTING,
            "value": value,
        }
        for position, value in enumerate(score.per_class)
    ]


def search_rows(
    point: Point, place: Place, drawings: Drawings, search: int, on_step: OnStep
) -> list[Row]:
    """Meta-test testing accuracy at every rate on search trajectory `search`, as table rows.

    Search trajectories are no result's; they take turns with the models.
    """
    seed = search % place.profile.model_seeds
    rates = rate_grid(place.profile, point.treatment, point.optimizer)
    runs = point.runs(place.profile, [search], rates, Stream.SEARCH)
    scores = point.scores(place, drawings, seed, runs, on_step)
    return [point.row(score, seed, TESTING, score.testing) for score in scores]


def search_learning_rate(
    point: Point, place: Place, drawings: Drawings, on_step: OnStep
) -> tuple[float, list[Row]]:
    """All of a point's searches at once: the rate they choose, and their rows."""
    rows = [
        row
        for search in search_numbers(place.profile, point.treatment)
        for row in search_rows(point, place, drawings, search, on_step)
    ]
    return best_rate(rows), rows
