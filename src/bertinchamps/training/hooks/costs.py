"""Adds up energy while a run trains, over all its resumptions."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from bertinchamps.durable import write_json
from bertinchamps.schemas import CostConfig
from bertinchamps.training.costs import (
    JOULES_PER_KWH,
    Counter,
    counters_of,
    forget_peak_memory,
    joules_between,
    money_and_co2,
    peak_memory,
    readings_of,
    watts_of,
)
from bertinchamps.training.hook import Hook
from bertinchamps.training.trainer import Trainer

FILE = "costs.json"
EVERY_SECONDS = 20.0  # more often than any counter begins anew


class Costs(Hook):
    """Reads the counters of energy, and remembers the peak of memory.

    What counters did not see, since there are none or since the run went on elsewhere, is a power times seconds.

    Args:
        config: rates, and the power where there is no counter.
    """

    def __init__(self, config: CostConfig) -> None:
        self._config = config
        self._counters: list[Counter] = []
        self._readings: list[float] = []
        self._read_at = 0.0
        self._joules = 0.0  # that were counted, for all processes
        self._counted_seconds = 0.0
        self._peak_memory = 0
        self._origin = ""

    def before_training(self, trainer: Trainer) -> None:
        device = trainer.runtime.device
        forget_peak_memory(device)
        counters = counters_of(device)
        readings = readings_of(counters)
        self._counters, self._readings = (counters, readings) if readings else ([], [])
        self._read_at = time.monotonic()

    def after_update(self, trainer: Trainer) -> None:
        if time.monotonic() - self._read_at >= EVERY_SECONDS:
            self._read(trainer)

    def after_training(self, trainer: Trainer) -> None:
        self._read(trainer)

    def save(self, folder: Path) -> None:
        state = {
            "joules": self._joules,
            "seconds": self._counted_seconds,
            "origin": self._origin,
            "peak_memory": self._peak_memory,
        }
        write_json(folder / FILE, state)

    def load(self, folder: Path) -> None:
        if (folder / FILE).is_file():
            state = json.loads((folder / FILE).read_text(encoding="utf-8"))
            self._joules, self._counted_seconds = state["joules"], state["seconds"]
            self._origin, self._peak_memory = state["origin"], state["peak_memory"]

    def record(self, trainer: Trainer) -> dict[str, Any]:
        """Peak memory of the first process, and energy, money and CO2 of all processes."""
        seconds, runtime = trainer.clock.spent.seconds, trainer.runtime
        watts, origin = watts_of(runtime, self._config.watts)
        stated = max(0.0, seconds - self._counted_seconds)
        origins = [self._origin] if self._counted_seconds else []
        if stated > 0.01 * seconds:
            origins.append(origin)
        else:
            stated = 0.0
        kwh = (self._joules + watts * stated) / JOULES_PER_KWH
        return {
            "peak_memory_bytes": self._peak_memory,
            "energy_kwh": kwh,
            "energy_origin": "; ".join(origins),
            **money_and_co2(self._config, runtime, seconds, kwh),
        }

    def _read(self, trainer: Trainer) -> None:
        """Add what the counters have counted since they were read last."""
        runtime, now = trainer.runtime, time.monotonic()
        self._peak_memory = max(self._peak_memory, peak_memory(runtime.device))
        readings = readings_of(self._counters)
        if readings is None:  # the power is stated from here on
            self._counters, self._readings, readings = [], [], []
        for counter, before, after in zip(self._counters, self._readings, readings, strict=True):
            share = runtime.processes / counter.processes
            self._joules += share * joules_between(before, after, counter.wraps_at)
        if self._counters:
            self._counted_seconds += now - self._read_at
            self._origin = self._counters[0].origin
        self._readings, self._read_at = readings, now
