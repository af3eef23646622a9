"""Messages between the process of a row and the process that leads them all.

A row reports that it has compiled, that it is ready, what it measured, or why it failed. The leader commands it to run
its first update, and to measure, and ends its process when the row is no longer needed.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from benchmarks import running
from benchmarks.device_plan import Row, Settings
from bertinchamps.schemas import PretrainConfig

COMPILED, READY, MEASURED, FAILED = "compiled", "ready", "measured", "failed"  # of rows
RUN, MEASURE = "run", "measure"  # of the leader


class Skipped(Exception):
    """This machine or this PyTorch has not what a row needs."""


class Link:
    """The row's end of the connection.

    Args:
        connection: to the leader.

    Attributes:
        waited: seconds that the row has waited for the device.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._granted = False
        self.waited = 0.0

    def compiled(self) -> None:
        """What comes next needs the device's memory: wait until it is this row's turn. Only the first time."""
        if self._granted:
            return
        began = time.perf_counter()
        self._connection.send({"status": COMPILED})
        self._connection.recv()
        self._granted = True
        self.waited += time.perf_counter() - began

    def ready(self, first_update: float | None) -> None:
        """Wait for the next turn.

        Args:
            first_update: its seconds, compiling included.
        """
        self._connection.send({"status": READY, "first_update_seconds": first_update})
        self._connection.recv()

    def measured(
        self, rows: Sequence[Mapping[str, Any]], kernels: Sequence[Mapping[str, Any]] = (), last: bool = True
    ) -> None:
        """Hand over rows of the result, and the longest kernels.

        Args:
            rows: as far as they are known; they take the place of what was reported of this turn before.
            kernels: of the update.
            last: nothing follows in this turn.
        """
        self._connection.send({"status": MEASURED, "rows": rows, "kernels": kernels, "last": last})

    def failed(self, problem: str) -> None:
        """Say why there is no measurement."""
        self._connection.send({"status": FAILED, "problem": problem})


def serve(
    connection: Connection, row: Row, log: str, measurements: str, settings: Settings, config: PretrainConfig
) -> None:
    """The process of a row.

    Args:
        connection: to the leader.
        row: that is measured.
        log: file for what is printed here.
        measurements: the module whose `MEASUREMENTS` has the function that the row names; only this process imports it.
        settings: of all rows.
        config: of a run with the row's updates.
    """
    printed = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(printed, 1)
    os.dup2(printed, 2)
    tempfile.tempdir = str(Path(log).parent)  # which the leader cleans up: this process is killed
    _end_with_parent()
    link = Link(connection)
    try:
        importlib.import_module(measurements).MEASUREMENTS[row.what](row, settings, config, link)
    except Skipped as reason:
        link.failed(f"skipped: {reason}")
    except Exception:
        traceback.print_exc()
        link.failed(running.last_line(traceback.format_exc()))


def _end_with_parent() -> None:
    """End this process as soon as the one that started it is gone, whatever it is doing then."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()
