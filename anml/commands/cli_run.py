"""The subcommands that compute: `anml profiles`, `meta-train`, `meta-test` and `run`."""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anml.commands.cli_data import Subparsers, add_data_option
from anml.commands.option_checks import LARGEST_SEED, refuse_beside, require
from anml.errors import AnmlError

if TYPE_CHECKING:
    from anml.profiles import Profile

USUAL_RATES = {"adam": 1e-3, "sgd": 1e-2}
"""At meta-test, where none was searched: Adam's largest of the released code's, and what searches
found for ANML with SGD.
"""
MOST_SEEDS = 1000
"""Side by side: each takes memory of its own."""
MOST_THREADS = 1024
"""Or processes: more than any machine has use for."""


def add_profiles_parser(subparsers: Subparsers) -> None:
    """Add `anml profiles`."""
    parser = subparsers.add_parser(
        "profiles",
        help="show the four sizes of the experiment",
        description="Show the values of every profile: smoke, quick, laptop and paper.",
    )
    parser.set_defaults(func=_profiles)


def add_meta_train_parser(subparsers: Subparsers) -> None:
    """Add `anml meta-train`."""
    parser = subparsers.add_parser(
        "meta-train",
        help="meta-train one network",
        description="Meta-train one network with one seed or several at once, and save its "
        "models. A working checkpoint is written every few minutes and on Ctrl-C.",
    )
    parser.add_argument("training", help="what to meta-train: anml, oml, pretrain, ...")
    add_common(parser)
    parser.add_argument(
        "--seeds", default="0", help="seeds, trained side by side: 0 or 0,1,2 or 0-9 (default: 0)"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on from the working checkpoint if there is one"
    )
    parser.add_argument(
        "--from",
        dest="recorded",
        metavar="FOLDER",
        type=Path,
        help="where there is no working checkpoint: go on from the recorded models in this folder",
    )
    parser.add_argument(
        "--keep", action="store_true", help="with --resume: go on even if other code began it"
    )
    parser.add_argument("--threads", type=int, help="CPU threads (default: one a core)")
    parser.add_argument(
        "--tf32", action="store_true", help="on a GPU, compute products in TF32: faster, rounder"
    )
    parser.set_defaults(func=_meta_train)


def add_meta_test_parser(subparsers: Subparsers) -> None:
    """Add `anml meta-test`."""
    parser = subparsers.add_parser(
        "meta-test",
        help="meta-test one treatment",
        description="Let one treatment's model learn unseen classes one after another, and print "
        "its meta-test training and testing accuracy.",
    )
    parser.add_argument("treatment", help="the treatment: ANML, OML, OML-OLFT, ...")
    add_common(parser)
    parser.add_argument("--n-classes", type=int, default=50, help="classes to learn (default: 50)")
    parser.add_argument(
        "--learning-rate",
        type=float,
        help="default: the one that the searches in --out found for this treatment, or else "
        + ", ".join(f"{rate:g} with {name}" for name, rate in USUAL_RATES.items()),
    )
    parser.add_argument("--optimizer", default="adam", help="adam (the default) or sgd")
    parser.add_argument(
        "--regime",
        default="sequential",
        help="sequential (the default), oracle (drawings shuffled) or 'oracle 20 epochs'",
    )
    parser.add_argument("--model-seed", type=int, default=0, help="which model (default: 0)")
    parser.add_argument("--trajectories", type=int, default=3, help="how many (default: 3)")
    parser.set_defaults(func=_meta_test)


def add_run_parser(subparsers: Subparsers) -> None:
    """Add `anml run`."""
    parser = subparsers.add_parser(
        "run",
        help="do everything that a profile asks for",
        description="Meta-train and meta-test every treatment at a profile's size, probe what was "
        "learned, and write the tables that the notebooks read. Running it again does only what is "
        "missing.",
    )
    add_common(parser)
    add_workers(parser)
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="TEXT",
        help="do the jobs with this text in their name, and what they wait for, such as "
        "'--only ANML,'; can be repeated",
    )
    parser.add_argument(
        "--gather",
        action="store_true",
        help="do no job: write tables from what is finished, and one of how far meta-trainings are "
        "that are under way",
    )
    parser.add_argument(
        "--group",
        help="do one group of jobs and write no table, as a workflow does that shares a run out; "
        "several may be at work in one folder",
    )
    add_keep(parser)
    parser.set_defaults(func=_run)


