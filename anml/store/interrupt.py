"""Ctrl-C and SIGTERM wait until the work in hand can be saved."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

HOW_TO_STOP = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """A run that was asked to stop, saved its state and says how to go on."""


@dataclass
class Interrupt:
    """Whether somebody asked to stop."""

    asked: bool = False

    def raise_with(self, message: str) -> None:
        """End the run with one line that says what was saved and how to go on."""
        raise Interrupted(message)


@contextmanager
def defer_interrupt() -> Iterator[Interrupt]:
    """In the block a first Ctrl-C or SIGTERM only sets `asked`; a second one acts as usual."""
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    usual = {number: signal.getsignal(number) for number in HOW_TO_STOP}

    def ask(number: int, frame: object) -> None:
        interrupt.asked = True
        signal.signal(number, usual[number])

    for number in usual:
        signal.signal(number, ask)
    try:
        yield interrupt
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)


@contextmanager
def hold_interrupt() -> Iterator[None]:
    """In the block Ctrl-C waits; processes that are started in it never see one.

    They inherit the signal mask, so that only their parent decides when and how they stop. The mask
    is this thread's alone: the system may hand the signal to another one, so the handler waits too.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came = []
    usual = signal.signal(signal.SIGINT, lambda *_: came.append(True))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        signal.signal(signal.SIGINT, usual)
        if came:
            signal.raise_signal(signal.SIGINT)


@contextmanager
def terminate_as_interrupt() -> Iterator[None]:
    """In the block SIGTERM (of a scheduler, of `kill`) ends the work as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    usual = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, usual)
