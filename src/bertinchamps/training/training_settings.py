"""The settings that the assembly reads, of any command that trains."""

from __future__ import annotations

from typing import Protocol

from bertinchamps.schemas import BatchConfig, BudgetConfig, Node, RuntimeConfig
from bertinchamps.training.run_records import Recorded


class Settings(Recorded, Protocol):
    """The settings that the assembly reads, of any command that trains; a dataclass."""

    @property
    def optim(self) -> Node: ...
    @property
    def sparsity(self) -> Node: ...
    @property
    def schedule(self) -> Node: ...
    @property
    def batch(self) -> BatchConfig: ...
    @property
    def gradient_clipping(self) -> float | None: ...
    @property
    def budget(self) -> BudgetConfig: ...
    @property
    def runtime(self) -> RuntimeConfig: ...
    @property
    def hooks(self) -> list[Node]: ...
    @property
    def seed(self) -> int: ...
