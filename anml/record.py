"""Recorded results: what the repository keeps of a run, and whether it can be had again.

A run is recorded as its tables and the models that every treatment starts from, without their
heads, which are most of a narrow network and which meta-test draws anew: whoever has a clone can
meta-test them without meta-training. How far unfinished meta-trainings are is recorded as a table
of its own, their weights never.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from anml.checkpoint import load_checkpoint, save_checkpoint
from anml.data import Drawings
from anml.episodes import Stream
from anml.errors import AnmlError
from anml.files import replacing, require_writable
from anml.gather import UNFINISHED, table_paths
from anml.jobs import Place, TrainJob, train_jobs
from anml.packed import DRAWINGS_PER_CLASS
from anml.points import Point
from anml.profiles import find_profile
from anml.regimes import REGIMES
from anml.results import Table, duration, read_table
from anml.tables import TESTING, TRAINING
from anml.trajectories import TRAINING_DRAWINGS
from anml.treatments import TREATMENTS, find_training
from anml.under_way import how_far

ONE_META_TEST = ["treatment", "regime", "optimizer", "n_classes", "model_seed", "trajectory_seed"]
"""What tells one meta-test from another."""
MOST_TABLE_BYTES = 20_000_000
MOST_MODEL_BYTES = 25_000_000
"""Of all recorded tables, and of all recorded models: every clone of the repository has them."""


def record(place: Place, destination: Path, *, models: bool = True) -> list[Path]:
    """Copy a run's tables to `destination`, and its finished models, headless, to `checkpoints/`
    there (`models`: or none of them).

    Tables and models that were recorded there before and that the run does not have are removed.
    AnmlError, before anything is written: the run has no tables, `destination` is a run's folder or
    not writable, or too much would be recorded in all.
    """
    tables = table_paths(place.folder / "results")
    if not tables:
        raise AnmlError(f"{place.folder} has no tables: `anml run` makes them")
    if (destination / "run.json").is_file():
        raise AnmlError(
            f"{destination} is the folder of a run, which recorded results would overwrite: choose "
            "another folder with --to"
        )
    own = Place(place.profile, destination)
    finished = [job for job in compared_models(place) if models and job.result(place).is_file()]
    _require_room(place, destination, tables, finished)
    require_writable(destination)
    written = []
    for path in tables:
        with replacing(destination / path.name) as temporary:
            shutil.copyfile(path, temporary)
        written.append(destination / path.name)
    for job in finished:
        save_checkpoint(job.result(own), *_headless(job, place))
        written.append(job.result(own))
    for path in (*table_paths(destination), *_recorded_models(destination)):
        if path not in written:
            path.unlink()
    return written


def _headless(job: TrainJob, place: Place) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and header of a finished model as they are recorded."""
    tensors, header = load_checkpoint(job.result(place))
    tensors.pop("log")  # the table meta_train_log has it
    heads = [name for name in tensors if name.startswith("head.")]
    body = {name: tensor for name, tensor in tensors.items() if name not in heads}
    return body, header | {"without": heads}


def _recorded_models(folder: Path) -> list[Path]:
    """The models that are recorded in a folder."""
    return sorted((folder / "checkpoints").glob("*.safetensors"))


def _require_room(
    place: Place, destination: Path, tables: Sequence[Path], finished: Sequence[TrainJob]
) -> None:
    """AnmlError if tables or models in all folders beside `destination` would become too large."""
    parent = destination.resolve().parent
    beside = [path for path in parent.iterdir() if path.is_dir()] if parent.is_dir() else []
    others = [folder for folder in beside if folder != destination.resolve()]
    new_tables = sum(path.stat().st_size for path in tables)
    new_models = sum(t.nbytes for job in finished for t in _headless(job, place)[0].values())
    for what, new, most, standing, remedy in (
        ("tables", new_tables, MOST_TABLE_BYTES, table_paths, ""),
        ("models", new_models, MOST_MODEL_BYTES, _recorded_models, "add --without-models, or "),
    ):
        old = sum(path.stat().st_size for folder in others for path in standing(folder))
        if new and old + new > most:
            raise AnmlError(
                f"this run's {what} have {new / 1e6:.1f} MB, and the other folders in {parent} "
                f"have {old / 1e6:.1f} MB of {what}: allowed are {most / 1e6:.1f} MB in all; "
                f"{remedy}choose a folder elsewhere with --to"
            )


