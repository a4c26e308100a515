"""The command `anml`.

A group of subcommands is a function `add_..._parser(subparsers)` that sets `func`, a function of
the parsed arguments that returns the exit status (None for 0), and is listed in `GROUPS`. Heavy
imports belong in `func`, so that `anml --help` stays quick.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from anml import __version__
from anml.commands import cli_data, cli_results, cli_run
from anml.commands.cli_data import Subparsers
from anml.errors import AnmlError

GROUPS: tuple[Callable[[Subparsers], None], ...] = (
    *cli_data.GROUPS,
    *cli_run.GROUPS,
    *cli_results.GROUPS,
)


class Parser(argparse.ArgumentParser):
    """One that says in one line which option's value is wrong, as an `AnmlError` does."""

    def error(self, message: str) -> NoReturn:
        """End with status 2; with the usage, too, where a command is missing or unknown."""
        if message.startswith("argument -"):
            self.exit(2, f"error: {message}: see `{self.prog} --help`\n")
        super().error(message)


def build_parser() -> Parser:
    """The whole command line, every group of `GROUPS` included."""
    parser = Parser(
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
        The exit status: 0, 2 after an `AnmlError` or for want of a GPU's memory (one line on
        stderr), 130 after Ctrl-C, 141 where the reader of the output has gone, as
        `anml profiles | head` does.
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
    except RuntimeError as error:
        if not _is_of_gpu_memory(error):
            raise
        print(
            "error: the GPU has too little free memory for this: end what else runs on it, leave "
            "--device out, or, if it was meta-training several seeds, name fewer at a time, such "
            "as `anml meta-train anml --seeds 0-4 --resume`; what is finished stays",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt as stop:
        print(f"interrupted: {stop}" if str(stop) else "interrupted", file=sys.stderr)
        return 130


def _is_of_gpu_memory(error: RuntimeError) -> bool:
    """Whether it is torch that says that a GPU has no memory left."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(error, torch.OutOfMemoryError)
