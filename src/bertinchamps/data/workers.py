"""Worker processes: they leave signals to their parent, and end with the parent."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading


def serve_parent() -> None:
    """Call it first in a worker. Ctrl-C and SIGTERM often go to a whole group of processes: the parent decides."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(0)

    threading.Thread(target=watch, name="watch-parent", daemon=True).start()
