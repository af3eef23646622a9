"""Measures updates of a training loop from inside, called after each of them."""

from __future__ import annotations

import json
import math
import statistics
import tempfile
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks import device_profile
from benchmarks.device_link import Link
from benchmarks.device_plan import Row, Settings
from benchmarks.devices import now, peak_memory

WARM_UP = 3  # updates before a row is ready: CUDA graphs are recorded in the second
MOST = 60  # updates that are timed


class Marks:
    """Moments between which a device works: events on a GPU, which nothing waits for, or the clock."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._at: list[Any] = []

    def mark(self) -> None:
        """What was given to the device before belongs to the interval before."""
        if not self._cuda:
            self._at.append(time.perf_counter())
            return
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        self._at.append(event)

    def seconds(self) -> list[float]:
        """Of each interval. Waits for the device."""
        pairs = list(zip(self._at, self._at[1:], strict=False))
        if not self._cuda:
            return [after - before for before, after in pairs]
        torch.cuda.synchronize()
        return [before.elapsed_time(after) / 1e3 for before, after in pairs]


class Meter:
    """Times a loop's updates, and profiles them in the first turn.

    Args:
        row: that is measured.
        settings: how long.
        link: to the leader, who says when.
        device: that works.
        flops_per_token: of the row's model.
        peak_flops: FLOP/s that count as 100 %.
    """

    def __init__(
        self,
        row: Row,
        settings: Settings,
        link: Link,
        device: torch.device,
        flops_per_token: float,
        peak_flops: float,
    ) -> None:
        self._row, self._settings, self._link, self._device = row, settings, link, device
        self._tokens = row.micro_batch * settings.sequence_length
        self._flops_per_token, self._peak_flops = flops_per_token, peak_flops
        self._began, self._waited = time.perf_counter(), link.waited
        self._script = self._turns()

    def go_on(self) -> bool:
        """Called after each update; true, since the leader ends this process when it is enough."""
        next(self._script)
        return True

    def _turns(self) -> Iterator[None]:
        """Each `yield` is another update."""
        now(self._device)
        first = time.perf_counter() - self._began - (self._link.waited - self._waited)
        for _ in range(WARM_UP - 1):
            yield
        self._free()
        profiled = False
        while True:
            self._link.ready(first)
            row: dict[str, Any] = yield from self._timed()
            row["first_update_seconds"] = first
            self._link.measured([row], last=profiled)
            if not profiled:
                profiled = True
                intervals = yield from self._profiled()
                row["outside_kernels"] = device_profile.outside_kernels(intervals)
                kernels = device_profile.longest(intervals, self._settings.profiled)
                self._link.measured([row], kernels)
            self._free()

    def _free(self) -> None:
        now(self._device)
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _timed(self) -> Generator[None, None, dict[str, Any]]:
        """Tokens a second, MFU and memory of the median update."""
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        began, updates = now(self._device), 0
        while updates < 2 or time.perf_counter() - began < self._settings.warm_up:
            yield
            updates += 1
        expected = (now(self._device) - began) / updates
        number = min(MOST, max(self._settings.fewest, math.ceil(self._settings.measured / expected)))
        marks = Marks(self._device)
        marks.mark()
        for _ in range(number):
            yield
            marks.mark()
        rate = self._tokens / statistics.median(marks.seconds())
        return {
            "tokens_per_second": rate,
            "mfu": rate * self._flops_per_token / self._peak_flops,
            "memory_megabytes": peak_memory(self._device),
        }

    def _profiled(self) -> Generator[None, None, list[device_profile.Interval]]:
        """What some updates did on the device."""
        cuda = self._device.type == "cuda"
        activity, categories = (
            (ProfilerActivity.CUDA, device_profile.ON_THE_DEVICE)
            if cuda
            else (ProfilerActivity.CPU, device_profile.OPERATORS)
        )
        now(self._device)
        with profile(activities=[activity]) as profiler:
            for _ in range(self._settings.profiled):
                yield
            now(self._device)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "trace.json"
            profiler.export_chrome_trace(str(file))
            trace = json.loads(file.read_text(encoding="utf-8", errors="replace"))
        return device_profile.innermost(device_profile.of_trace(trace, categories))
