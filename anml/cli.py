"""The command `anml`.

A group of subcommands is a function `add_..._parser(subparsers)` that sets `func`, a function of
the parsed arguments that returns the exit status (None for 0), and is listed in `GROUPS`. Heavy
imports belong in `func`, so that `anml --help` stays quick.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from anml import __version__, cli_results, cli_run
from anml.errors import AnmlError

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
    from anml.data_fetch import fetch

    drawings, path = fetch(args.to, force=args.force)
    print(describe(drawings, path))
    if path != fetched_path():
        print(f"to use it: export ANML_DATA={path}, or pass --data {path}")


def _data_pack(args: argparse.Namespace) -> None:
    from anml.data import describe
    from anml.data_fetch import pack

    print(describe(pack(args.src, args.dest), args.dest))
    print(f"to use it: export ANML_DATA={args.dest}, or pass --data {args.dest}")


GROUPS: tuple[Callable[[Subparsers], None], ...] = (
    add_data_parser,
    *cli_run.GROUPS,
    *cli_results.GROUPS,
)


def build_parser() -> argparse.ArgumentParser:
    """The whole command line, every group of `GROUPS` included."""
    parser = argparse.ArgumentParser(
        prog="anml",
        description="Learning to Continually Learn (ANML): meta-train and meta-test the paper's "
        "networks, and make its figures.",
        epilog="`anml COMMAND --help` explains a command.",
    )
    parser.add_argument("--version", action="version", version=f"anml {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add_group in GROUPS:
        add_group(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run `anml` with `argv` (the process's own arguments by default).

    Returns:
        The exit status: 0, 2 after an `AnmlError` (one line on stderr), 130 after Ctrl-C, 141 where
        the reader of the output has gone, as `anml profiles | head` does.
    """
    args = build_parser().parse_args(argv)
    try:
        status = args.func(args) or 0
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        try:
            print(flush=True)  # which pipe it was, only a write tells
        except BrokenPipeError:
            # What is left to write would complain once more at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 141
        raise  # it was another pipe, such as a worker's
    except AnmlError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print(f"interrupted: {stop}" if str(stop) else "interrupted", file=sys.stderr)
        return 130
