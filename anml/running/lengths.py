"""How much meta-training is worth: models meta-tested after few, more and many meta-iterations.

The paper gives one length, 20,000. Here one model goes from length to length, its active units are
counted and its accuracy measured at each, on the same trajectories: what changes is the length
alone. The same drawings in i.i.d. order (the Oracle) say how much of what is missing was forgotten.
"""

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from anml.data import Drawings
from anml.errors import AnmlError
from anml.probes import activations, probe_set
from anml.profiles import Profile
from anml.running.evaluations import measure, measured_rows, search_rows
from anml.running.jobs import (
    OnStep,
    Place,
    Plan,
    Row,
    Rows,
    TrainJob,
    is_ours,
    part_path,
    read_part,
    train_jobs,
    write_part,
)
from anml.running.length_names import LENGTH_REGIMES, LENGTHS, MEASURED, META_TRAINING
from anml.running.points import LINEAR_WEIGHT, Point, extent, in_drawings, rate_grid
from anml.running.probe_jobs import ACTIVITY_LAYERS, activity_rows, probed_layers
from anml.running.rate_choice import best_rate
from anml.store.checkpoint import read_header
from anml.store.files import replacing, require_writable, telling_failure
from anml.treatments import find_training, find_treatment


class _MovedOnError(Exception):
    """A copied checkpoint is not the one whose header was read."""


@dataclass(frozen=True)
class LengthPoint:
    """A treatment after N classes in one order, its search included: a piece of a `LengthJob`, kept
    so that a stopped one need not do it again.
    """

    code: ClassVar[str] = "anml.running.lengths"
    seed: int
    point: Point

    @property
    def name(self) -> str:
        """Unique in the folder of a length."""
        return f"{self.point}, model {self.seed}"

    @property
    def rows(self) -> Rows:
        """The rows of `anml.treatments` that it works by."""
        treatment = find_treatment(self.point.treatment)
        return (find_training(treatment.training), treatment)

    def is_done(self, own: Place) -> bool:
        """Whether it was done by this code (`keep`: by any) in the folder of its length."""
        return self.result(own).is_file() and is_ours(self, read_part(self, own), own)

    def result(self, own: Place) -> Path:
        """The file that says that it is done."""
        return part_path(self, own)

    def steps(self, profile: Profile) -> int:
        """Drawings that are learned, for the search too."""
        point = self.point
        rates = len(rate_grid(profile, point.treatment, point.optimizer))
        return point.steps(rates + extent(profile, point.treatment, point.regime).trajectories)

    def weight(self) -> float:
        """Roughly how long a step takes, for the progress bar and the order of work."""
        return self.point.weight()

    def run(self, own: Place, drawings: Drawings, on_step: OnStep) -> None:
        """Write the rows of the search and of what was measured at the rate that it found."""
        began, point = time.monotonic(), self.point
        searched = search_rows(point, own, drawings, self.seed, on_step)
        scores = measure(point, own, drawings, self.seed, best_rate(searched), on_step)
        tables = {"length_rates": searched, "lengths": measured_rows(point, scores, self.seed)}
        write_part(self, own, tables, time.monotonic() - began)


