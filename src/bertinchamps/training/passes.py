"""Passes over data without gradients, which end between two batches where a stop is requested."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

Result = TypeVar("Result")

_stopped: ContextVar[Callable[[], bool]] = ContextVar("stopped", default=lambda: False)


class PassLeft(Exception):
    """A stop was requested before a pass was over."""


@contextmanager
def until(stopped: Callable[[], bool]) -> Iterator[None]:
    """A context whose passes end where a function says so.

    Args:
        stopped: asked before each batch.
    """
    before = _stopped.set(stopped)
    try:
        yield
    finally:
        _stopped.reset(before)


def each(
    batches: Iterable[Sequence[int]], compute: Callable[[Sequence[int]], Result]
) -> Iterator[tuple[Sequence[int], Result]]:
    """Each batch with what is computed of it.

    Args:
        batches: indices of examples.
        compute: of a batch, without gradients.

    Raises:
        PassLeft: a stop was requested.
    """
    for batch in batches:
        if _stopped.get()():
            raise PassLeft
        yield batch, compute(batch)
