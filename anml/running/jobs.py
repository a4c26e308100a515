"""What a job is: a piece of work that leaves one file when it is finished and nothing before.

A stopped run does only what is missing. Jobs are data: they travel to worker processes. A
meta-training leaves a model; every other job leaves a part, the rows it adds to the tables.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from torch import nn

from anml.data import Drawings
from anml.errors import AnmlError
from anml.meta_test import Run
from anml.meta_testing.regimes import SEQUENTIAL, Regime
from anml.meta_testing.trajectories import draw_trajectory
from anml.meta_train import Job, initial_model, load_model, meta_train
from anml.meta_training.episodes import Stream
from anml.profiles import Profile
from anml.results import device_name, running_commit, together
from anml.store.checkpoint import model_name, read_header, working_name
from anml.store.code_state import code_state
from anml.store.files import replacing, require_writable, telling_failure
from anml.treatments import TRAININGS, find_training

OnStep = Callable[[int], None]
Row = dict[str, Any]
Tables = Mapping[str, Sequence[Row]]
"""Rows by the name of their table (`anml.store.tables`), without the columns profile and data."""

Rows = tuple[object, ...]
"""Rows of `anml.treatments`, and what else is data and decides numbers; `Row` is one of a table."""

PART = ("tables", "seconds", "code", "commit", "made_on")
"""What a part holds."""
SEEDS_A_MODEL = 1000
"""How many trajectories a model can have before they would be another model's."""


@dataclass(frozen=True)
class Place:
    """What every job of one run shares: the profile and the folder it works in."""

    profile: Profile
    folder: Path
    device: str = "cpu"
    keep: bool = False  # take what is finished as it is, whatever code made it


class Work(Protocol):
    """A job: a frozen dataclass, so that it can be hashed and sent to a worker process."""

    code: ClassVar[str]
    """The module whose code, with all that it imports, decides what the job finds."""

    @property
    def name(self) -> str:
        """What the job does, in words; unique in a run."""

    @property
    def rows(self) -> Rows:
        """The data that it works by; first, if it meta-trains, the row of its meta-training."""

    def result(self, place: Place) -> Path:
        """The file that says that the job is done."""

    def steps(self, profile: Profile) -> int:
        """How many steps the job reports in all."""

    def weight(self) -> float:
        """Roughly how long a step takes, for the progress bar and the order of work."""

    def run(self, place: Place, drawings: Drawings, on_step: OnStep) -> None:
        """Do the work and write `result`; `on_step(n)` hears of `n` more steps."""


@runtime_checkable
class Resumable(Work, Protocol):
    """A job that goes on from a working checkpoint."""

    def steps_begun(self, place: Place) -> int:
        """Steps that need not be done again, and of which the job will not report."""


Plan = dict[Work, list[Work]]
"""Jobs with the jobs that each waits for."""


