"""Recorded results: what the repository keeps of a run, and whether it can be had again.

A run is recorded as its tables and the models that every treatment starts from, without their
heads, which are most of a narrow network and which meta-test draws anew: whoever has a clone can
meta-test them without meta-training.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from anml.checkpoint import load_checkpoint, save_checkpoint
from anml.data import Drawings
from anml.episodes import Stream
from anml.errors import AnmlError
from anml.files import replacing, require_writable
from anml.jobs import Place, TrainJob
from anml.packed import DRAWINGS_PER_CLASS
from anml.points import Point
from anml.profiles import find_profile
from anml.results import Table, duration, read_table
from anml.tables import TESTING, TRAINING
from anml.trajectories import TRAINING_DRAWINGS
from anml.treatments import TREATMENTS, find_training

ONE_META_TEST = ["treatment", "regime", "optimizer", "n_classes", "model_seed", "trajectory_seed"]
"""What tells one meta-test from another."""


def record(place: Place, destination: Path) -> list[Path]:
    """Copy a run's tables to `destination`, and its models, headless, to `checkpoints/` there.

    AnmlError: the run has no tables, a model is missing, or `destination` is not writable.
    """
    tables = sorted((place.folder / "results").glob("*.parquet"))
    if not tables:
        raise AnmlError(f"{place.folder} has no tables: `anml run` makes them")
    require_writable(destination)
    written = []
    for path in tables:
        with replacing(destination / path.name) as temporary:
            shutil.copyfile(path, temporary)
        written.append(destination / path.name)
    own = Place(place.profile, destination)
    for job in compared_models(place):
        tensors, header = load_checkpoint(job.result(place))
        tensors.pop("log")  # the table meta_train_log has it
        heads = [name for name in tensors if name.startswith("head.")]
        body = {name: tensor for name, tensor in tensors.items() if name not in heads}
        save_checkpoint(job.result(own), body, header | {"without": heads})
        written.append(job.result(own))
    return written


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
    for path in (path for folder in folders for path in sorted(folder.glob("*.parquet"))):
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
    table: Table, folder: Path, drawings: Drawings, sample: int, longest: int, seed: int = 0
) -> list[Check]:
    """Do a random sample of the recorded meta-tests again and compare both accuracies.

    `folder` holds `checkpoints/`; `sample`: how many meta-tests, of at most `longest` classes, in
    which only linear layers learn; `seed`: of the choice. AnmlError: other drawings than the
    table's, no such meta-test, or a model is missing.
    """
    source = table.provenance
    if drawings.fingerprint != source.data_fingerprint:
        raise AnmlError(
            f"the table was made from drawings with fingerprint {source.data_fingerprint}, these "
            f"have {drawings.fingerprint}: name the right ones with --data"
        )
    values = {k: v for k, v in source.profile_values.items() if k not in ("name", "summary")}
    place = Place(find_profile(source.profile, values), folder)
    linear = [name for name in TREATMENTS if not TREATMENTS[name].learns_convolutions]
    known = table.frame["treatment"].isin(linear) & (table.frame["n_classes"] <= longest)
    frame = table.frame[known]
    if frame.empty:
        raise AnmlError(f"no recorded meta-test has {longest} classes or fewer: raise --longest")
    cases = frame.drop_duplicates(ONE_META_TEST).reset_index(drop=True)
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
