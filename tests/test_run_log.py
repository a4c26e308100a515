"""A run's log: what it says first, and that a disk without room is one line."""

import errno
from pathlib import Path

import pytest
from refusal import refusal

from anml.running.run_log import RunLog


def test_it_begins_with_the_code_and_the_command(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "logs")
    log.write("done: something")
    code, command, event = log.path.read_text().splitlines()
    assert "commit" in code
    assert "command: anml" in command
    assert event.endswith("done: something")


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = RunLog(tmp_path / "logs")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", full)
    message = refusal(lambda: log.write("done: something"))
    assert message.startswith(f"cannot write {log.path}: No space left on device")
