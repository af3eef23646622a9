"""What a run will do, in lines that are printed before it begins."""

from __future__ import annotations

import time
from collections.abc import Iterator

from bertinchamps.schemas import BatchConfig
from bertinchamps.training.clock import Clock
from bertinchamps.training.distributed import Processes
from bertinchamps.training.schedules import micro_batches

UNITS = {"steps": "updates", "tokens": "tokens", "flops": "FLOPs"}


def plan_lines(clock: Clock, batch: BatchConfig, now: float | None = None) -> Iterator[str]:
    """The budget in words, with the end of its hours by the clock on the wall and the updates of its epochs.

    Args:
        clock: of the run.
        batch: how much an update reads.
        now: seconds since the epoch; None: the present.
    """
    parts = [_in_words(name, limit, clock, batch, now) for name, limit in clock.limits.items()]
    first = " or ".join(parts) + (", whichever is first" if len(parts) > 1 else "")
    done = f"; {clock.spent.steps:,} updates are done" if clock.spent.steps else ""
    yield f"budget     {first}{done}"


def _in_words(name: str, limit: float, clock: Clock, batch: BatchConfig, now: float | None) -> str:
    if name == "hours":
        left = max(0.0, 3600 * limit - clock.spent.seconds)
        end = time.localtime((time.time() if now is None else now) + left)
        day = "%H:%M" if left < 12 * 3600 else "%Y-%m-%d %H:%M"
        return f"{length(3600 * limit)} (until about {time.strftime(day, end)})"
    if name == "epochs":
        updates = (
            "" if batch.ramp else f" ({limit * clock.epoch_length / batch.size:,.0f} updates of {batch.size})"
        )
        return f"{limit:g} epochs{updates}"
    return f"{limit:,.0f} {UNITS[name]}" if limit < 1e12 else f"{limit:.3g} {UNITS[name]}"


def idle_lines(batch: BatchConfig, processes: Processes) -> list[str]:
    """A note where an update has fewer micro-batches than there are processes."""
    number = micro_batches(batch, 1.0)
    if number >= processes.world_size:
        return []
    return [
        f"note       {processes.world_size} processes share {number} micro-batches an update, so some compute nothing: "
        "lower batch.micro_batch, or raise batch.size"
    ]


def length(seconds: float) -> str:
    """A length of time as people read it: 45 s, 3 min, 2 h 05 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
