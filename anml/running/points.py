"""One point of a figure: a treatment after N classes, and how many values of it a profile measures.

Where convolutions learn, or where the drawings are seen for many epochs, a profile has fewer
replicates and fewer N.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from torch import nn

from anml.data import Drawings
from anml.meta_test import Learned, Run, Score, learn, meta_test
from anml.meta_testing.frozen_features import KnownFeatures
from anml.meta_testing.head_rules import PAPERS_HEAD, Head
from anml.meta_testing.regimes import ORACLE, SEQUENTIAL, find_regime
from anml.meta_testing.trajectories import TRAINING_DRAWINGS
from anml.meta_training.episodes import Stream
from anml.profiles import Profile
from anml.running.jobs import OnStep, Place, Row, TrainJob, make_runs, treatment_model
from anml.running.rate_choice import SGD_RATES
from anml.treatments import Treatment, find_treatment

LINEAR_WEIGHT = 0.5
CONVOLUTION_WEIGHT = 3.0
"""Roughly how long a step takes, in milliseconds at the width of the profile quick."""


@dataclass(frozen=True)
class Point:
    """One point of a figure: a treatment after N classes."""

    treatment: str
    n_classes: int
    optimizer: str = "adam"
    regime: str = SEQUENTIAL.name

    def __str__(self) -> str:
        """In the name of a job."""
        return f"{self.treatment}, {self.regime}, {self.n_classes} classes, {self.optimizer}"

    def steps(self, runs: int) -> int:
        """Drawings learned in `runs` runs."""
        return runs * self.n_classes * TRAINING_DRAWINGS * find_regime(self.regime).epochs

    def weight(self) -> float:
        """Roughly how long a step takes, for the progress bar and the order of work."""
        learn = find_treatment(self.treatment).learns_convolutions
        return CONVOLUTION_WEIGHT if learn else LINEAR_WEIGHT

    def runs(
        self, profile: Profile, seeds: Sequence[int], rates: Sequence[float], stream: Stream
    ) -> list[Run]:
        """Every trajectory of `seeds` at every rate."""
        regime = find_regime(self.regime)
        return make_runs(profile, self.n_classes, seeds, rates, stream, regime)

    def scores(
        self,
        place: Place,
        drawings: Drawings,
        seed: int,
        runs: Sequence[Run],
        on_step: OnStep,
        head: Head = PAPERS_HEAD,
    ) -> list[Score]:
        """Meta-test `runs` from the treatment's model of `seed`."""
        treatment, model, known = self._tested(place, seed)
        return meta_test(treatment, model, drawings, runs, self.optimizer, on_step, known, head)

    def learned(
        self,
        place: Place,
        drawings: Drawings,
        seed: int,
        runs: Sequence[Run],
        on_step: OnStep,
        head: Head,
        classes: int,
    ) -> Iterator[Learned]:
        """Learn the first `classes` of each of `runs` from the treatment's model of `seed`."""
        treatment, model, known = self._tested(place, seed)
        return learn(
            treatment, model, drawings, runs, self.optimizer, on_step, known, head, classes
        )

    def _tested(self, place: Place, seed: int) -> tuple[Treatment, nn.Module, KnownFeatures | None]:
        """The treatment, its model, and what is known of that."""
        treatment = find_treatment(self.treatment)
        model = treatment_model(place, treatment.training, seed)
        known = None if treatment.learns_convolutions else _known_features(model)
        return treatment, model, known

    def row(self, score: Score, seed: int, metric: str, value: float) -> Row:
        """One observation of the table `meta_test`."""
        return {
            "treatment": self.treatment,
            "regime": self.regime,
            "optimizer": self.optimizer,
            "learning_rate": score.run.learning_rate,
            "model_seed": seed,
            "trajectory_seed": score.run.trajectory.seed,
            "n_classes": self.n_classes,
            "metric": metric,
            "value": value,
        }


_KNOWN: list[KnownFeatures] = []
"""Of the models that this process meta-tested last, the latest at the end. A treatment's points are
done model after model at each number of classes, so that one alone would never be met again."""
KNOWN_BYTES = 500_000_000
"""Of all of them but the one in use: enough for the models of the profile laptop, or for four at
the paper's width. Where a run there has more, each of their meta-tests computes its own."""


def _known_features(model: nn.Module) -> KnownFeatures:
    """What is known of a model from its searches and measurements, in any order and number."""
    known = next((one for one in _KNOWN if one.is_of(model)), None)
    if known is None:
        known = KnownFeatures(model)
    else:
        _KNOWN.remove(known)
    while _KNOWN and sum(one.bytes for one in _KNOWN) > KNOWN_BYTES:
        _KNOWN.pop(0)
    _KNOWN.append(known)
    return known


def in_drawings(training: TrainJob, iterations: int) -> int:
    """How many drawings a meta-test learns in the time of so many meta-iterations, roughly."""
    return round(iterations * training.weight() / LINEAR_WEIGHT)


@dataclass(frozen=True)
class Extent:
    """How much of one treatment under one regime a profile measures."""

    n_classes: tuple[int, ...]
    models: int
    trajectories: int  # a model


def extent(profile: Profile, treatment: str, regime: str) -> Extent:
    """What `profile` measures of a treatment under a regime."""
    learn = find_treatment(treatment).learns_convolutions
    if find_regime(regime).epochs > 1:
        models = profile.epochs_network_models if learn else profile.epochs_models
        numbers = profile.epochs_network_n_classes if learn else profile.epochs_n_classes
        trajectories = profile.epochs_trajectories
    elif learn:
        models = profile.network_models
        numbers, trajectories = profile.network_n_classes, profile.network_trajectories
    else:
        models = profile.model_seeds
        numbers, trajectories = profile.n_classes, profile.trajectories
    return Extent(numbers, min(models, profile.model_seeds), trajectories)


def rate_grid(profile: Profile, treatment: str, optimizer: str) -> tuple[float, ...]:
    """The learning rates that are tried for a treatment with an optimiser."""
    if optimizer == "sgd":
        return SGD_RATES
    learn = find_treatment(treatment).learns_convolutions
    return profile.network_learning_rates if learn else profile.learning_rates


def search_numbers(profile: Profile, treatment: str) -> list[int]:
    """The trajectories on which a treatment's learning rate is searched; they take turns with the
    models. Where a run takes some of the models: those of their turns, or else one.
    """
    learn = find_treatment(treatment).learns_convolutions
    count = profile.network_search_trajectories if learn else profile.search_trajectories
    models = profile.model_numbers()
    return [i for i in range(count) if i % profile.model_seeds in models] or models[:1]


def searched_for(profile: Profile, point: Point) -> Point:
    """The point whose search gives `point` its learning rate: the nearest N searched, on a log
    scale; many epochs take the rate of one (the paper searches every N).
    """
    learn = find_treatment(point.treatment).learns_convolutions
    searched = profile.network_search_n_classes if learn else profile.search_n_classes
    nearest = min(searched, key=lambda n: abs(math.log(n / point.n_classes)))
    regime = ORACLE.name if find_regime(point.regime).epochs > 1 else point.regime
    return replace(point, n_classes=nearest, regime=regime)
