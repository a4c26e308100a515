"""One writer at a time: locks that the system takes back when their process ends, however it ends.

The file of a lock stays and says who took it last; only the lock itself counts. So a killed run
leaves nothing that somebody would have to clear away.
"""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from anml.errors import AnmlError
from anml.store.files import require_writable


@contextmanager
def locked(path: Path, what: str, *, shared: bool = False) -> Iterator[None]:
    """Hold the lock file `path` while the block runs.

    `what`: what it protects, for the message. `shared`: several may hold it so at once, but none of
    them together with one that holds it alone.

    Raises:
        AnmlError: another process holds it, or its folder cannot be written.
    """
    require_writable(path.parent)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise AnmlError(
                f"{what} is in use by another run ({file.read().strip() or 'unknown'}): wait until "
                "it ends or stop it, or choose another folder with --out"
            ) from error
        file.truncate(0)
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        file.write(f"process {os.getpid()} on {socket.gethostname()}, since {now}\n")
        file.flush()
        yield
