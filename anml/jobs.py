"""The two kinds of work of a profile: meta-train one model, evaluate one treatment at one N.

Each writes one file when it is finished and nothing before, so that a stopped run does only what is
missing. Jobs are data: they travel to worker processes.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from anml.data import Drawings
from anml.episodes import Stream
from anml.errors import AnmlError
from anml.files import replacing, require_writable
from anml.meta_test import Run, Score, meta_test
from anml.meta_train import Job, initial_model, load_model, meta_train
from anml.profiles import Profile
from anml.tables import TESTING, TRAINING
from anml.trajectories import TRAINING_DRAWINGS, draw_trajectory
from anml.treatments import TRAININGS, find_training, find_treatment

OnStep = Callable[[int], None]

SEEDS_A_MODEL = 1000
"""Trajectory `t` of model `m` has seed `1000 m + t`, the same for every treatment."""


@dataclass(frozen=True)
class Place:
    """What every job of one run shares: the profile and the folder it works in."""

    profile: Profile
    folder: Path
    device: str = "cpu"


@dataclass(frozen=True)
class TrainJob:
    """Meta-train one model."""

    training: str
    seed: int

    @property
    def name(self) -> str:
        """Unique in a run."""
        return f"meta-train {self.training}, seed {self.seed}"

    def result(self, place: Place) -> Path:
        """The file that says that the job is done."""
        return place.folder / "checkpoints" / f"{self.training}-seed{self.seed}.safetensors"

    def steps(self, profile: Profile) -> int:
        """Meta-iterations."""
        supervised = TRAININGS[self.training].procedure == "supervised"
        return profile.pretrain_iterations if supervised else profile.meta_iterations

    def weight(self) -> float:
        """Roughly how long a step takes, for the progress bar and the order of work."""
        return 40.0 if TRAININGS[self.training].procedure == "supervised" else 100.0

    def run(self, place: Place, drawings: Drawings, on_step: OnStep) -> None:
        """Meta-train, going on from the working checkpoint if there is one."""
        job = Job(
            *(find_training(self.training), place.profile, drawings, (self.seed,)),
            folder=place.folder / "checkpoints",
            device=place.device,
        )
        meta_train(job, resume=True, progress=False, on_step=lambda done, total: on_step(1))


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
        words = self.treatment.lower().replace(" & ", " ").replace(" ", "-")
        return place.folder / "parts" / f"{words}-{self.optimizer}-n{self.n_classes}.json"

    def steps(self, profile: Profile) -> int:
        """Drawings learned, over all searches and trajectories."""
        searches = profile.search_trajectories * len(profile.learning_rates)
        runs = searches + profile.model_seeds * profile.trajectories
        return runs * self.n_classes * TRAINING_DRAWINGS

    def weight(self) -> float:
        """Roughly how long a step takes, for the progress bar and the order of work."""
        return 8.0 if find_treatment(self.treatment).plastic == ("",) else 1.0

    def run(self, place: Place, drawings: Drawings, on_step: OnStep) -> None:
        """Search, test, and write one file with the rows of both tables."""
        began = time.monotonic()
        rate, searched = search_learning_rate(self, place, drawings, on_step)
        tested = []
        for seed in range(place.profile.model_seeds):
            seeds = [SEEDS_A_MODEL * seed + t for t in range(place.profile.trajectories)]
            runs = make_runs(place.profile, self.n_classes, seeds, [rate], Stream.TRAJECTORY)
            for score in self.scores(place, drawings, seed, runs, on_step):
                tested += [self.row(score, seed, *part) for part in accuracies(score)]
        text = json.dumps(
            {
                "meta_test": tested,
                "learning_rates": searched,
                "seconds": time.monotonic() - began,
            }
        )
        path = self.result(place)
        require_writable(path.parent)
        try:
            with replacing(path) as temporary:
                temporary.write_text(text)
        except OSError as error:
            raise AnmlError(
                f"cannot write {path}: {error.strerror or error}; "
                "free some space, then run the same command to go on"
            ) from error

    def scores(
        self, place: Place, drawings: Drawings, seed: int, runs: Sequence[Run], on_step: OnStep
    ) -> list[Score]:
        """Meta-test `runs` from the treatment's model of `seed`."""
        treatment = find_treatment(self.treatment)
        model = treatment_model(place, treatment.training, seed)
        return meta_test(treatment, model, drawings, runs, self.optimizer, on_step)

    def row(self, score: Score, seed: int, metric: str, value: float) -> dict[str, Any]:
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


def treatment_model(place: Place, training: str, seed: int) -> nn.Module:
    """The model of `seed` as meta-test finds it: meta-trained, or fresh for 'scratch'."""
    trained = find_training(training)
    if trained.procedure == "none":
        return initial_model(trained.network, place.profile, seed).to(place.device)
    path = TrainJob(training, seed).result(place)
    return load_model(path, trained.network, place.profile, place.device)


def make_runs(
    profile: Profile,
    n_classes: int,
    seeds: Sequence[int],
    rates: Sequence[float],
    stream: Stream,
) -> list[Run]:
    """Every trajectory at every rate."""
    return [
        Run(
            draw_trajectory(*(seed, n_classes), split=profile.drawings_split, stream=stream),
            rate,
        )
        for seed in seeds
        for rate in rates
    ]


def accuracies(score: Score) -> tuple[tuple[str, float], tuple[str, float]]:
    """Both accuracies of a score with the names they have in tables."""
    return (TRAINING, score.training), (TESTING, score.testing)


def search_learning_rate(
    job: EvaluateJob, place: Place, drawings: Drawings, on_step: OnStep
) -> tuple[float, list[dict[str, Any]]]:
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
