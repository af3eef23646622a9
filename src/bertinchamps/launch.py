"""The place of this process in a job that `torchrun` launched, as the environment tells it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Launch:
    """Where a process stands among those of its job. By default it is the only one.

    Attributes:
        rank: its number in the job, from 0.
        local_rank: its number on its machine, from 0.
        world_size: processes of the job, over all machines.
        local_world_size: processes of the job on this machine.
        restarts: how often the launcher has begun the job again on this machine.
    """

    rank: int = 0
    local_rank: int = 0
    world_size: int = 1
    local_world_size: int = 1
    restarts: int = 0

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that speaks, scores and writes."""
        return self.rank == 0


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def launched(environment: Mapping[str, str] = os.environ) -> Launch:
    """What torchrun set; without both of its RANK and WORLD_SIZE, a process on its own."""
    if "RANK" not in environment or "WORLD_SIZE" not in environment:
        return Launch()
    rank, size = int(environment["RANK"]), int(environment["WORLD_SIZE"])
    return Launch(
        rank,
        local_rank=int(environment.get("LOCAL_RANK", rank)),
        world_size=size,
        local_world_size=int(environment.get("LOCAL_WORLD_SIZE", size)),
        restarts=int(environment.get("TORCHELASTIC_RESTART_COUNT", 0)),
    )
