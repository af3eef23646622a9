"""Signals end a run after the current update."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any

from bertinchamps.console import tell
from bertinchamps.errors import ProcessEnded
from bertinchamps.training.hook import Hook
from bertinchamps.training.trainer import Trainer


class StopOnSignal(Hook):
    """SIGTERM, SIGHUP or Ctrl-C: finish the update, write a checkpoint, leave. A second one leaves at once.

    Where several processes train, all stop when one of them gets a signal. Python handles signals on the main thread
    alone: on another thread, set `trainer.stop_requested` to end `fit`.
    """

    NUMBERS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}

    def before_training(self, trainer: Trainer) -> None:
        def request(number: int, frame: FrameType | None) -> None:
            del frame
            if trainer.stop_requested and number != signal.SIGHUP:  # a closed terminal may send it twice
                os._exit(128 + number)
            trainer.stop_requested, trainer.stopped_by = True, number
            if trainer.processes.is_main:
                tell("\nstopping after this update; once more to leave at once")

        if threading.current_thread() is threading.main_thread():
            for number in self.NUMBERS:
                self._before[number] = signal.signal(number, request)

    def after_training(self, trainer: Trainer) -> None:
        self._restore()

    def after_failure(self, trainer: Trainer, error: BaseException) -> None:
        if isinstance(error, ProcessEnded):
            # torchrun's signal is on its way, and must not cut short the error's message
            for number in self._before:
                signal.signal(number, signal.SIG_IGN)
            self._before.clear()
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()
