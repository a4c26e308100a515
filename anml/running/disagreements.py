"""The experiments behind `anml.questions`: what paper and released code disagree on.

Every answer is one setting of the same meta-test: which models, which optimiser, which drawings and
classes. Answers that share a setting share its job; what the comparison of treatments measures
anyway is taken from there.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from anml.data import Drawings
from anml.meta_testing.trajectories import TRAINING_DRAWINGS, Trajectory
from anml.meta_training.episodes import Stream, generator
from anml.profiles import MAX_META_TEST_CLASSES, META_TRAIN_CLASSES, Profile
from anml.questions import QUESTIONS, Question, Setting
from anml.running.evaluations import (
    EvaluateJob,
    accuracies,
    best_rate,
    plan_evaluations,
    plan_searches,
    read_searches,
    search_learning_rate,
)
from anml.running.jobs import (
    OnStep,
    Place,
    Plan,
    Row,
    Rows,
    Work,
    make_runs,
    part_path,
    read_part,
    train_jobs,
    trajectory_seeds,
    write_part,
)
from anml.running.points import Point, rate_grid, search_numbers
from anml.treatments import TREATMENTS, VARIANTS, find_treatment


def numbers(profile: Profile) -> tuple[int, ...]:
    """The numbers of classes at which the questions are asked: smallest, middle and largest."""
    ns = sorted(profile.n_classes)
    return tuple(sorted({ns[0], ns[len(ns) // 2], ns[-1]}))


def model_seeds(profile: Profile, settings: Sequence[Setting]) -> list[int]:
    """The models that all of `settings` have: of a variant perhaps fewer."""
    return profile.model_numbers(profile.variant_models if has_variant(settings) else None)


def has_variant(settings: Sequence[Setting]) -> bool:
    """Whether one of `settings` meta-tests a variant, of which there may be fewer models."""
    return any(setting.treatment in VARIANTS for setting in settings)


@dataclass(frozen=True)
class DisagreementJob:
    """Search a setting's learning rate at one N, then meta-test its models there."""

    code: ClassVar[str] = "anml.running.disagreements"
    setting: Setting
    n_classes: int

    @property
    def name(self) -> str:
        """Unique in a run."""
        setting = self.setting
        classes = MAX_META_TEST_CLASSES + setting.extra_class
        order = " as stored" if setting.stored_order else ""
        return (
            f"disagreement {setting.treatment}, {setting.optimizer}, {setting.drawings_split} "
            f"drawings, {self.n_classes} of {classes} classes{order}"
        )

    @property
    def rows(self) -> Rows:
        """Its treatment, its setting, and as which answers, of which models, it is kept."""
        answers = sorted((q.id, label, has_variant(q.settings())) for q, label in self._answered())
        return (find_treatment(self.setting.treatment), self.setting, *answers)

    def result(self, place: Place) -> Path:
        """The file that says that the job is done."""
        return part_path(self, place)

    def steps(self, profile: Profile) -> int:
        """Drawings learned, over all searches and trajectories; or evaluations taken over."""
        if evaluations := self.evaluations(profile):
            return len(evaluations)
        own = self._profile(profile)
        rates = rate_grid(own, self.setting.treatment, self.setting.optimizer)
        searches = len(search_numbers(own, self.setting.treatment)) * len(rates)
        if self._changes_classes:
            searches = 0
        runs = searches + len(own.models) * own.trajectories
        return runs * self.n_classes * TRAINING_DRAWINGS

    def weight(self) -> float:
        """Roughly how long a step takes: only linear layers learn."""
        return 1.0

    def run(self, place: Place, drawings: Drawings, on_step: OnStep) -> None:
        """Write the rows of every question that has this setting."""
        began = time.monotonic()
        rows: list[Row] = []
        if evaluations := self.evaluations(place.profile):
            for job in evaluations:
                rows += read_part(job, place)["tables"]["meta_test"]
                on_step(1)
        else:
            rows = self._measure(place, drawings, on_step)
        rows = [asked for row in rows for asked in self._rows(place.profile, row)]
        write_part(self, place, {"disagreements": rows}, time.monotonic() - began)

    def waits_for(self, profile: Profile) -> list[Work]:
        """The jobs whose files this one reads."""
        models = model_seeds(profile, [self.setting])
        trained = train_jobs(find_treatment(self.setting.treatment).training, models)
        return self.evaluations(profile) or [*trained, *self.searches(profile)]

    def searches(self, profile: Profile) -> Plan:
        """The comparison's searches whose rate it takes, with what they wait for; else none."""
        return plan_searches(profile, self._point()) if self._changes_classes else {}

    def evaluations(self, profile: Profile) -> list[EvaluateJob]:
        """The jobs that measure this setting for the comparison of treatments, if it does."""
        setting = self.setting
        compared = (
            setting.treatment in TREATMENTS
            and setting.optimizer in profile.optimizers
            and setting.drawings_split == profile.drawings_split
            and not self._changes_classes
        )
        seeds = model_seeds(profile, [setting]) if compared else ()
        return [EvaluateJob(self._point(), seed) for seed in seeds]

    @property
    def _changes_classes(self) -> bool:
        """Whether it changes which classes come, or in which order: as many come, so that it takes
        the rate that the comparison searched for so many.
        """
        return self.setting.extra_class or self.setting.stored_order

    def _point(self) -> Point:
        return Point(self.setting.treatment, self.n_classes, self.setting.optimizer)

    def _measure(self, place: Place, drawings: Drawings, on_step: OnStep) -> list[Row]:
        """Search the rate, then meta-test every model."""
        own, point = replace(place, profile=self._profile(place.profile)), self._point()
        if self._changes_classes:
            rate = best_rate(read_searches(place, point))
        else:
            rate, _ = search_learning_rate(point, own, drawings, on_step)
        if self.setting.extra_class:
            drawings = with_extra_class(drawings)
        rows: list[Row] = []
        for seed in own.profile.models:
            seeds = trajectory_seeds(seed, own.profile.trajectories)
            runs = make_runs(own.profile, self.n_classes, seeds, [rate], Stream.TRAJECTORY)
            runs = [replace(run, trajectory=self._changed(run.trajectory)) for run in runs]
            for score in point.scores(own, drawings, seed, runs, on_step):
                rows += [point.row(score, seed, *part) for part in accuracies(score)]
        return rows

    def _changed(self, trajectory: Trajectory) -> Trajectory:
        """The trajectory with what the setting changes about its classes."""
        if self.setting.extra_class:
            trajectory = insert_extra(trajectory)
        return in_stored_order(trajectory) if self.setting.stored_order else trajectory

    def _profile(self, profile: Profile) -> Profile:
        """The profile with what the setting changes."""
        return replace(
            profile,
            drawings_split=self.setting.drawings_split,
            models=tuple(model_seeds(profile, [self.setting])),
        )

    def _rows(self, profile: Profile, row: Row) -> list[Row]:
        """One observation as a row of each question that it answers with a model it may use."""
        return [
            row | {"question": question.id, "answer": label}
            for question, label in self._answered()
            if row["model_seed"] in model_seeds(profile, question.settings())
        ]

    def _answered(self) -> list[tuple[Question, str]]:
        """The questions that have this setting, each with the label of the answer that it is."""
        return [
            (question, label)
            for question in QUESTIONS
            for label, setting in question.answers.items()
            if setting == self.setting
        ]


