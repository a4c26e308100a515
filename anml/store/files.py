"""Writing files so that an interruption leaves the old one, never half of a new one."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

from anml.errors import AnmlError

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}(\.\w+)?")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; when the block ends well, it becomes `path`.

    On any exception, Ctrl-C included, the temporary file goes and the old file stays. The contents
    are on the disk before the name is, so that a power cut cannot leave an empty file under it.
    """
    # The suffix is kept because writers choose their format by it; the dot hides it from globs.
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def telling_failure(path: Path) -> Iterator[None]:
    """Say in one line why `path` cannot be written while the block runs: the disk may be full.

    Raises:
        AnmlError: the system refused.
    """
    try:
        yield
    except OSError as error:
        raise AnmlError(
            f"cannot write {path}: {error.strerror or error}; "
            "free some space, then run the same command to go on"
        ) from error


def clear_leftovers(folder: Path) -> None:
    """Delete what killed processes were writing anywhere in `folder`; nobody may be writing now."""
    for path in folder.rglob(".*"):
        if _TEMPORARY.fullmatch(path.name):
            path.unlink(missing_ok=True)


def require_file(path: Path, option: str) -> None:
    """As `require_writable`, for a file that will be written; AnmlError if it is a folder, too."""
    if path.is_dir():
        raise AnmlError(f"{path} is a folder: choose a file with {option}")
    require_writable(path.parent, option)


def require_writable(folder: Path, option: str = "--out") -> None:
    """Make `folder` if need be and try to write in it, before the work and not after it.

    `option`: what the user chose it with.

    Raises:
        AnmlError: it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise AnmlError(
            f"cannot write to the folder {folder}: {error.strerror or error}; "
            f"choose another one with {option}"
        ) from error
