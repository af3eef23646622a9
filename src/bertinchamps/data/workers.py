"""Worker processes: they leave signals to their parent, and end with the parent."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker

from bertinchamps.signals import TO_END


def serve_parent() -> None:
    """Call it first in a worker: it leaves signals of a whole group to the parent, and ends with the parent."""
    for number in TO_END:
        signal.signal(number, signal.SIG_IGN)
    when_parent_ends(lambda: os._exit(0))


def when_parent_ends(do: Callable[[], object]) -> None:
    """Call a function, on a thread of its own, once the process that began this one has ended, however it did."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            do()

    threading.Thread(target=watch, name="watch-parent", daemon=True).start()


@contextmanager
def out_of_reach() -> Iterator[None]:
    """A context: processes that begin in it get no signal of a whole group, until they let it through.

    They inherit the mask of this thread, which holds from their first moment, before they could ignore anything.
    """
    resource_tracker.ensure_running()  # beginning later, it would change the mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, TO_END)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def come_in_reach() -> None:
    """Let these signals through again, in a process that began `out_of_reach`; those that came meanwhile come now."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, TO_END)
