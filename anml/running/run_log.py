"""A run's log: a file a start, one line an event, for whoever asks later what was done when."""

import platform
import sys
from datetime import datetime
from pathlib import Path

from anml import __version__
from anml.results import git_commit
from anml.store.files import require_writable, telling_failure


class RunLog:
    """Appends lines to a file of its own in `folder`."""

    def __init__(self, folder: Path) -> None:
        """Begin the file: which command, code and machine. AnmlError: `folder` is not writable."""
        require_writable(folder)
        now = datetime.now().astimezone()
        self.path = folder / f"{now:%Y%m%dT%H%M%S%f}.log"
        self.write(f"anml {__version__}, commit {git_commit()}, on {platform.machine()}")
        self.write("command: " + " ".join(["anml", *sys.argv[1:]]))

    def write(self, text: str) -> None:
        """Add one line with the time. AnmlError: the disk is full, or the file is not writable."""
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        with telling_failure(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(f"{now}  {text}\n")