GROUPS = (add_profiles_parser, add_meta_train_parser, add_meta_test_parser, add_run_parser)


def add_keep(parser: argparse.ArgumentParser) -> None:
    """Add the option of what looks at a run's finished results."""
    parser.add_argument(
        "--keep",
        action="store_true",
        help="take what is finished as it is, even if code that decides its numbers has changed",
    )


def add_recorded(parser: argparse.ArgumentParser) -> None:
    """Add the options of what works with recorded results: a profile's values are theirs."""
    add_data_option(parser)
    parser.add_argument(
        "--profile", default="smoke", help="smoke (the default), quick, laptop, paper"
    )
    parser.add_argument("--device", default="cpu", help="cpu (the default) or cuda")
    parser.set_defaults(set=[], out=None)


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add the options that every computing subcommand has."""
    add_recorded(parser)
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="replace one value of the profile, such as meta_iterations=500; can be repeated",
    )
    parser.add_argument(
        "--out", type=Path, help="the run's folder (default: runs/<profile>-<data source>)"
    )


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Add the option of a whole run that says how many processes share it."""
    parser.add_argument(
        "--workers",
        type=int,
        help="processes (default: one a core; on a GPU, which they would share, one)",
    )


def read_overrides(items: Iterable[str]) -> dict[str, str]:
    """Single values of the profile from 'NAME=VALUE' texts; AnmlError says how to write one."""
    pairs = [item.partition("=") for item in items]
    for name, sign, _ in pairs:
        if not sign:
            raise AnmlError(f"--set {name}: write NAME=VALUE, such as --set meta_iterations=500")
    return {name.strip(): value for name, _, value in pairs}


def prepare(args: argparse.Namespace) -> tuple["Profile", Any, Path]:
    """Profile, drawings and run folder of a subcommand; names are checked before data is loaded.

    Raises:
        AnmlError: there is no such profile, value, device or data.
    """
    import torch

    from anml import data
    from anml.meta_training.precision import choose_float32
    from anml.process import prepare_process
    from anml.profiles import find_profile
    from anml.running.pipeline import default_folder

    overrides = read_overrides(args.set)
    profile = find_profile(args.profile, overrides)
    devices = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    if args.device not in devices + ["cuda"] * (len(devices) > 1):
        raise AnmlError(
            f"--device {args.device}: not available here: choose one of {', '.join(devices)}"
        )
    prepare_process()
    choose_float32(tf32=False)  # meta-training may be asked for another
    drawings = data.load(args.data)
    return profile, drawings, args.out or default_folder(profile, drawings.source, overrides)


def _seeds(text: str) -> tuple[int, ...]:
    """Seeds from '0', '0,1,2' or '0-9'."""
    try:
        ends = [[int(end) for end in part.split("-", 1)] for part in text.split(",")]
    except ValueError:
        ends = []
    for end in ends:
        require(max(end), "--seeds", 0, LARGEST_SEED)
    if any(end[-1] < end[0] for end in ends):
        ends = []
    count = sum(end[-1] - end[0] + 1 for end in ends)
    if count > MOST_SEEDS:
        raise AnmlError(f"--seeds {text}: {count:,} seeds, allowed are {MOST_SEEDS:,} at a time")
    seeds = [seed for end in ends for seed in range(end[0], end[-1] + 1)]
    if not seeds or len(set(seeds)) != len(seeds):
        raise AnmlError(f"--seeds {text}: write 0, or 0,1,2, or 0-9")
    return tuple(sorted(seeds))


