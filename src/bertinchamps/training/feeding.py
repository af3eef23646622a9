"""Batches are read ahead, in a thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from dataclasses import replace

from bertinchamps.contract import Batch

SECONDS_FOR_A_BATCH = 5.0  # the end waits so long for the thread


def read_ahead(batches: Iterator[Batch], ahead: int, pin: bool) -> Iterator[Batch]:
    """Iterate in a thread, a few batches ahead; an exception in the thread is raised here.

    Args:
        batches: to read.
        ahead: size of the queue, in batches.
        pin: copy each batch into pinned memory, for asynchronous copies to a GPU.
    """
    buffer: queue.Queue[Batch | BaseException | None] = queue.Queue(ahead)
    stopped = threading.Event()

    def hand_over(item: Batch | BaseException | None) -> None:
        while not stopped.is_set():
            try:
                buffer.put(item, timeout=0.1)
            except queue.Full:
                continue
            return

    def read() -> None:
        try:
            for batch in batches:
                if pin:
                    batch = replace(batch, inputs={name: t.pin_memory() for name, t in batch.inputs.items()})
                hand_over(batch)
                if stopped.is_set():
                    return
            hand_over(None)
        except BaseException as error:
            hand_over(error)

    thread = threading.Thread(target=read, name="read-ahead", daemon=True)
    thread.start()
    try:
        while (item := buffer.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        thread.join(
            SECONDS_FOR_A_BATCH
        )  # it may be waiting for a slow source, and ends with the process then
