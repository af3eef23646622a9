"""One update: its size, which process computes which micro-batch, and its measurements."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass

from bertinchamps.contract import Batch
from bertinchamps.errors import UserError
from bertinchamps.training.clock import Spent
from bertinchamps.training.distributed import Processes


class NonFiniteLoss(UserError):
    """A loss or gradient that is not a finite number; raised before the weights are touched.

    Attributes:
        step: of the update.
        positions: of the data stream that it read: the first, and the one behind the last.
    """

    def __init__(self, message: str, step: int, positions: tuple[int, int]) -> None:
        super().__init__(message)
        self.step, self.positions = step, positions


class ShortOfMemory(Exception):
    """A process of the job did not get the memory for a micro-batch; no weight was touched."""


@dataclass(frozen=True)
class Update:
    """The measurements of one update, over all processes.

    Attributes:
        step: updates done, this one included.
        loss: mean over the update's targets, in nats.
        gradient_norm: before clipping. Not finite where fp16 overflowed: that update was skipped.
        learning_rate: of the first parameter group.
        sequences: sequences averaged.
        tokens: tokens read.
        seconds: from the update's start, or from the end of the previous update if that was later, to the end.
        optimizer_seconds: of `seconds`, those of the optimizer's step; None on a GPU, where the host does not wait.
        spent: of the budget, this update included.
        progress: through the budget, this update included.
    """

    step: int
    loss: float
    gradient_norm: float
    learning_rate: float
    sequences: int
    tokens: int
    seconds: float
    optimizer_seconds: float | None
    spent: Spent
    progress: float


@dataclass(frozen=True)
class PendingUpdate:
    """A launched update whose loss and gradient norm are still on the device.

    Attributes:
        numbers: waits for loss and gradient norm, and returns them.
        cursor: of the data stream before the update.
        next_cursor: of the data stream behind the update.
        spent: before the update.
        began: time when the first batch was asked for, in seconds.
        rounds: micro-batches that a process computed one after the other, at the most.
        update: the measurements, NaN where they are still on the device.
    """

    numbers: Callable[[], list[float]]
    cursor: int
    next_cursor: int
    spent: Spent
    began: float
    rounds: int
    update: Update


@dataclass(frozen=True)
class UpdateSize:
    """What an update reads, over all processes."""

    targets: int
    tokens: int
    sequences: int
    next_cursor: int


class Dealer:
    """Deals the micro-batches of all updates to the processes in turn.

    A process may therefore get one micro-batch of an update fewer than another, or none.
    """

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._dealt = 0  # micro-batches, to all processes, since this one started

    def deal(self, stream: Generator[Batch], number: int) -> tuple[dict[int, Batch], UpdateSize]:
        """Take this process' share of an update of `number` micro-batches.

        Returns:
            The micro-batches by their place in the update, and the size of the whole update.
        """
        rank, size = self._processes.rank, self._processes.world_size
        batches = {place: next(stream) for place in range(number) if (self._dealt + place) % size == rank}
        self._dealt += number
        sums = self._processes.sum(
            sum(batch.targets for batch in batches.values()),
            sum(batch.tokens for batch in batches.values()),
            sum(len(next(iter(batch.inputs.values()))) for batch in batches.values()),
            batches[number - 1].next_cursor if number - 1 in batches else 0,
        )
        return batches, UpdateSize(*map(int, sums))


def mixed_seed(seed: int, step: int, place: int) -> int:
    """A seed for one micro-batch of an update, far from all others (SplitMix64's constants)."""
    return (seed * 0x9E3779B97F4A7C15 + step * 0xBF58476D1CE4E5B9 + place * 0x94D049BB133111EB) % 2**63