@dataclass(frozen=True)
class LengthJob:
    """Meta-train one model for so many iterations, then meta-test it and count its active units.

    It goes on from whatever the run has of the same meta-training that is not longer: the length
    before, or the model that the other results use.
    """

    code: ClassVar[str] = "anml.running.lengths"
    seed: int
    iterations: int
    since: int  # the length before, from which it goes on; 0 for the first
    meta_training: str = META_TRAINING  # a key of `MEASURED`

    @property
    def treatments(self) -> tuple[str, ...]:
        """The treatments that take its model at meta-test and learn linear layers alone."""
        return MEASURED[self.meta_training]

    @property
    def name(self) -> str:
        """Unique in a run."""
        measured = " and ".join(self.treatments)
        return f"length: {measured} after {self.iterations} iterations, model {self.seed}"

    @property
    def rows(self) -> Rows:
        """The rows of `anml.treatments` that it works by."""
        return (find_training(self.meta_training), *map(find_treatment, self.treatments))

    def result(self, place: Place) -> Path:
        """The file that says that the job is done."""
        return part_path(self, place)

    def own(self, place: Place) -> Place:
        """The profile with this length, and the folder of this length in the run's."""
        profile = place.profile.of_length(self.iterations)
        folder = place.folder / LENGTHS / str(self.iterations)
        return replace(place, profile=profile, folder=folder)

    def steps(self, profile: Profile) -> int:
        """Drawings that its meta-tests learn; a meta-iteration counts as many as take its time."""
        learned = sum(self.drawings_learned(profile, name) for name in self.treatments)
        return in_drawings(self.training, self.iterations - self.since) + learned

    def drawings_learned(self, profile: Profile, treatment: str) -> int:
        """How many drawings the meta-tests of a treatment learn, searches included."""
        return sum(
            piece.steps(profile)
            for piece in self.pieces(profile)
            if piece.point.treatment == treatment
        )

    def steps_begun(self, place: Place) -> int:
        """The meta-iterations behind the length before that some checkpoint has, as steps, and the
        drawings of the meta-tests that are done.
        """
        furthest = max((header["iteration"] for _, header in self._begun(place)), default=0)
        learned = sum(piece.steps(place.profile) for piece in self._done(self.own(place)))
        return in_drawings(self.training, max(0, furthest - self.since)) + learned

    def weight(self) -> float:
        """Roughly how long a step takes, for the progress bar and the order of work."""
        return LINEAR_WEIGHT

    @property
    def training(self) -> TrainJob:
        """The meta-training, to be run in the folder of this length."""
        return TrainJob(self.meta_training, self.seed)

    def run(self, place: Place, drawings: Drawings, on_step: OnStep) -> None:
        """Meta-train, going on from what is there, and write the rows of all three tables."""
        own = self.own(place)
        if not self.training.result(own).is_file():  # what was measured is of another model
            for piece in self.pieces(place.profile):
                piece.result(own).unlink(missing_ok=True)
        seconds = -self._take_over(place)
        self.training.run(own, drawings, lambda n: on_step(in_drawings(self.training, n)))
        # Of what another job counts it may have gone on from none, having begun before.
        seconds = max(0.0, seconds + read_header(self.training.result(own))["seconds"])
        parts = []
        for piece in self.pieces(place.profile):
            if not piece.is_done(own):
                piece.run(own, drawings, on_step)
            parts.append(read_part(piece, own))
        seconds += sum(part["seconds"] for part in parts)
        began = time.monotonic()
        tables: dict[str, list[Row]] = {"lengths": [], "length_rates": [], "length_activity": []}
        for part in parts:
            for name, rows in part["tables"].items():
                tables[name] += rows
        tables["length_activity"] = self._activity(own, drawings)
        marked = {
            name: [{"iterations": self.iterations, **row} for row in rows]
            for name, rows in tables.items()
        }
        write_part(self, place, marked, seconds + time.monotonic() - began, parts)

    def _done(self, own: Place) -> list[LengthPoint]:
        """The pieces that are done; none where their model is gone: a new one will be another."""
        if not self.training.result(own).is_file():
            return []
        return [piece for piece in self.pieces(own.profile) if piece.is_done(own)]

    def pieces(self, profile: Profile) -> list[LengthPoint]:
        """What is measured after the meta-training."""
        numbers = dict.fromkeys(profile.length_n_classes)
        return [
            LengthPoint(self.seed, Point(treatment, n, regime=regime))
            for treatment in self.treatments
            for regime in LENGTH_REGIMES
            for n in numbers
        ]

    def _take_over(self, place: Place) -> float:
        """Copy the furthest usable working checkpoint of the run, unless this length has one that
        is further; returns how many of the seconds that went into it another job counts.
        """
        own = self.training.working(self.own(place))
        while True:
            begun = dict(self._begun(place))
            done = begun.pop(own, {"iteration": 0})["iteration"]
            furthest = max(begun, key=lambda path: begun[path]["iteration"], default=None)
            if furthest and begun[furthest]["iteration"] > done:
                begun[furthest] = self._copied(furthest, own, place)
            if None not in begun.values():
                counted = [h for path, h in begun.items() if self._is_counted(path, place)]
                last = max(
                    counted, key=lambda header: header["iteration"], default={"seconds": 0.0}
                )
                return last["seconds"]

    def _is_counted(self, working: Path, place: Place) -> bool:
        """Whether another job counts the seconds of a working checkpoint: that of the model that
        the other results use, or of a length that was measured.
        """
        folder = working.parent.parent
        if folder == place.folder:
            return True
        return replace(self, iterations=int(folder.name)).result(place).is_file()

    def _copied(self, path: Path, own: Path, place: Place) -> dict[str, Any] | None:
        """Copy a working checkpoint to `own` and return the copy's header; no copy, and None, if
        that is not usable: a meta-training beside this job may have replaced the file by one that
        is further since its header was read.

        AnmlError: the disk is full, or `own` cannot be written.
        """
        require_writable(own.parent)
        with suppress(_MovedOnError), telling_failure(own), replacing(own) as temporary:
            shutil.copyfile(path, temporary)
            header = read_header(temporary)
            if not self._usable(header, place):
                raise _MovedOnError
            return header
        return None

    def _usable(self, header: Mapping[str, Any], place: Place) -> bool:
        """Whether it can go on from a checkpoint with this header, of its own code and not too long
        (`place.keep`: of any code).
        """
        known = self.training.goes_on_from(header, place)
        return known and header["iteration"] <= self.iterations

    def _begun(self, place: Place) -> Iterator[tuple[Path, dict[str, Any]]]:
        """Working checkpoints of this meta-training in the run's folder that are not too long, with
        their headers; of other code only if `place.keep`.
        """
        lengths = sorted((place.folder / LENGTHS).glob("*"))
        folders = [place.folder, *(path for path in lengths if path.name.isdecimal())]
        for path in (self.training.working(replace(place, folder=folder)) for folder in folders):
            try:
                header = read_header(path)
            except AnmlError:  # not there, or damaged: nothing to go on from
                continue
            if self._usable(header, place):
                yield path, header

    def _activity(self, own: Place, drawings: Drawings) -> list[Row]:
        """Rows that say which share of the units is active, before, in and after the gate."""
        layers = probed_layers(self.meta_training, self.seed, own)
        asked = probe_set(drawings, own.profile.drawings_split).asked
        return [
            {"model_seed": self.seed, **row}
            for name, shown_as in ACTIVITY_LAYERS.items()
            if name in layers
            for row in activity_rows(
                self.treatments[0], shown_as, activations(layers[name], asked, own.device)
            )
        ]


def plan_lengths(profile: Profile) -> Plan:
    """One job a length and model, each after the shorter one; one that is as long as the models of
    the other results, or longer, waits for those, on which it goes on.
    """
    jobs: Plan = {}
    training = profile.length_training
    for seed in profile.model_numbers(profile.length_models):
        before: list[LengthJob] = []
        since = 0
        for iterations in sorted(set(profile.length_iterations)):
            job = LengthJob(seed, iterations, since, training)
            passes = since < job.training.steps(profile) <= iterations
            jobs[job] = [*before, *(train_jobs(training, [seed]) if passes else [])]
            before, since = [job], iterations
    return jobs
