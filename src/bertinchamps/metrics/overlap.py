"""Which entities of a document touch a stretch of it, without looking at all of them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

from bertinchamps.contract import Entity


class ByPlace:
    """The entities of a document, found by where they are.

    Args:
        entities: in any order.
    """

    def __init__(self, entities: Iterable[Entity]) -> None:
        self._entities = sorted(entities, key=lambda entity: (entity.start, entity.end))
        self._starts = [entity.start for entity in self._entities]
        self._longest = max((entity.end - entity.start for entity in self._entities), default=0)

    def touching(self, start: int, end: int) -> list[Entity]:
        """Those with a character between their first and their last in start … end, by where they begin."""
        first = bisect_right(self._starts, start - self._longest)
        last = bisect_left(self._starts, end)
        return [entity for entity in self._entities[first:last] if entity.end > start]
