"""Recorded results measured again: a sample of their meta-tests, from the recorded models."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from anml.data import Drawings
from anml.drawings.packed import DRAWINGS_PER_CLASS
from anml.errors import AnmlError
from anml.meta_testing.regimes import REGIMES
from anml.meta_testing.trajectories import TRAINING_DRAWINGS
from anml.meta_training.episodes import Stream
from anml.profiles import find_profile
from anml.results import Table
from anml.running.jobs import Place, TrainJob, train_jobs
from anml.running.length_names import units
from anml.running.lengths import LengthJob
from anml.running.points import Point
from anml.store.tables import TESTING, TRAINING
from anml.treatments import TREATMENTS, VARIANTS, find_treatment

ONE_META_TEST = ["treatment", "regime", "optimizer", "n_classes", "model_seed", "trajectory_seed"]
"""What tells one meta-test from another; in `lengths` tables `iterations` as well."""


@dataclass(frozen=True)
class Check:
    """One accuracy measured again."""

    what: str
    metric: str
    recorded: float
    again: float
    drawings: int  # that the accuracy is a share of

    @property
    def agrees(self) -> bool:
        """Within two drawings or one point: what rounding, which training amplifies, may move."""
        return abs(self.recorded - self.again) <= max(0.01, 2 / self.drawings) + 1e-9


def verify(
    table: Table,
    folder: Path,
    drawings: Drawings,
    sample: int,
    longest: int,
    seed: int = 0,
    tell: Callable[[str], None] = lambda line: None,
    device: str = "cpu",
) -> list[Check]:
    """Do a random sample of the meta-tests in a `meta_test` or `lengths` table again.

    Both accuracies are compared. `folder` holds the recorded models; `sample`: how many meta-tests,
    of at most `longest` classes, in which only linear layers learn, or a fresh network for one
    epoch; `seed`: of the choice. `tell` hears in a line how many were left out because no model of
    theirs is recorded. AnmlError: other drawings than the table's, no such meta-test, or no model
    of any.
    """
    place = recorded_place(table, folder, drawings, device)
    frame = table.frame[_is_short(table.frame) & (table.frame["n_classes"] <= longest)]
    if frame.empty:
        raise AnmlError(f"no recorded meta-test has {longest} classes or fewer: raise --longest")
    one_meta_test = [name for name in (*ONE_META_TEST, "iterations") if name in frame]
    known = frame.drop_duplicates(one_meta_test)
    cases = known[_has_model(place, known)].reset_index(drop=True)
    if cases.empty:
        raise AnmlError(
            f"{folder} has no model of the {len(known)} recorded meta-tests of at "
            f"most {longest} classes: verify a run that is recorded with its models, such as laptop"
        )
    if len(cases) < len(known):
        tell(
            f"{len(known) - len(cases)} of {len(known)} recorded meta-tests of at most {longest} "
            "classes are left out: no model of theirs is recorded"
        )
    chosen = np.random.default_rng(seed).permutation(len(cases))[:sample]
    checks = []
    for case in cases.loc[sorted(chosen)].itertuples():
        point = Point(case.treatment, int(case.n_classes), case.optimizer, case.regime)
        seeds, rates = [int(case.trajectory_seed)], [case.learning_rate]
        runs = point.runs(place.profile, seeds, rates, Stream.TRAJECTORY)
        own = _own_place(place, case)
        (score,) = point.scores(own, drawings, int(case.model_seed), runs, lambda _: None)
        same = (frame[one_meta_test] == [getattr(case, name) for name in one_meta_test]).all(axis=1)
        recorded = frame[same].set_index("metric")["value"]
        what = f"{point}, model {case.model_seed}, trajectory {case.trajectory_seed}"
        if hasattr(case, "iterations"):
            what += f", after {case.iterations} {units([case.treatment])}"
        for metric, again, each in (
            (TRAINING, score.training, TRAINING_DRAWINGS),
            (TESTING, score.testing, DRAWINGS_PER_CLASS - TRAINING_DRAWINGS),
        ):
            size = point.n_classes * each
            checks.append(Check(what, metric, float(recorded[metric]), again, size))
    return checks


def recorded_place(table: Table, folder: Path, drawings: Drawings, device: str) -> Place:
    """A table's profile, and the folder that holds the models it was measured on.

    AnmlError: it was made from other drawings than `drawings`.
    """
    source = table.provenance
    if drawings.fingerprint != source.data_fingerprint:
        raise AnmlError(
            f"the table was made from drawings with fingerprint {source.data_fingerprint}, these "
            f"have {drawings.fingerprint}: name the right ones with --data"
        )
    # Older tables may have values that profiles no longer have: meta-trainings of their own by now.
    known = find_profile(source.profile).settings().keys() - {"name"}
    values = {k: v for k, v in source.profile_values.items() if k in known}
    return Place(find_profile(source.profile, values), folder, device)


def _is_short(frame: pd.DataFrame) -> pd.Series:
    """Which rows are of meta-tests that take minutes at most to do again."""
    known = (TREATMENTS | VARIANTS).items()
    linear = [name for name, row in known if not row.learns_convolutions]
    fresh = [name for name, row in TREATMENTS.items() if not train_jobs(row.training, [0])]
    one_epoch = [name for name, regime in REGIMES.items() if regime.epochs == 1]
    treatment = frame["treatment"]
    return treatment.isin(linear) | (treatment.isin(fresh) & frame["regime"].isin(one_epoch))


def _own_place(place: Place, case: Any) -> Place:
    """Where the model of a meta-test (a row of either table) is recorded, and its profile."""
    # A compared model of the profile's own length is recorded as one of its models.
    length = getattr(case, "iterations", None)
    training = find_treatment(case.treatment).training
    profiles_own = TrainJob(training, int(case.model_seed)).steps(place.profile)
    if length is None or (case.treatment in TREATMENTS and length == profiles_own):
        return place
    return LengthJob(int(case.model_seed), int(length), 0, training).own(place)


def _has_model(place: Place, cases: pd.DataFrame) -> list[bool]:
    """For each case, whether the model that it starts from is there, or is fresh from its seed."""
    return [
        all(
            job.result(_own_place(place, case)).is_file()
            for job in train_jobs(find_treatment(case.treatment).training, [int(case.model_seed)])
        )
        for case in cases.itertuples()
    ]
