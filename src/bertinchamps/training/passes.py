"""Passes over data without gradients: they end where a stop is requested, and take less at once where memory lacks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import TypeVar

import torch

from bertinchamps.console import tell
from bertinchamps.errors import OutOfMemory

Result = TypeVar("Result")

ONE_IS_TOO_MUCH = (
    "out of memory of the GPU, though a single row went through the model: shorter rows need less "
    "(blocks.sequence_length, max_length); no size of batches helps"
)
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
    """Each batch with what is computed of it; where a card lacks memory, parts of batches from then on.

    Args:
        batches: indices of examples.
        compute: of a batch, without gradients.

    Raises:
        PassLeft: a stop was requested.
        OutOfMemory: one example is too much.
    """
    most: int | None = None  # examples of a part
    for batch in batches:
        waiting = _parts(batch, most or len(batch))
        while waiting:
            if _stopped.get()():
                raise PassLeft
            results = _results(waiting[0], compute)
            if results:
                yield waiting.pop(0), results[0]
                continue
            most = len(waiting[0]) // 2
            if not most:
                raise OutOfMemory(ONE_IS_TOO_MUCH)
            _tell_once(most)
            waiting = [part for whole in waiting for part in _parts(whole, most)]


def _results(batch: Sequence[int], compute: Callable[[Sequence[int]], Result]) -> list[Result]:
    """The one result; none where a card lacks memory for it."""
    try:
        return [compute(batch)]
    except torch.OutOfMemoryError:
        pass  # and not here: the error's frames hold the memory
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return []


def _parts(batch: Sequence[int], most: int) -> list[Sequence[int]]:
    return [batch[start : start + most] for start in range(0, len(batch), most)]


@cache
def _tell_once(most: int) -> None:
    tell(
        f"not enough memory on the card: of examples that are scored, {most} go through the model at once from now on, "
        "which changes no score"
    )
