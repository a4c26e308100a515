"""Writing files so that an interruption leaves the old one, never half of a new one."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

from anml.errors import AnmlError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; when the block ends well, it becomes `path`.

    On any exception, Ctrl-C included, the temporary file goes and the old file stays.
    """
    # The suffix is kept because writers choose their format by it; the dot hides it from globs.
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def require_writable(folder: Path) -> None:
    """Make `folder` if need be and try to write in it, before the work and not after it.

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
            "choose another one with --out"
        ) from error
