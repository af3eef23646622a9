"""How long the next update will take, so that none begins which would overrun a budget in hours."""

from __future__ import annotations

import collections
import statistics


class Pace:
    """How long updates take, learnt from those that were done.

    Args:
        compiled: the first micro-batch compiles, so its time says nothing of the others.
    """

    def __init__(self, compiled: bool) -> None:
        self._updates: collections.deque[float] = collections.deque(maxlen=8)  # seconds a micro-batch
        self._first: list[float] = []  # seconds of the first update's micro-batches
        self._compiles = compiled

    def learn(self, seconds: float, rounds: int) -> None:
        """An update of so many micro-batches took so long."""
        if self._compiles:
            self._compiles = False
            del self._first[:1]
        else:
            self._updates.append(seconds / rounds)

    def learn_first(self, seconds: float) -> None:
        """A micro-batch took so long; heard of as long as no update is known."""
        if not self._updates:
            self._first.append(seconds)

    def update(self, rounds: int) -> float:
        """Seconds that so many micro-batches should take with their share of the steps; 0 where nothing is known."""
        return statistics.median(self._updates) * rounds if self._updates else self.first_update(rounds)

    def first_update(self, rounds: int) -> float:
        """The same by the first update's micro-batches alone; 0 once a whole update is known, which tells more."""
        known = self._first[1:] if self._compiles else self._first
        return 0.0 if self._updates or not known else min(known) * rounds
