"""Signals that ask a process to end: a command is interrupted, and a training ends its update first."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

TO_END = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
ONE = 1.0  # seconds: a signal to a whole group comes twice where a parent passes it on, and is one


class Interrupted(KeyboardInterrupt):
    """A signal came, which ends the command as Ctrl-C does.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def number_of(error: KeyboardInterrupt) -> int:
    """The signal behind an interruption."""
    return error.number if isinstance(error, Interrupted) else int(signal.SIGINT)


@contextmanager
def interrupting() -> Iterator[None]:
    """A context in which a signal raises Interrupted. Signals that the process ignores, it still ignores."""

    def interrupt(number: int) -> None:
        raise Interrupted(number)

    with hearing(interrupt, still_ignored=TO_END):
        yield


@contextmanager
def hearing(act: Callable[[int], object], still_ignored: Sequence[int] = (signal.SIGHUP,)) -> Iterator[None]:
    """A context in which a function hears of the first signal, and a second one ends the process at once.

    Off the main thread, where Python handles no signals, nothing changes.

    Args:
        act: called with the number of the signal, between two instructions of the main thread.
        still_ignored: signals that stay ignored where they are; nohup does so with SIGHUP.
    """
    heard_at: float | None = None

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal heard_at
        del frame
        if heard_at is None:
            heard_at = time.monotonic()
            act(number)
        # a closed terminal may send SIGHUP again
        elif number != signal.SIGHUP and time.monotonic() - heard_at > ONE:
            os._exit(128 + number)

    with handled(handle, still_ignored):
        yield


@contextmanager
def handled(
    handle: Callable[[int, FrameType | None], object], still_ignored: Sequence[int] = (signal.SIGHUP,)
) -> Iterator[None]:
    """A context in which a function handles these signals; `hearing` says more."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in TO_END:
            if number not in still_ignored or signal.getsignal(number) != signal.SIG_IGN:
                before[number] = signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is handle:  # otherwise somebody is deaf by now
                signal.signal(number, handler)


def be_deaf() -> None:
    """Ignore these signals from now on, in contexts that have begun, too."""
    if threading.current_thread() is threading.main_thread():
        for number in TO_END:
            signal.signal(number, signal.SIG_IGN)