def _profiles(args: argparse.Namespace) -> None:
    from anml.profiles import PROFILES

    for profile in PROFILES.values():
        print(f"{profile.name}: {profile.summary}")
        for name, value in profile.values().items():
            if name not in ("name", "summary"):
                text = ",".join(map(str, value)) if isinstance(value, list) else value
                print(f"    {name} = {text}")


def _meta_train(args: argparse.Namespace) -> None:
    import torch

    from anml.meta_train import Job, meta_train
    from anml.meta_training.finished_models import refuse_overwriting
    from anml.meta_training.warm_start import warm_start
    from anml.running.jobs import Place, TrainJob
    from anml.running.pipeline import alone
    from anml.running.side_by_side import begun_otherwise, split_off
    from anml.treatments import TRAININGS, find_training

    training, seeds = find_training(args.training), _seeds(args.seeds)
    if training.procedure == "none":
        trained = [name for name, row in TRAININGS.items() if row.procedure != "none"]
        raise AnmlError(
            f"{training.name} is never meta-trained: choose one of {', '.join(trained)}"
        )
    require(args.threads, "--threads", 1, MOST_THREADS)
    if args.tf32 and args.device == "cpu":
        raise AnmlError("--tf32 is for a GPU: add --device cuda or leave it out")
    if args.keep and not args.resume:
        raise AnmlError("--keep is for what is gone on with: add --resume or leave it out")
    profile, drawings, folder = prepare(args)
    if args.threads:
        torch.set_num_threads(args.threads)
    job = Job(
        *(training, profile, drawings, seeds, folder / "checkpoints"),
        device=args.device,
        tf32=args.tf32,
    )
    finished = all(job.model_path(seed).is_file() for seed in seeds)
    if job.resume_path.is_file() and not finished and not args.resume:
        raise AnmlError(
            f"{job.resume_path} holds an unfinished run: add --resume to go on, "
            "or delete that file to start afresh"
        )
    place = Place(profile, folder, args.device, args.keep)
    sharing = begun_otherwise(place, training.name, seeds)
    taken = sorted({*seeds, *(seed for working in sharing for seed in working.seeds)})
    with alone(place, drawings, [TrainJob(training.name, seed) for seed in taken]) as log:
        refuse_overwriting(job, args.resume)
        if not finished:
            split_off(job, place, args.resume)
        begins = args.recorded and not finished and not job.resume_path.is_file()
        if begins:
            warm_start(job, args.recorded)
        paths = meta_train(job, resume=args.resume or begins, keep=args.keep)
        log.write("finished")
    for path in paths:
        print(path)


def _meta_test(args: argparse.Namespace) -> None:
    from anml.commands.cli_meta_test import meta_test_treatment  # which needs this module

    meta_test_treatment(args)


def _run(args: argparse.Namespace) -> None:
    from anml.running.groups import find_group
    from anml.running.jobs import Place
    from anml.running.pipeline import gather, run, run_group
    from anml.store.interrupt import Interrupted

    require(args.workers, "--workers", 1, MOST_THREADS)
    refuse_beside(args, "--group", "--only", "--gather")
    refuse_beside(args, "--gather", "--only", "--workers")
    profile, drawings, folder = prepare(args)
    print(
        f"{profile.name}: {profile.summary}; data: {drawings.source}; folder: {folder}",
        file=sys.stderr,
    )
    place = Place(profile, folder, args.device, args.keep)
    try:
        if args.group:
            group = find_group(profile, args.group)
            run_group(place, drawings, args.data, group, args.workers or 1)
            return
        if args.gather:
            tables, missing = gather(place, drawings)
        else:
            tables, missing = run(
                *(profile, drawings, args.data, folder),
                only=args.only,
                device=args.device,
                workers=args.workers,
                keep=args.keep,
            )
    except KeyboardInterrupt as stop:
        raise Interrupted(
            f"stopped; what is finished is in {folder}: run the same command to go on"
        ) from stop
    if missing:
        print(f"{missing} jobs are missing: run without --only and --gather", file=sys.stderr)
    print(tables)
