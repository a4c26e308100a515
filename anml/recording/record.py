"""Recorded results: what the repository keeps of a run.

A run is recorded as its tables and the models that every treatment starts from, without their
heads, which are most of a narrow network and which meta-test draws anew: whoever has a clone can
meta-test them without meta-training. Of each model that went from length to length the furthest
state is kept in the same way. How far unfinished meta-trainings are is recorded as a table of its
own, their weights never.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from torch import Tensor

from anml.errors import AnmlError
from anml.recording.combine import LOG, combine, finish, without_recorded
from anml.recording.staged import Bodies, move_in_place, write_aside
from anml.results import Table, read_table
from anml.running.gather import UNFINISHED, table_paths
from anml.running.jobs import Place, TrainJob
from anml.running.length_names import LENGTHS, recorded_models
from anml.running.lengths import plan_lengths
from anml.store.checkpoint import load_checkpoint, read_header
from anml.store.files import require_writable
from anml.treatments import TREATMENTS, find_training

MOST_TABLE_BYTES = 20_000_000
MOST_MODEL_BYTES = 25_000_000
"""Of all recorded tables, and of all recorded models: every clone of the repository has them."""


@dataclass(frozen=True)
class Model:
    """A finished model of a run, and where it is recorded under the results' folder."""

    path: Path
    recorded: Path
    iterations: int  # that it was trained for

    def headless(self, half: bool) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and header as they are recorded; `half`: in half precision."""
        tensors, header = load_checkpoint(self.path)
        tensors.pop("log", None)  # the table meta_train_log has it; a recorded model had none
        heads = [name for name in tensors if name.startswith("head.")]
        body = {name: tensor for name, tensor in tensors.items() if name not in heads}
        if half:
            body = {name: tensor.half() for name, tensor in body.items()}
        # A run may have begun with recorded models, which were without their heads already.
        return body, header | {"without": heads or header.get("without", [])}


def record(
    place: Place, destination: Path, *, models: bool = True, half: bool = False, add: bool = False
) -> list[Path]:
    """Copy a run's tables to `destination`, and its finished models, headless, beside them.

    `models`: or none of them; `half`: in half precision. Tables and models that were recorded there
    before and that the run does not have are removed. With `add` what is there stays, and the run's
    rows and models are added; of the states of one model or meta-training the further one is kept.
    Returns what was written. What was stopped while it was recorded is finished first; the same
    call then has nothing else to do. AnmlError, before anything is recorded: the run has no tables,
    `destination` is a run's folder or not writable, the disk is full, too much would be recorded in
    all, the tables are of another profile or other values than `place`'s or older than the models,
    or what is to be added does not fit what is there.
    """
    paths = table_paths(place.folder / "results")
    if not paths:
        raise AnmlError(f"{place.folder} has no tables: `anml run` makes them")
    if (destination / "run.json").is_file():
        raise AnmlError(
            f"{destination} is the folder of a run, which recorded results would overwrite: choose "
            "another folder with --to"
        )
    asked = _request(place, paths, models, half, add)
    stopped = move_in_place(destination)
    if stopped and stopped[0] == asked:
        return stopped[1]
    finished = finished_models(place, destination) if models else []
    tables = {path.name: read_table(path) for path in paths}
    _require_own(place, tables, paths, finished)
    superseded: set[Path] = set()
    if add:
        finished = [model for model in finished if not _outdone(model, destination)]
        _refuse_other_models(finished)
        recorded = {path.name: read_table(path) for path in table_paths(destination)}
        tables = {
            name: combine(Path(name).stem, recorded[name], table) if name in recorded else table
            for name, table in without_recorded(tables, recorded).items()
        }
        tables, emptied = _finished_since(destination, tables)
        superseded = {*emptied, *_shorter(finished, destination)}
    bodies = {model.recorded: model.headless(half) for model in finished}
    standing = [*table_paths(destination), *recorded_models(destination)]
    staying = set(standing) - superseded if add else set()
    _require_room(destination, paths, bodies, staying)
    require_writable(destination, "--to")
    written = [*(destination / name for name in tables), *bodies]
    removed = sorted(set(standing) - staying - set(written))
    write_aside(destination, tables, bodies, removed, asked)
    move_in_place(destination)
    return written


def _require_own(
    place: Place, tables: Mapping[str, Table], paths: Sequence[Path], models: Sequence[Model]
) -> None:
    """AnmlError if the tables were not gathered with the profile of `place`, or before `models`."""
    asked = place.profile.values()
    for name, table in tables.items():
        held = table.provenance.profile_values
        decisive = asked.keys() - {"name", "summary"}
        apart = sorted(key for key in decisive if held.get(key, asked[key]) != asked[key])
        if table.provenance.profile != place.profile.name or apart:
            made = ", ".join([table.provenance.profile, *(f"{key}={held[key]}" for key in apart)])
            raise AnmlError(
                f"{name} in {place.folder} is of profile {made}: record it with the --profile and "
                "--set that it was gathered with"
            )
    gathered = min(path.stat().st_mtime for path in paths)
    if any(model.path.stat().st_mtime > gathered for model in models):
        raise AnmlError(
            f"{place.folder} has models that are newer than its tables: gather these again with "
            "`anml run --gather` (and --keep, where other code than this made its results)"
        )


def _request(place: Place, tables: Sequence[Path], *how: bool) -> str:
    """What tells one call of `record` from another: the run, as it is gathered, and `how`."""
    contents = sha256(b"".join(sha256(path.read_bytes()).digest() for path in tables))
    return f"{place.folder.resolve()} {how} {contents.hexdigest()}"


def finished_models(place: Place, destination: Path) -> list[Model]:
    """The models of a run that are recorded: those that the paper's treatments start from, and the
    furthest of each that was meta-trained from length to length.
    """
    own = Place(place.profile, destination)
    found = [
        Model(job.result(place), job.result(own), job.steps(place.profile))
        for job in compared_models(place)
    ]
    furthest: dict[int, Model] = {}
    for job in sorted(plan_lengths(place.profile), key=lambda job: job.iterations):
        path = job.training.result(job.own(place))
        if path.is_file():
            recorded = job.training.result(job.own(own))
            furthest[job.seed] = Model(path, recorded, job.iterations)
    # At the profile's own length it may be one of those above.
    compared = {model.path.name: model.iterations for model in found}
    lengths = [m for m in furthest.values() if compared.get(m.path.name) != m.iterations]
    return [model for model in (*found, *lengths) if model.path.is_file()]


def _finished_since(
    destination: Path, tables: dict[str, Table]
) -> tuple[dict[str, Table], list[Path]]:
    """The tables in which no meta-training is under way that the log of finished ones has, be it
    the run's or the recorded one.

    And the table of what is under way, for removal, if nothing is any more.
    """
    path = destination / f"{UNFINISHED}.parquet"
    under_way, finished = (
        tables.get(file.name) or (read_table(file) if file.is_file() else None)
        for file in (path, destination / LOG)
    )
    if under_way is None or finished is None:
        return tables, []
    left, log = finish(under_way, finished)
    if LOG not in tables and left and len(left.frame) == len(under_way.frame):
        return tables, []
    others = {name: table for name, table in tables.items() if name != path.name} | {LOG: log}
    return (others | {path.name: left}, []) if left else (others, [path])


def _refuse_other_models(models: Sequence[Model]) -> None:
    """AnmlError if one of the models is recorded already."""
    for model in models:
        if model.recorded.is_file():
            raise AnmlError(
                f"{model.recorded} is recorded already, and what was measured on it is: add "
                "--without-models, or record the run without --add"
            )


def _outdone(model: Model, folder: Path) -> bool:
    """Whether the model is from length to length, and recorded in a folder after more already."""
    if model.recorded.parent.parent == folder:
        return False
    standing = folder.glob(f"{LENGTHS}/*/checkpoints/{model.path.name}")
    lengths = [int(path.parents[1].name) for path in standing if _is_length(path)]
    own = folder / "checkpoints" / model.path.name
    lengths += [read_header(own)["iteration"]] if own.is_file() else []
    return any(length > model.iterations for length in lengths)


def _shorter(models: Sequence[Model], folder: Path) -> list[Path]:
    """What is recorded in a folder of the same models after fewer meta-iterations."""
    return [
        path
        for model in models
        for path in (folder / LENGTHS).glob(f"*/checkpoints/{model.path.name}")
        if _is_length(path) and int(path.parents[1].name) < model.iterations
    ]


def _is_length(path: Path) -> bool:
    """Whether a model lies in a folder that is named after its meta-iterations."""
    return path.parents[1].name.isdecimal()


def _require_room(
    destination: Path,
    tables: Sequence[Path],
    bodies: Bodies,
    staying: Collection[Path],
) -> None:
    """AnmlError if the recorded tables or models of all folders together would become too large.

    `staying`: what stands in `destination` and will not be removed.
    """
    parent = destination.resolve().parent
    beside = [path for path in parent.iterdir() if path.is_dir()] if parent.is_dir() else []
    others = [folder for folder in beside if folder != destination.resolve()]
    new_tables = sum(path.stat().st_size for path in tables)
    new_models = sum(t.nbytes for tensors, _ in bodies.values() for t in tensors.values())
    for what, new, most, standing, remedy in (
        ("tables", new_tables, MOST_TABLE_BYTES, table_paths, ""),
        ("models", new_models, MOST_MODEL_BYTES, recorded_models, "add --without-models, or "),
    ):
        kept = [path for folder in others for path in standing(folder)]
        kept += [path for path in standing(destination) if path in staying]
        old = sum(path.stat().st_size for path in kept)
        if new and old + new > most:
            raise AnmlError(
                f"this run's {what} have {new / 1e6:.1f} MB, and what stays in {parent} has "
                f"{old / 1e6:.1f} MB of {what}: allowed are {most / 1e6:.1f} MB in all; "
                f"{remedy}choose a folder elsewhere with --to"
            )


def compared_models(place: Place) -> list[TrainJob]:
    """The meta-trainings whose models the paper's treatments start from."""
    trainings = dict.fromkeys(treatment.training for treatment in TREATMENTS.values())
    return [
        TrainJob(name, seed)
        for name in trainings
        if find_training(name).procedure != "none"
        for seed in place.profile.model_numbers()
    ]
