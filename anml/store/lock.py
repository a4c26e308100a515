"""One writer at a time: locks that the system takes back when their process ends, however it ends.

The file of a lock stays and says who took it last; only the lock itself counts. So a killed run
leaves nothing that somebody would have to clear away.
"""

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TextIO

from anml.errors import AnmlError
from anml.store.files import require_writable, telling_failure

RETRY_SECONDS = 0.05
"""Who waits for a lock asks again about this often."""


@contextmanager
def locked(
    path: Path, what: str, *, shared: bool = False, wait_seconds: float = 0
) -> Iterator[None]:
    """Hold the lock file `path` while the block runs.

    `what`: what it protects, for the message. `shared`: several may hold it so at once, but none of
    them together with one that holds it alone. `wait_seconds`: how long to wait for it, as for one
    that is held briefly.

    Raises:
        AnmlError: another process holds it, or its folder cannot be written or locked.
    """
    require_writable(path.parent)
    with telling_failure(path):
        file = path.open("a+")
    with file:
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        give_up = time.monotonic() + wait_seconds
        while not _taken(file, kind, path):
            if time.monotonic() >= give_up:
                file.seek(0)
                holder = file.read().strip() or "unknown"
                raise AnmlError(
                    f"{what} is in use by another run ({holder}): wait until it ends or stop it, "
                    "or choose another folder with --out"
                )
            time.sleep(RETRY_SECONDS)
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        line = f"process {os.getpid()} on {socket.gethostname()}, since {now}\n"
        with telling_failure(path):
            file.truncate(0)
            os.write(file.fileno(), line.encode())  # nothing stays to be written when it is closed
        yield


def _taken(file: TextIO, kind: int, path: Path) -> bool:
    """Take the lock of a file, `fcntl.LOCK_SH` or `LOCK_EX`, unless another process has it.

    AnmlError: its file system has no locks.
    """
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise AnmlError(
            f"cannot lock {path}: {error.strerror or error}; choose a folder on a disk of this "
            "machine, or on one that offers locks, with --out"
        ) from error
    return True
