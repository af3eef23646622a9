"""Which surrogate each original has, in a document or in a corpus."""

from __future__ import annotations

import hashlib
import hmac
import random
from collections.abc import Callable, Iterable

from bertinchamps.tasks.deidentification.shapes import LETTERS
from bertinchamps.tasks.deidentification.words import plain

TRIES = 200

Draw = Callable[[int], int]
Make = Callable[[random.Random, int], str]


class Table:
    """Originals and their surrogates. No two originals of one sort share a surrogate, as long as there are enough.

    Args:
        key: decides the surrogates.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._chosen: dict[tuple[str, str], str] = {}
        self._taken: set[tuple[str, str]] = set()
        self._originals: set[str] = set()

    def meet(self, originals: Iterable[str]) -> None:
        """Originals of the next document: none of their words becomes a surrogate from now on."""
        self._originals = {
            plain(word) for original in originals for word in (original, *LETTERS.findall(original))
        }

    def generator(self, sort: str, original: str) -> random.Random:
        """What decides the surrogate of an original."""
        digest = hmac.digest(self._key, f"{sort} {original}".encode(), hashlib.sha256)
        return random.Random(digest)

    def draw(self, sort: str, original: str) -> Draw:
        """A function that gives numbers below the one it is given."""
        return self.generator(sort, original).randrange

    def surrogate(self, sort: str, identity: str, make: Make) -> str:
        """The surrogate of an original.

        Args:
            sort: of original, such as "name"; each has surrogates of its own.
            identity: of the original: spellings of one thing share it.
            make: a proposal, from what decides it and the number of earlier proposals.
        """
        known = self._chosen.get((sort, identity))
        if known is not None:
            return known
        generator = self.generator(sort, identity)
        value = make(generator, 0)
        for attempt in range(1, TRIES):
            form = plain(value)
            if form != plain(identity) and form not in self._originals and (sort, form) not in self._taken:
                break
            value = make(generator, attempt)
        self._taken.add((sort, plain(value)))
        self._chosen[sort, identity] = value
        return value

    def known(self, sort: str) -> dict[str, str]:
        """Original → surrogate of a sort, as far as they are chosen."""
        return {identity: value for (own, identity), value in self._chosen.items() if own == sort}
