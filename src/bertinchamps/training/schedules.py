"""Curves over progress: stateless multipliers of each parameter group's base rate, and the batch ramp.

A new curve is one function here, which returns a function from progress in [0, 1] to the multiplier, and one yaml
in `configs/schedule/`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from bertinchamps.registry import Registry
from bertinchamps.schemas import BatchConfig

Schedule = Callable[[float], float]

schedules: Registry[Schedule] = Registry("schedule", "schedule")


@schedules.register("slanted_triangular")
def slanted_triangular(base: float = 0.25, falloff: float = 0.25) -> Schedule:
    """min(base + p (1 - base) / (1 - falloff), (1 - p) / falloff): BERTinchamps, section 3.1.

    Args:
        base: the multiplier at progress 0.
        falloff: share of the budget over which the multiplier falls from 1 to 0.
    """

    def multiplier(p: float) -> float:
        rising = base + p * (1 - base) / (1 - falloff) if falloff < 1 else 1.0
        return min(rising, (1 - p) / falloff if falloff > 0 else 1.0)

    return multiplier


@schedules.register("one_cycle")
def one_cycle(start: float = 0.04, peak: float = 0.5) -> Schedule:
    """Linear from `start` to 1 at progress `peak`, then linear to 0 (Smith, 2018; Cramming, section 4.3)."""
    return lambda p: start + (1 - start) * p / peak if p < peak else (1 - p) / (1 - peak) if peak < 1 else 1.0


@schedules.register("trapezoidal")
def trapezoidal(warmup: float = 0.05, decay: float = 0.4) -> Schedule:
    """Linear up over `warmup`, 1 in between, linear to 0 over the last `decay` of the budget."""
    return lambda p: min(1.0, p / warmup if warmup > 0 else 1.0, (1 - p) / decay if decay > 0 else 1.0)


@schedules.register("cosine")
def cosine(warmup: float = 0.05) -> Schedule:
    """Linear up over `warmup`, then half a cosine to 0 (Loshchilov and Hutter, 2017, without restarts)."""
    return lambda p: (
        p / warmup if p < warmup else 0.5 * (1 + math.cos(math.pi * (p - warmup) / max(1 - warmup, 1e-9)))
    )


@schedules.register("constant")
def constant() -> Schedule:
    """The base rate throughout."""
    return lambda p: 1.0


def schedule_problems(name: str, settings: Mapping[str, Any]) -> list[str]:
    """Mistakes in a schedule's settings, in the user's key names."""
    return schedules.problems(name, settings) or [
        f"schedule.{key}={value}: a share, from 0 to 1"
        for key, value in settings.items()
        if not isinstance(value, int | float) or not 0 <= value <= 1
    ]


def micro_batches(batch: BatchConfig, progress: float) -> int:
    """Micro-batches averaged by the update at this progress: a linear ramp from 1 to size / micro_batch."""
    most = batch.size // batch.micro_batch
    if batch.ramp <= 0:
        return most
    return max(1, min(most, math.ceil(most * progress / batch.ramp)))


def batch_problems(batch: BatchConfig) -> list[str]:
    """Mistakes in the batch settings, in the user's key names."""
    problems = []
    if batch.micro_batch < 1:
        problems.append(f"batch.micro_batch={batch.micro_batch}: must be at least 1")
    elif batch.size < 1:
        problems.append(f"batch.size={batch.size}: must be at least 1")
    elif batch.size < batch.micro_batch or batch.size % batch.micro_batch:
        problems.append(
            f"batch.size={batch.size}: must be a multiple of batch.micro_batch={batch.micro_batch} "
            f"(an update averages whole micro-batches); for one of {batch.size}, set batch.micro_batch too"
        )
    if not 0 <= batch.ramp <= 1:
        problems.append(f"batch.ramp={batch.ramp}: a share of the budget, from 0 (no ramp) to 1")
    return problems
