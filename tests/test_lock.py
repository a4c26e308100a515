"""Locks: one writer at a time, and nothing left behind by a process that was killed."""

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from refusal import refusal

from anml.store import lock
from anml.store.lock import locked

HOLD = """
import sys, time
from pathlib import Path
from anml.store.lock import locked
with locked(Path(sys.argv[1]), "it", shared=sys.argv[2] == "shared"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path):
    """Starts processes that hold the lock: `holder('alone')` or `holder('shared')`."""
    running = []

    def start(how: str) -> subprocess.Popen:
        command = [sys.executable, "-c", HOLD, str(tmp_path / "run.lock"), how]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        running.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in running:
        process.kill()
        process.wait()


def take(path: Path, shared: bool = False) -> None:
    with locked(path, "runs/x", shared=shared):
        pass


def test_a_second_one_is_refused_and_told_who_holds_it(holder, tmp_path):
    process = holder("alone")
    path = tmp_path / "run.lock"
    for shared in (False, True):
        message = refusal(lambda shared=shared: take(path, shared))
        assert message.startswith("runs/x is in use by another run")
        assert f"process {process.pid} on " in message
        assert "--out" in message


def test_one_that_waits_gets_the_lock_when_it_is_given_back(tmp_path):
    path, order = tmp_path / "run.lock", []

    def wait() -> None:
        with locked(path, "x", wait_seconds=60):
            order.append("second")

    with locked(path, "x"):
        second = threading.Thread(target=wait)
        second.start()
        second.join(0.2)
        order.append("first")
        assert "in use" in refusal(lambda: take(path))
    second.join()
    assert order == ["first", "second"]


def test_a_lock_that_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    message = refusal(lambda: take(tmp_path / "run.lock"))
    assert "run.lock: No space left on device" in message
    (tmp_path / "folder").mkdir()
    assert "cannot write" in refusal(lambda: take(tmp_path / "folder"))


def test_shared_holders_stand_each_other_but_nobody_alone(holder, tmp_path):
    holder("shared")
    holder("shared")
    take(tmp_path / "run.lock", shared=True)
    assert "in use" in refusal(lambda: take(tmp_path / "run.lock"))


def test_a_killed_holder_leaves_no_lock(holder, tmp_path):
    process = holder("alone")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert (tmp_path / "run.lock").is_file()
    take(tmp_path / "run.lock")


def test_the_lock_is_given_back_after_an_error(tmp_path):
    with pytest.raises(ValueError, match="mine"), locked(tmp_path / "run.lock", "x"):
        raise ValueError("mine")
    take(tmp_path / "run.lock")


def test_a_file_system_without_locks_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without(file: object, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock.fcntl, "flock", without)
    message = refusal(lambda: locked(tmp_path / "run.lock", "it").__enter__())
    assert "No locks available" in message
    assert "--out" in message
