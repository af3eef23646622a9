"""Predicts how long the next update takes, so that no update overruns a budget in hours."""

from __future__ import annotations

import collections
import statistics


class Pace:
    """Predicts the time of an update from the times of earlier updates.

    Args:
        compiled: the first micro-batch compiles, so its time is not counted.
    """

    def __init__(self, compiled: bool) -> None:
        self._updates: collections.deque[float] = collections.deque(maxlen=8)  # seconds a micro-batch
        self._first: list[float] = []  # seconds of the first update's micro-batches
        self._compiles = compiled

    def learn(self, seconds: float, rounds: int) -> None:
        """Record that an update of `rounds` micro-batches took `seconds`."""
        if self._compiles:
            self._compiles = False
            del self._first[:1]
        else:
            self._updates.append(seconds / rounds)

    def learn_first(self, seconds: float) -> None:
        """Record that a micro-batch took `seconds`; ignored once an update is recorded."""
        if not self._updates:
            self._first.append(seconds)

    def update(self, rounds: int) -> float:
        """Predicted seconds of an update of `rounds` micro-batches; 0 where nothing is recorded."""
        return statistics.median(self._updates) * rounds if self._updates else self.first_update(rounds)

    def first_update(self, rounds: int) -> float:
        """The same from the first update's micro-batches alone; 0 once a whole update is recorded."""
        known = self._first[1:] if self._compiles else self._first
        return 0.0 if self._updates or not known else min(known) * rounds
