"""The subcommands about the drawings: `anml data info`, `fetch` and `pack`."""

import argparse
from pathlib import Path
from typing import Any

# argparse does not name the type of the object that `add_subparsers` returns.
Subparsers = Any

DATA_HELP = (
    "where the drawings come from: 'auto' (the default: the file that ANML_DATA names, else what "
    "`anml data fetch` got, else the embedded drawings), 'omniglot' (the real data set, or stop), "
    "'glyphs' (the embedded drawings, which are NOT Omniglot), or the path of a packed .npz"
)


def add_data_option(parser: argparse.ArgumentParser) -> None:
    """Give a subcommand the option `--data`, as `anml.data.load` takes it."""
    parser.add_argument("--data", default="auto", metavar="SOURCE", help=DATA_HELP)


def add_data_parser(subparsers: Subparsers) -> None:
    """Add `anml data info`, `fetch` and `pack`."""
    group = subparsers.add_parser(
        "data",
        help="show, download or pack the drawings",
        description="The drawings that the networks learn: see what is used, or get Omniglot. "
        "Nothing is ever downloaded except by `anml data fetch`.",
    )
    commands = group.add_subparsers(title="commands", metavar="COMMAND", required=True)

    info = commands.add_parser(
        "info", help="show which drawings are used", description="Show which drawings are used."
    )
    info.add_argument("data", nargs="?", default="auto", metavar="DATA", help=DATA_HELP)
    info.set_defaults(func=_data_info)

    fetch = commands.add_parser(
        "fetch",
        help="download Omniglot",
        description="Download Omniglot with torchvision, shrink its drawings to "
        "28 x 28 and pack them into one file, where `--data auto` and `--data omniglot` find it.",
    )
    fetch.add_argument(
        "--to",
        type=Path,
        metavar="FILE",
        help="write this .npz instead of omniglot28.npz in the cache folder "
        "(ANML_CACHE, or ~/.cache/anml)",
    )
    fetch.add_argument("--force", action="store_true", help="download even if it is already there")
    fetch.set_defaults(func=_data_fetch)

    pack = commands.add_parser(
        "pack",
        help="pack an Omniglot that you already have",
        description="Pack a folder with images_background and images_evaluation (the data set's "
        "two zip files, unpacked, or torchvision's folder) into one .npz file.",
    )
    pack.add_argument("src", type=Path, metavar="SRC", help="the folder")
    pack.add_argument("dest", type=Path, metavar="DEST", help="the .npz file to write")
    pack.set_defaults(func=_data_pack)


def _data_info(args: argparse.Namespace) -> None:
    from anml.data import describe, load, locate

    print(describe(load(args.data), locate(args.data)))


def _data_fetch(args: argparse.Namespace) -> None:
    from anml.data import describe, fetched_path
    from anml.drawings.data_fetch import fetch

    drawings, path = fetch(args.to, force=args.force)
    print(describe(drawings, path))
    if path != fetched_path():
        print(f"to use it: export ANML_DATA={path}, or pass --data {path}")


def _data_pack(args: argparse.Namespace) -> None:
    from anml.data import describe
    from anml.drawings.data_fetch import pack

    print(describe(pack(args.src, args.dest), args.dest))
    print(f"to use it: export ANML_DATA={args.dest}, or pass --data {args.dest}")


GROUPS = (add_data_parser,)
