"""The source of one task: what the stages before have left of its shard."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import cast

from bertinchamps.contract import Document, Place
from bertinchamps.data.cleaning import Comparing, Dropped
from bertinchamps.data.cleaning.counts import Count, Trace
from bertinchamps.data.cleaning.stages import built
from bertinchamps.data.shards.work import Divisible, Work, count_of, stages_of, values


class Remaining:
    """What remains of a shard in front of a stage: a source for one task.

    Args:
        work: what to do.
        number: of the stage.
        rank: of the shard.
        world_size: number of shards.

    Attributes:
        counts: of the comparing step before this stage, once all documents are read.
    """

    def __init__(self, work: Work, number: int, rank: int, world_size: int) -> None:
        self._work, self._number, self._rank, self._world_size = work, number, rank, world_size
        self.counts: list[Count] = []

    def documents(self, after: Place | None = None) -> Iterator[Document]:
        """The documents, numbered by their places."""
        documents = (
            self._decided()
            if self._number
            else cast(Divisible, self._work.source).shard(self._rank, self._world_size)
        )
        numbered = (document._replace(place=place) for place, document in enumerate(documents, start=1))
        return itertools.islice(numbered, cast(int, after or 0), None)

    def _decided(self) -> Iterator[Document]:
        before, rank = self._number - 1, str(self._rank)
        node = str(stages_of(self._work.config)[before].comparing)
        step, count = cast(Comparing, built(node)), count_of(node)
        self.counts = [count]
        texts = values(self._work.folder / f"texts-{before}" / rank)
        decisions = values(self._work.folder / f"decisions-{before}" / rank)
        for (name, number, text), decision in zip(texts, decisions, strict=True):
            outcome = step.apply(text, decision)
            count.add(Trace.of(text, outcome))
            if not isinstance(outcome, Dropped):
                yield Document(outcome, name, number=number)

    def check(self) -> None:
        """Nothing: the source was checked before the work was divided."""

    def fingerprint(self, quick: bool = False) -> Mapping[str, object]:
        """That of the whole source."""
        return self._work.source.fingerprint(quick)

    def held_out(self) -> Iterator[Document] | None:
        """The user's own held-out documents, whose copies no shard trains on."""
        return self._work.source.held_out()

    def sample(self, characters: int) -> Iterator[Document]:
        """A sample of the whole source; the tokenizer was trained before."""
        return self._work.source.sample(characters)