def compared_models(place: Place) -> list[TrainJob]:
    """The meta-trainings whose models the paper's treatments start from."""
    trainings = dict.fromkeys(treatment.training for treatment in TREATMENTS.values())
    return [
        TrainJob(name, seed)
        for name in trainings
        if find_training(name).procedure != "none"
        for seed in range(place.profile.model_seeds)
    ]


def contents(folders: Sequence[Path]) -> pd.DataFrame:
    """What is recorded: a row a table, from the provenance inside each."""
    rows = []
    for path in (path for folder in folders for path in table_paths(folder)):
        table = read_table(path)
        source = table.provenance
        counts = {
            word: table.frame[column].nunique() if column in table.frame else ""
            for word, column in (("models", "model_seed"), ("trajectories", "trajectory_seed"))
        }
        rows.append(
            {"folder": str(path.parent), "table": path.stem, "data": source.data_source}
            | {"rows": len(table.frame)}
            | counts
            | {"how far": how_far(table.frame) if path.stem == UNFINISHED else ""}
            | {
                "device": source.device,
                "commit": source.commit
                if ";" not in source.commit
                else f"{source.commit.count(';') + 1} commits",
                "compute": duration(source.seconds),
                "date": source.date[:10],
            }
        )
    return pd.DataFrame(rows)


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
) -> list[Check]:
    """Do a random sample of the recorded meta-tests again and compare both accuracies.

    `folder` holds `checkpoints/`; `sample`: how many meta-tests, of at most `longest` classes, in
    which only linear layers learn, or a fresh network for one epoch; `seed`: of the choice. `tell`
    hears in a line how many were left out because no model of theirs is recorded. AnmlError: other
    drawings than the table's, no such meta-test, or no model of any.
    """
    source = table.provenance
    if drawings.fingerprint != source.data_fingerprint:
        raise AnmlError(
            f"the table was made from drawings with fingerprint {source.data_fingerprint}, these "
            f"have {drawings.fingerprint}: name the right ones with --data"
        )
    values = {k: v for k, v in source.profile_values.items() if k not in ("name", "summary")}
    place = Place(find_profile(source.profile, values), folder)
    frame = table.frame[_is_short(table.frame) & (table.frame["n_classes"] <= longest)]
    if frame.empty:
        raise AnmlError(f"no recorded meta-test has {longest} classes or fewer: raise --longest")
    known = frame.drop_duplicates(ONE_META_TEST)
    cases = known[_has_model(place, known)].reset_index(drop=True)
    if cases.empty:
        raise AnmlError(
            f"{folder / 'checkpoints'} has no model of the {len(known)} recorded meta-tests of at "
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
        (score,) = point.scores(place, drawings, int(case.model_seed), runs, lambda _: None)
        same = (frame[ONE_META_TEST] == [getattr(case, name) for name in ONE_META_TEST]).all(axis=1)
        recorded = frame[same].set_index("metric")["value"]
        what = f"{point}, model {case.model_seed}, trajectory {case.trajectory_seed}"
        for metric, again, each in (
            (TRAINING, score.training, TRAINING_DRAWINGS),
            (TESTING, score.testing, DRAWINGS_PER_CLASS - TRAINING_DRAWINGS),
        ):
            size = point.n_classes * each
            checks.append(Check(what, metric, float(recorded[metric]), again, size))
    return checks


def _is_short(frame: pd.DataFrame) -> pd.Series:
    """Which rows are of meta-tests that take minutes at most to do again."""
    linear = [name for name, row in TREATMENTS.items() if not row.learns_convolutions]
    fresh = [name for name, row in TREATMENTS.items() if not train_jobs(row.training, [0])]
    one_epoch = [name for name, regime in REGIMES.items() if regime.epochs == 1]
    treatment = frame["treatment"]
    return treatment.isin(linear) | (treatment.isin(fresh) & frame["regime"].isin(one_epoch))


def _has_model(place: Place, cases: pd.DataFrame) -> list[bool]:
    """For each case, whether the model that it starts from is there, or is fresh from its seed."""
    return [
        all(
            job.result(place).is_file()
            for job in train_jobs(TREATMENTS[case.treatment].training, [int(case.model_seed)])
        )
        for case in cases.itertuples()
    ]
