"""What `anml meta-test` does: one treatment's model, at the rate that was found for it."""

import argparse
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from anml.commands.cli_run import USUAL_RATES, prepare
from anml.commands.option_checks import LARGEST_SEED, require
from anml.errors import AnmlError

if TYPE_CHECKING:
    from anml.results import Table
    from anml.running.jobs import Place
    from anml.running.points import Point


def meta_test_treatment(args: argparse.Namespace) -> None:
    """Meta-test and print both accuracies of each trajectory, and what they are of.

    AnmlError: an option out of range, no such treatment, or no model of it in the run's folder.
    """
    from tqdm import tqdm

    from anml.meta_test import meta_test
    from anml.meta_testing.linear_learning import OPTIMIZERS
    from anml.meta_testing.regimes import find_regime
    from anml.meta_testing.trajectories import TRAINING_DRAWINGS
    from anml.meta_training.episodes import Stream
    from anml.profiles import MAX_META_TEST_CLASSES
    from anml.results import SOURCE_LABELS
    from anml.running.jobs import SEEDS_A_MODEL, Place, make_runs, trajectory_seeds, treatment_model
    from anml.running.points import Point
    from anml.treatments import find_treatment

    treatment, regime = find_treatment(args.treatment), find_regime(args.regime)
    require(args.n_classes, "--n-classes", 1, MAX_META_TEST_CLASSES)
    require(args.learning_rate, "--learning-rate", 1e-9, 10)
    require(args.model_seed, "--model-seed", 0, LARGEST_SEED)
    require(args.trajectories, "--trajectories", 1, SEEDS_A_MODEL)
    if args.optimizer not in OPTIMIZERS:
        raise AnmlError(f"--optimizer {args.optimizer}: choose one of {', '.join(OPTIMIZERS)}")
    profile, drawings, folder = prepare(args)
    place = Place(profile, folder, args.device)
    path = model_file(place, treatment.training, args.model_seed)
    model = treatment_model(place, treatment.training, args.model_seed)
    if path:
        _say_of_other_drawings(path, drawings.fingerprint)
    point = Point(treatment.name, args.n_classes, args.optimizer, regime.name)
    rate, how = args.learning_rate, "as given"
    if rate is None:
        rate, how = searched_rate(place, point, args.model_seed)
    print(
        f"data: {SOURCE_LABELS[drawings.source]} (fingerprint {drawings.fingerprint}); "
        f"model: {path or f'fresh, seed {args.model_seed}'}; N = {args.n_classes}; "
        f"optimiser: {args.optimizer}"
    )
    print(f"rate {rate:g}, {how}", flush=True)
    seeds = trajectory_seeds(args.model_seed, args.trajectories)
    runs = make_runs(profile, args.n_classes, seeds, [rate], Stream.TRAJECTORY, regime)
    total = len(runs) * args.n_classes * TRAINING_DRAWINGS * regime.epochs
    with tqdm(total=total, desc=f"meta-test {treatment.name}", unit="drawing") as bar:
        scores = meta_test(treatment, model, drawings, runs, args.optimizer, bar.update)
    for score in scores:
        print(
            f"{treatment.name}, {regime.name}, {args.n_classes} classes, "
            f"trajectory {score.run.trajectory.seed}: "
            f"meta-test training accuracy {100 * score.training:.1f}%, "
            f"meta-test testing accuracy {100 * score.testing:.1f}%"
        )


def model_file(place: "Place", training: str, seed: int) -> Path | None:
    """Where the model of `seed` lies; None for a fresh one.

    AnmlError: there is none; it names the models of that meta-training that the folder has.
    """
    from anml.running.jobs import TrainJob, train_jobs
    from anml.running.length_names import recorded_models

    if not train_jobs(training, [seed]):
        return None
    path = TrainJob(training, seed).result(place)
    if path.is_file():
        return path
    name = re.compile(rf"{re.escape(training)}-seed(\d+)\.safetensors")
    there = [(file, name.fullmatch(file.name)) for file in recorded_models(place.folder)]
    folders: dict[Path, list[int]] = {}
    for file, match in there:
        if match:
            folders.setdefault(file.parent.parent, []).append(int(match[1]))
    advice = [_how_to_take(folder, sorted(own), place, seed) for folder, own in folders.items()]
    raise AnmlError(
        f"no checkpoint at {path}: "
        + ("; ".join(advice) or "run the meta-training that makes it first")
    )


def _how_to_take(folder: Path, seeds: list[int], place: "Place", asked: int) -> str:
    """What to add to the command to meta-test a model that a folder, or a length's in it, has."""
    there = f"there {'are seeds' if len(seeds) > 1 else 'is seed'} {', '.join(map(str, seeds))}"
    options = []
    if folder != place.folder:  # of a length
        there += f" after {folder.name} iterations"
        options.append(f"--out {folder}")
    if asked not in seeds:
        options.append(f"--model-seed {seeds[0]}")
    return f"{there}: add {' '.join(options)}"


def _say_of_other_drawings(path: Path, fingerprint: str) -> None:
    """A notice where a model was meta-trained on other drawings than those in use."""
    from anml.results import SOURCE_LABELS
    from anml.store.checkpoint import read_header

    header = read_header(path)
    its, source = (header.get(f"data_{name}") for name in ("fingerprint", "source"))
    if its != fingerprint:
        print(
            f"NOTICE: {path} was meta-trained on other drawings "
            f"({SOURCE_LABELS.get(source, source)}, fingerprint {its}) than it is meta-tested on "
            f"({fingerprint}): choose others with --data",
            file=sys.stderr,
        )


def searched_rate(place: "Place", point: "Point", seed: int) -> tuple[float, str]:
    """The rate that the searches in a folder of results found for a point, and which search it was.

    That of the nearest N, as in a run (`anml.running.points.searched_for`); of `USUAL_RATES` if
    there is none.
    """
    from anml.findings.rates_found import found_rates
    from anml.results import SOURCE_LABELS
    from anml.running.points import searched_for

    order = searched_for(place.profile, point).regime
    table = _searches(place.folder, seed)
    if table is not None:
        found = found_rates(table, [point.treatment], [order], point.optimizer)
        rates: dict[int, float] = dict(zip(found["n_classes"], found["learning_rate"], strict=True))
        if rates:
            numbers = tuple(rates)
            profile = replace(
                place.profile, search_n_classes=numbers, network_search_n_classes=numbers
            )
            nearest = searched_for(profile, point).n_classes
            source = table.provenance
            data = SOURCE_LABELS.get(source.data_source, source.data_source)
            return rates[nearest], f"found for N = {nearest} (profile {source.profile}, {data})"
    kind = f"this treatment ({order}, {point.optimizer})"
    return USUAL_RATES[point.optimizer], f"not searched for {kind} in {place.folder}"


def _searches(folder: Path, seed: int) -> "Table | None":
    """The searches in a run's folder, or in one of recorded results; None if there are none.

    In the folder of a length: the search of its model of `seed`, whose table lies with the run's.
    """
    from anml.results import read_table
    from anml.running.length_names import LENGTHS

    folder = folder.resolve()
    of_length = folder.parent.name == LENGTHS and folder.name.isdecimal()
    run = folder.parent.parent if of_length else folder
    name = "length_rates.parquet" if of_length else "learning_rates.parquet"
    path = next((one / name for one in (run, run / "results") if (one / name).is_file()), None)
    if path is None:
        return None
    table = read_table(path)
    if not of_length:
        return table
    frame = table.frame
    its = (frame["iterations"] == int(folder.name)) & (frame["model_seed"] == seed)
    return replace(table, frame=frame[its])
