"""The subcommands about what a run will take and what is recorded: `anml plan`, `anml results`."""

import argparse
import sys
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING

from anml.commands.cli_run import (
    Subparsers,
    add_common,
    add_keep,
    add_recorded,
    add_workers,
    prepare,
)
from anml.commands.option_checks import require

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_SAMPLE = 4
DEFAULT_LONGEST = 100
VERIFIED = ("meta_test", "lengths", "knn", "knn_distances")


def add_plan_parser(subparsers: Subparsers) -> None:
    """Add `anml plan`."""
    parser = subparsers.add_parser(
        "plan",
        help="estimate what a run will take here",
        description="Time a few steps of everything that a profile asks for on this machine, and "
        "print how long all of it would take, what of it is finished, and the room on the disk.",
    )
    add_common(parser)
    add_workers(parser)
    add_keep(parser)
    parser.add_argument("--csv", type=Path, help="write the estimate here as well")
    parser.set_defaults(func=_plan)


def add_results_parser(subparsers: Subparsers) -> None:
    """Add `anml results show`, `verify` and `record`."""
    group = subparsers.add_parser(
        "results",
        help="show, verify or record results",
        description="Recorded results are tables, with where they come from inside each, and the "
        "models that they were measured on.",
    )
    commands = group.add_subparsers(title="commands", metavar="COMMAND", required=True)

    show = commands.add_parser(
        "show",
        help="list what is recorded",
        description="List tables and models, and where they come from.",
    )
    show.add_argument(
        "folders", nargs="*", type=Path, help="folders of results (default: those of results/)"
    )
    show.set_defaults(func=_show)

    verify = commands.add_parser(
        "verify",
        help="measure a sample of recorded numbers again",
        description="Do a random sample of the recorded meta-tests again, or ask again for the "
        "nearest neighbours in recorded layers, from the recorded models or, for Scratch, from "
        "fresh ones, and compare. Exit status 1 if one differs by more than two drawings and one "
        "point.",
    )
    add_recorded(verify)
    verify.add_argument(
        "--folder", type=Path, help="the recorded results (default: results/<profile>)"
    )
    verify.add_argument(
        "--table",
        choices=VERIFIED,
        help="of which table (default: the first of them that is recorded)",
    )
    verify.add_argument(
        "--sample", type=int, default=DEFAULT_SAMPLE, help=f"default: {DEFAULT_SAMPLE}"
    )
    verify.add_argument(
        "--longest",
        type=int,
        help=f"meta-tests of at most so many classes (default: {DEFAULT_LONGEST}); not for "
        "neighbours",
    )
    verify.add_argument("--seed", type=int, default=0, help="of the choice (default: 0)")
    verify.set_defaults(func=_verify)

    record = commands.add_parser(
        "record",
        help="keep a run's tables and models",
        description="Copy the tables of a run to results/<profile>, and its finished models "
        "without their heads, which meta-test draws anew. What was recorded there before and the "
        "run does not have is removed, unless you say --add.",
    )
    add_common(record)
    record.add_argument("--to", type=Path, help="another folder")
    record.add_argument(
        "--add",
        action="store_true",
        help="keep what is recorded there, and add the rows and models of this run, which must be "
        "others: of more models, say, that another machine made",
    )
    record.add_argument(
        "--without-models", action="store_true", help="keep the tables alone, and no model"
    )
    record.add_argument(
        "--half", action="store_true", help="keep the models in half precision, at half the size"
    )
    record.set_defaults(func=_record)


GROUPS = (add_plan_parser, add_results_parser)


