"""Ctrl-C and SIGTERM wait for the work in hand, and go back to what they were."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from anml.store.interrupt import (
    Interrupted,
    defer_interrupt,
    hold_interrupt,
    terminate_as_interrupt,
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_only_asks(number: int) -> None:
    usual = signal.getsignal(number)
    with defer_interrupt() as interrupt:
        assert not interrupt.asked
        os.kill(os.getpid(), number)
        assert interrupt.asked
    assert signal.getsignal(number) is usual


def test_a_second_one_acts_as_usual() -> None:
    with defer_interrupt():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


def test_what_is_raised_is_a_keyboard_interrupt_with_words() -> None:
    with pytest.raises(KeyboardInterrupt, match="go on"), defer_interrupt() as interrupt:
        interrupt.raise_with("how to go on")
    assert issubclass(Interrupted, KeyboardInterrupt)


def test_threads_other_than_the_main_one_are_let_be() -> None:
    """Only the main thread may set handlers; a notebook may train in another."""
    results = []

    def work() -> None:
        with defer_interrupt() as interrupt, terminate_as_interrupt():
            results.append(interrupt.asked)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert results == [False]


def test_ctrl_c_is_held_and_then_comes() -> None:
    reached = []

    def work() -> None:
        with hold_interrupt():
            os.kill(os.getpid(), signal.SIGINT)
            reached.append(True)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert reached
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, set())


def test_a_process_that_is_started_meanwhile_never_sees_one() -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGINT); print('went on')"
    with hold_interrupt():
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "went on\n"
    again = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert again.stdout == ""


def test_termination_is_an_interrupt() -> None:
    usual = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), terminate_as_interrupt():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is usual
