"""Rates that were published nowhere: OML's inner and outer ones, pretraining's (spec, section 3).

Each pair of a small grid meta-trains one model for a small budget and meta-tests it on trajectories
that no result is measured on. A weak baseline would make the comparison worthless, so OML and
pretraining get the best pair of their grid, and the whole grid is published.
"""

import time
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import ClassVar

import numpy as np
from torch import nn

from anml.data import Drawings
from anml.meta_test import meta_test
from anml.meta_testing.frozen_features import KnownFeatures
from anml.meta_testing.trajectories import TRAINING_DRAWINGS
from anml.meta_training.divergence import DivergedError
from anml.meta_training.episodes import Stream
from anml.profiles import Profile
from anml.running.jobs import (
    OnStep,
    Place,
    Plan,
    Row,
    Rows,
    TrainJob,
    make_runs,
    part_path,
    treatment_model,
    write_part,
)
from anml.running.points import LINEAR_WEIGHT, in_drawings
from anml.store.checkpoint import read_header
from anml.treatments import find_training, find_treatment


@dataclass(frozen=True)
class RateGrid:
    """What is searched for one meta-training, and how a pair of rates is judged."""

    training: str
    rates: dict[str, tuple[float, ...]]  # values of the profile, in all combinations
    treatments: tuple[str, ...]  # judged by the mean accuracy of these ...
    n_classes: tuple[int, ...]  # ... after so many classes at most, each at its best meta-test rate


GRIDS = (
    RateGrid(
        "oml",
        {"oml_inner_rate": (0.01, 0.03, 0.1), "oml_outer_rate": (1e-4, 3e-4, 1e-3, 3e-3)},
        ("OML", "OML-OLFT"),
        (50, 200),
    ),
    RateGrid(
        "pretrain", {"pretrain_rate": (1e-4, 3e-4, 1e-3, 3e-3)}, ("Pretrain & Transfer",), (10, 50)
    ),
)


@dataclass(frozen=True)
class RateJob:
    """Meta-train with one combination of rates, then meta-test on search trajectories."""

    code: ClassVar[str] = "anml.running.rate_search"
    meta_training: str
    rates: tuple[tuple[str, float], ...]
    treatments: tuple[str, ...]
    n_classes: tuple[int, ...]

    @property
    def name(self) -> str:
        """Unique in a run."""
        return f"rates of {self.meta_training}: " + ", ".join(f"{k} {v:g}" for k, v in self.rates)

    @property
    def rows(self) -> Rows:
        """The rows of `anml.treatments` that it works by."""
        return (find_training(self.meta_training), *map(find_treatment, self.treatments))

    def result(self, place: Place) -> Path:
        """The file that says that the job is done."""
        return part_path(self, place)

    @property
    def training(self) -> TrainJob:
        """The meta-training, to be run at the place `own`."""
        return TrainJob(self.meta_training, 0)

    def own(self, place: Place) -> Place:
        """Where it meta-trains: at its rates and its budget, in a folder of its own."""
        mark = "-".join([self.meta_training, *(f"{value:g}" for _, value in self.rates)])
        profile = place.profile.of_length(place.profile.rate_search_iterations)
        profile = replace(profile, **dict(self.rates))
        return replace(place, profile=profile, folder=place.folder / "rate-search" / mark)

    def steps_begun(self, place: Place) -> int:
        """The meta-iterations that need not be done again, as steps."""
        return in_drawings(self.training, self.training.steps_begun(self.own(place)))

    def steps(self, profile: Profile) -> int:
        """Drawings that its meta-tests learn; a meta-iteration counts as many as take its time."""
        learned = len(self.treatments) * self.drawings_learned(profile)
        return in_drawings(self.training, profile.rate_search_iterations) + learned

    def drawings_learned(self, profile: Profile) -> int:
        """How many drawings the meta-tests of one of its treatments learn."""
        runs = profile.search_trajectories * len(profile.learning_rates)
        return runs * sum(self.n_classes) * TRAINING_DRAWINGS

    def weight(self) -> float:
        """Roughly how long a step takes, for the progress bar and the order of work."""
        return LINEAR_WEIGHT

    def run(self, place: Place, drawings: Drawings, on_step: OnStep) -> None:
        """Meta-train, going on from the working checkpoint if there is one, and judge.

        Rates at which the meta-training diverges are no failure of the search but its finding: 0,
        at no meta-test rate.
        """
        own, began = self.own(place), time.monotonic()
        working = self.training.working(own)
        judged = dict.fromkeys(product(self.treatments, self.n_classes), (0.0, 0.0))
        try:
            self.training.run(own, drawings, lambda n: on_step(in_drawings(self.training, n)))
        except DivergedError:
            seconds = time.monotonic() - began
            seconds += read_header(working)["seconds"] if working.is_file() else 0.0
        else:
            began = time.monotonic()
            model = treatment_model(own, self.meta_training, self.training.seed)
            known = KnownFeatures(model)
            for treatment, n in judged:
                judged[treatment, n] = _judged(own, drawings, model, known, treatment, n, on_step)
            seconds = read_header(self.training.result(own))["seconds"] + time.monotonic() - began
        rows = [
            self._row(place.profile)
            | {"treatment": treatment, "n_classes": n, "learning_rate": rate, "value": value}
            for (treatment, n), (rate, value) in judged.items()
        ]
        write_part(self, place, {"training_rates": rows}, seconds)

    def _row(self, profile: Profile) -> Row:
        """What the observations of the table `training_rates` say of the meta-training."""
        rates = dict(self.rates)
        return {
            "training": self.meta_training,
            "inner_rate": rates.get("oml_inner_rate", 0.0),
            "outer_rate": rates.get("oml_outer_rate", rates.get("pretrain_rate")),
            "iterations": profile.rate_search_iterations,
            # 1 where the profile's results were made with these rates.
            "chosen": int(all(getattr(profile, name) == value for name, value in self.rates)),
        }


def _judged(
    own: Place,
    drawings: Drawings,
    model: nn.Module,
    known: KnownFeatures,
    treatment: str,
    n: int,
    on_step: OnStep,
) -> tuple[float, float]:
    """The meta-test rate that is best on the search trajectories, and the mean accuracy at it."""
    profile = own.profile
    seeds = range(profile.search_trajectories)
    runs = make_runs(profile, n, seeds, profile.learning_rates, Stream.SEARCH)
    row = find_treatment(treatment)
    scores = meta_test(row, model, drawings, runs, on_step=on_step, known=known)
    means = np.array([score.testing for score in scores]).reshape(len(seeds), -1).mean(0)
    return profile.learning_rates[int(means.argmax())], float(means.max())


def plan_rate_search(profile: Profile) -> Plan:
    """One job a combination of rates, where the profile has a budget for them; none waits.

    They are judged at no more classes than the profile itself learns.
    """
    if not profile.rate_search_iterations:
        return {}
    most = max(profile.n_classes)
    return {
        RateJob(
            grid.training,
            tuple(zip(grid.rates, values, strict=True)),
            grid.treatments,
            tuple(dict.fromkeys(min(n, most) for n in grid.n_classes)),
        ): []
        for grid in GRIDS
        for values in product(*grid.rates.values())
    }