def _plan(args: argparse.Namespace) -> None:
    import pandas as pd

    from anml.results import duration
    from anml.running.disk import bytes_to_write, free_bytes
    from anml.running.estimate import estimate
    from anml.running.jobs import Place
    from anml.running.pipeline import default_workers
    from anml.running.plan import plan
    from anml.running.staleness import stale_jobs
    from anml.store.files import replacing, require_file

    require(args.workers, "--workers", 1)
    profile, drawings, folder = prepare(args)
    if args.csv:
        require_file(args.csv, "--csv")
    place = Place(profile, folder, args.device, args.keep)
    workers = args.workers or default_workers(args.device)
    jobs = plan(profile)
    again = [] if args.keep else stale_jobs(place, jobs, jobs)
    found = estimate(place, drawings, jobs, again)
    columns = ["stage", "group", "jobs", "finished", "seconds"]
    frame = pd.DataFrame([astuple(one) for one in found], columns=columns)
    stages = frame.groupby("stage", sort=False, as_index=False)[columns[2:]].sum()
    left = stages.pop("seconds").map(duration)
    _print_table(stages.assign(**{"left, one thread": left}))
    if args.csv:
        with replacing(args.csv) as temporary:
            frame.to_csv(temporary, index=False, float_format="%.0f")
    total = frame["seconds"].sum()
    needed, free = bytes_to_write(place, jobs, again), free_bytes(folder.absolute())
    print(
        f"{profile.name} on {drawings.source}, folder {folder}: about {duration(total / workers)} "
        f"with {workers} processes here ({duration(total)} of one thread)"
    )
    print(f"disk: about {needed / 1e9:.2f} GB to write, {free / 1e9:.1f} GB free")


def _show(args: argparse.Namespace) -> None:
    from anml.errors import AnmlError
    from anml.findings.found_tables import repository_root
    from anml.recording.contents import models_beside, recorded_tables

    folders = args.folders or sorted((repository_root() / "results").iterdir())
    found, models = recorded_tables(folders), models_beside(folders)
    if found.empty and models.empty:
        raise AnmlError(
            f"no tables or models in {', '.join(map(str, folders))}: name a folder of results, or "
            "that of a run (its tables are in its results/)"
        )
    for frame in (found, models):
        if not frame.empty:
            _print_table(frame)
            print()


def _verify(args: argparse.Namespace) -> int:
    import pandas as pd

    from anml.errors import AnmlError
    from anml.findings.found_tables import repository_root
    from anml.recording.verify import verify
    from anml.recording.verify_probes import PROBE_TABLES, verify_neighbours
    from anml.results import read_table

    require(args.sample, "--sample", 1)
    require(args.longest, "--longest", 1)
    require(args.seed, "--seed", 0)
    profile, drawings, _ = prepare(args)
    folder = args.folder or repository_root() / "results" / profile.name
    there = [name for name in VERIFIED if (folder / f"{name}.parquet").is_file()]
    name = args.table or next(iter(there), VERIFIED[0])
    if name in PROBE_TABLES and args.longest is not None:
        raise AnmlError(
            f"--longest is about meta-tests, and {name} has none: leave it out or choose another "
            "--table"
        )
    asked = {
        "table": read_table(folder / f"{name}.parquet"),
        **{"folder": folder, "drawings": drawings, "device": args.device},
        **{"sample": args.sample, "seed": args.seed},
        "tell": lambda line: print(line, file=sys.stderr),
    }
    checks = (
        verify_neighbours(**asked)
        if name in PROBE_TABLES
        else verify(**asked, longest=args.longest or DEFAULT_LONGEST)
    )
    rows = [
        {
            "of": check.what,
            "metric": check.metric,
            "recorded": f"{100 * check.recorded:.2f}%",
            "again": f"{100 * check.again:.2f}%",
            "": "agrees" if check.agrees else "DIFFERS",
        }
        for check in checks
    ]
    _print_table(pd.DataFrame(rows))
    return int(not all(check.agrees for check in checks))


def _record(args: argparse.Namespace) -> None:
    from anml.errors import AnmlError
    from anml.findings.found_tables import repository_root
    from anml.profiles import PROFILES
    from anml.recording.combine import same_but_for_extent
    from anml.recording.record import record
    from anml.running.jobs import Place

    profile, _, folder = prepare(args)
    usual = repository_root() / "results" / profile.name
    destination = args.to or usual
    standard = PROFILES[profile.name]
    fits = profile == standard or (args.add and same_but_for_extent(profile, standard))
    if not fits and destination.resolve() == usual.resolve():
        raise AnmlError(
            f"{usual} holds results of the profile {profile.name} as it is, not with the values of "
            "--set: choose another folder with --to"
        )
    place = Place(profile, folder, args.device)
    written = record(
        place, destination, models=not args.without_models, half=args.half, add=args.add
    )
    for path in written:
        print(path)


def _print_table(frame: "pd.DataFrame") -> None:
    print(frame.to_string(index=False))
