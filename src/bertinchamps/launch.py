"""The rank of this process in a job that `torchrun` launched, from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Launch:
    """The rank of a process in its job; by default, the only process.

    Attributes:
        rank: the process' number in the job, from 0.
        local_rank: the process' number on its machine, from 0.
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
        """Whether this is the process that prints, scores and writes."""
        return self.rank == 0


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def launched(environment: Mapping[str, str] = os.environ) -> Launch:
    """The launch of torchrun's environment; a single process unless RANK and WORLD_SIZE are both set."""
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