def plan_disagreements(profile: Profile) -> Plan:
    """One job a setting and N, each after those whose files it reads; and the searches that they
    read and the comparison of treatments has not, with another optimiser than the profile's.
    """
    settings = dict.fromkeys(s for question in QUESTIONS for s in question.settings())
    asked = [setting for setting in settings if model_seeds(profile, [setting])]
    jobs = [DisagreementJob(setting, n) for setting in asked for n in numbers(profile)]
    searches: Plan = {}
    for job in jobs:
        searches |= job.searches(profile)
    planned = plan_evaluations(profile)
    own = {search: waits for search, waits in searches.items() if search not in planned}
    return own | {job: job.waits_for(profile) for job in jobs}


def with_extra_class(drawings: Drawings) -> Drawings:
    """The drawings with the 964th background class as the last of 660 meta-test classes."""
    extra = META_TRAIN_CLASSES
    order = np.append(np.delete(np.arange(len(drawings.images)), extra), extra)
    split = drawings.split[order]
    split[-1] = drawings.split[-1]
    names = ("images", "character_id", "alphabet", "character")
    return replace(
        drawings, split=split, **{name: getattr(drawings, name)[order] for name in names}
    )


def in_stored_order(trajectory: Trajectory) -> Trajectory:
    """The trajectory's classes, each with its drawings, in the order in which they are stored."""
    order = np.argsort(trajectory.classes)
    parts = {name: getattr(trajectory, name)[order] for name in ("classes", "train", "test")}
    return replace(trajectory, **parts)


def insert_extra(trajectory: Trajectory) -> Trajectory:
    """The trajectory as it would be if 660 classes were drawn from.

    The 660th class takes a random place among them all; if that is one of the N, the classes behind
    it move up and the last one falls out. Everything else stays, so that the two differ in nothing
    but the class in question.
    """
    n = len(trajectory.classes)
    rng = generator(trajectory.seed, Stream.TRAJECTORY, n, MAX_META_TEST_CLASSES)
    place = int(rng.integers(MAX_META_TEST_CLASSES + 1))
    if place >= n:
        return trajectory
    classes = np.insert(trajectory.classes, place, MAX_META_TEST_CLASSES)[:n]
    parts = (trajectory.train, trajectory.test)
    train, test = (np.insert(part, place, part[-1], axis=0)[:n] for part in parts)
    return replace(trajectory, classes=classes, train=train, test=test)