@dataclass(frozen=True)
class TrainJob:
    """Meta-train one model."""

    code: ClassVar[str] = "anml.meta_train"
    training: str
    seed: int

    @property
    def name(self) -> str:
        """Unique in a run."""
        return f"meta-train {self.training}, seed {self.seed}"

    @property
    def rows(self) -> Rows:
        """The rows of `anml.treatments` that it works by."""
        return (find_training(self.training),)

    def result(self, place: Place) -> Path:
        """The file that says that the job is done."""
        return place.folder / "checkpoints" / model_name(self.training, self.seed)

    def working(self, place: Place) -> Path:
        """The checkpoint that an unfinished meta-training goes on from."""
        return self.result(place).with_name(working_name(self.training, [self.seed]))

    def steps_begun(self, place: Place) -> int:
        """Meta-iterations that need not be done again: those of the working checkpoint."""
        return self.steps_in(self.working(place), place)

    def steps_in(self, working: Path, place: Place) -> int:
        """The same, of the checkpoint `working`, which other seeds may share."""
        try:
            header = read_header(working)
        except AnmlError:  # not there; or damaged, as the job itself will say
            return 0
        begun = header["iteration"] if self.goes_on_from(header, place) else 0
        return min(begun, self.steps(place.profile))

    def goes_on_from(self, header: Mapping[str, Any], place: Place) -> bool:
        """Whether a checkpoint with this header is of this code, or `place.keep` allows any."""
        return is_ours(self, header, place)

    def steps(self, profile: Profile) -> int:
        """Meta-iterations."""
        supervised = TRAININGS[self.training].procedure == "supervised"
        return profile.pretrain_iterations if supervised else profile.meta_iterations

    def weight(self) -> float:
        """In the units of a meta-test's step."""
        return 40.0 if TRAININGS[self.training].procedure == "supervised" else 100.0

    def run(self, place: Place, drawings: Drawings, on_step: OnStep) -> None:
        """Meta-train, going on from the working checkpoint if there is one."""
        job = Job(
            *(find_training(self.training), place.profile, drawings, (self.seed,)),
            folder=place.folder / "checkpoints",
            device=place.device,
        )
        meta_train(
            job,
            resume=True,
            keep=place.keep,
            progress=False,
            on_step=lambda done, total: on_step(1),
        )


def part_path(job: Work, place: Place) -> Path:
    """Where a job's part lies: a file named after the job."""
    return (
        place.folder / "parts" / f"{re.sub('[^a-z0-9.]+', '-', job.name.lower()).strip('-')}.json"
    )


def is_ours(job: Work, made: Mapping[str, Any], place: Place) -> bool:
    """Whether a header or part (`made`) says that this job's code made it; `place.keep`: any may
    have.
    """
    return place.keep or made.get("code") == code_state(job.code, *job.rows)


def write_part(
    job: Work,
    place: Place,
    tables: Tables,
    seconds: float,
    pieces: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Write the rows that a job adds to the tables, and how and in what time, as its result.

    `pieces`: parts that its rows come from, which another process may have made elsewhere.

    Raises:
        AnmlError: the folder cannot be written to, or the disk is full.
    """
    path = job.result(place)
    require_writable(path.parent)
    part = {
        "tables": tables,
        "seconds": seconds,
        "code": code_state(job.code, *job.rows),
        "commit": together([running_commit(), *(piece["commit"] for piece in pieces)]),
        "made_on": together([device_name(place.device), *(p["made_on"] for p in pieces)]),
    }
    text = json.dumps(part)
    with telling_failure(path), replacing(path) as temporary:
        temporary.write_text(text)


def read_json(path: Path) -> Any:
    """The contents of a file of this run; AnmlError if it is damaged."""
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise AnmlError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise AnmlError(
            f"{path} is damaged: delete it, then run the same command to go on"
        ) from error


def read_part(job: Work, place: Place) -> dict[str, Any]:
    """What `write_part` wrote of a finished job; AnmlError if the part is damaged."""
    path = job.result(place)
    part = read_json(path)
    if not isinstance(part, dict) or not set(PART) <= set(part):
        raise AnmlError(f"{path} is damaged: delete it, then run the same command to go on")
    return part


def train_jobs(training: str, seeds: Sequence[int]) -> list[Work]:
    """The meta-trainings that a job on the models of `seeds` waits for; none for 'scratch'."""
    if find_training(training).procedure == "none":
        return []
    return [TrainJob(training, seed) for seed in seeds]


def trajectory_seeds(model: int, count: int) -> list[int]:
    """Seeds of a model's first trajectories, the same for every treatment."""
    return [SEEDS_A_MODEL * model + trajectory for trajectory in range(count)]


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
    regime: Regime = SEQUENTIAL,
) -> list[Run]:
    """Every trajectory at every rate."""
    split = profile.drawings_split
    trajectories = [draw_trajectory(s, n_classes, split=split, stream=stream) for s in seeds]
    return [Run(trajectory, rate, regime) for trajectory in trajectories for rate in rates]
