"""Subcommands called in this process, at a tiny profile."""

import pytest
from tiny_profile import TINY

from anml import cli


def values(**changes: object) -> list[str]:
    """The tiny profile as options of a command line."""
    merged = {**TINY, **changes}
    texts = {k: ",".join(map(str, v)) if isinstance(v, tuple) else v for k, v in merged.items()}
    return [f"--set={name}={text}" for name, text in texts.items()]


def outcome(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """The exit status of a command, and what it wrote to stdout and stderr."""
    status = cli.main([str(argument) for argument in arguments])
    return status, *capsys.readouterr()
