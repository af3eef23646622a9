"""What a profile of updates says: the longest kernels, and the time when no kernel runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

LONGEST = 15
ON_THE_DEVICE = ("kernel", "gpu_memcpy", "gpu_memset")  # categories of torch.profiler's traces
OPERATORS = ("cpu_op",)  # which stand for kernels where there is no GPU


class Interval(NamedTuple):
    """Work on the device.

    Attributes:
        name: of the kernel.
        start: in microseconds.
        duration: in microseconds.
        lane: the stream, or the thread.
    """

    name: str
    start: float
    duration: float
    lane: Any = 0


def of_trace(trace: Mapping[str, Any], categories: Iterable[str]) -> list[Interval]:
    """The intervals of some categories, of a trace as `torch.profiler` exports it."""
    return [
        Interval(event["name"], float(event["ts"]), float(event["dur"]), event.get("tid", 0))
        for event in trace.get("traceEvents", [])
        if event.get("ph") == "X" and event.get("cat") in categories
    ]


def innermost(intervals: Iterable[Interval]) -> list[Interval]:
    """Those that hold no other one of their lane: operators call each other, kernels do not."""
    lanes = defaultdict(list)
    for interval in intervals:
        lanes[interval.lane].append(interval)
    kept = []
    for lane in lanes.values():
        lane.sort(key=lambda interval: (interval.start, -interval.duration))
        for this, following in zip(lane, [*lane[1:], None], strict=True):
            if following is None or following.start >= this.start + this.duration:
                kept.append(this)
    return kept


def covered(intervals: Iterable[Interval]) -> float:
    """Microseconds in which at least one runs: the length of their union."""
    total, reached = 0.0, float("-inf")
    for interval in sorted(intervals, key=lambda interval: interval.start):
        end = interval.start + interval.duration
        total += max(0.0, end - max(reached, interval.start))
        reached = max(reached, end)
    return total


def outside_kernels(intervals: list[Interval]) -> float | None:
    """1 − union ÷ the time from the first one's start to the last one's end; None without any."""
    if not intervals:
        return None
    wall = max(each.start + each.duration for each in intervals) - min(each.start for each in intervals)
    return 1 - covered(intervals) / wall if wall > 0 else 0.0


def longest(intervals: list[Interval], updates: int) -> list[dict[str, Any]]:
    """The kernels that take most of the time: microseconds and calls in an update, share of all kernels' time.

    Args:
        intervals: of some updates.
        updates: how many.
    """
    durations = defaultdict(list)
    for interval in intervals:
        durations[interval.name].append(interval.duration)
    everything = sum(map(sum, durations.values())) or 1.0
    first = sorted(durations.items(), key=lambda item: -sum(item[1]))[:LONGEST]
    return [
        {
            "name": name,
            "microseconds": sum(each) / updates,
            "calls": len(each) / updates,
            "share": sum(each) / everything,
        }
        for name, each in first
    ]
