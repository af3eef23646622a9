"""Applies the configured cleaning steps, in order, to documents in groups.

Several processes share what is done to each text by itself; the result is the same for any number of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, cast

from bertinchamps.contract import Document
from bertinchamps.data.cleaning import Comparing, Dropped
from bertinchamps.data.cleaning.counts import Count, Trace
from bertinchamps.data.cleaning.stages import Passage, Stage, fresh, passages, stages
from bertinchamps.data.held_out import numbered
from bertinchamps.data.workers import serve_parent
from bertinchamps.schemas import named

CHARACTERS_OF_A_PART = 100_000  # handed to a process together
CHARACTERS_AT_ONCE = 4_000_000  # cleaned or tokenised together: enough for all cores, little enough to hold
DOCUMENTS_AT_ONCE = 4_096
ALONE = 8_000_000  # characters that one process cleans before others start: a small corpus is done by then

Documents = Iterator[Document]


class Cleaner:
    """Applies the configured steps, in order, to documents that come in groups.

    Args:
        nodes: `{name, **settings}` of each step.
        processes: how many share the work that is done to each text by itself.
    """

    def __init__(self, nodes: Sequence[dict[str, Any]], processes: int = 1) -> None:
        self.counts = [Count(named(node)[0]) for node in nodes]
        self._stages = stages(nodes)
        self._comparing = [
            None if stage.comparing is None else cast(Comparing, fresh(stage.comparing))
            for stage in self._stages
        ]
        self._processes, self._seen = processes, 0
        self._pool: Executor | None = None

    def clean(self, group: list[Document]) -> list[Document]:
        """What remains of a group of documents."""
        if self._stages:
            group = [numbered(document) for document in group]
        self._seen += sum(len(document.text) for document in group)
        counts = iter(self.counts)
        for stage, comparing in zip(self._stages, self._comparing, strict=True):
            group = self._passed(stage, comparing, group, counts)
        return group

    def _passed(
        self,
        stage: Stage,
        comparing: Comparing | None,
        group: list[Document],
        counts: Iterator[Count],
    ) -> list[Document]:
        passed = self._passages(stage, [document.text for document in group])
        own = [next(counts) for _ in stage.functions]
        for passage in passed:
            passage.add_to(own)
        remaining = [
            (document, passage)
            for document, passage in zip(group, passed, strict=True)
            if not passage.dropped
        ]
        if comparing is None:
            return [document._replace(text=passage.text) for document, passage in remaining]
        count = next(counts)
        kept = []
        decisions = comparing.decide([passage.look for _, passage in remaining])
        for (document, passage), decision in zip(remaining, decisions, strict=True):
            outcome = comparing.apply(passage.text, decision)
            count.add(Trace.of(passage.text, outcome))
            if not isinstance(outcome, Dropped):
                kept.append(document._replace(text=outcome))
        return kept

    def _passages(self, stage: Stage, texts: list[str]) -> list[Passage]:
        if self._processes > 1 and self._pool is None and self._seen > ALONE and self._stages:
            self._pool = ProcessPoolExecutor(self._processes, get_context("spawn"), serve_parent)
        if self._pool is None:
            return passages(stage, texts)
        parts = _parts(texts)
        done = self._pool.map(passages, [stage] * len(parts), parts)
        return [passage for part in done for passage in part]

    def save(self, folder: Path) -> None:
        """Write down what the comparing steps have seen; the counts are the caller's to keep."""
        for number, comparing in enumerate(self._comparing):
            if comparing is not None:
                (folder / str(number)).mkdir(parents=True, exist_ok=True)
                comparing.save(folder / str(number))

    def load(self, folder: Path) -> None:
        """Go on from what was saved."""
        for number, comparing in enumerate(self._comparing):
            if comparing is not None:
                comparing.load(folder / str(number))

    def __enter__(self) -> Cleaner:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


def clean(
    documents: Documents, nodes: Sequence[dict[str, Any]], processes: int = 1
) -> tuple[Documents, list[Count]]:
    """Apply the configured steps, in order, to a stream.

    Returns:
        What remains, as a stream, and a count for each step that grows as the stream is read.
    """
    cleaner = Cleaner(nodes, processes)

    def remaining() -> Documents:
        with cleaner:
            for group in groups(documents):
                yield from cleaner.clean(group)

    return (remaining() if nodes else documents), cleaner.counts


def _parts(texts: list[str]) -> list[list[str]]:
    """The texts in lists of about CHARACTERS_OF_A_PART characters, which documents of any length share evenly."""
    parts: list[list[str]] = []
    room = 0
    for text in texts:
        if room <= 0:
            parts.append([])
            room = CHARACTERS_OF_A_PART
        parts[-1].append(text)
        room -= len(text) + 100  # a document costs something, however short
    return parts


def groups(documents: Documents) -> Iterator[list[Document]]:
    """The documents in groups of about CHARACTERS_AT_ONCE characters, and at most DOCUMENTS_AT_ONCE documents."""
    group: list[Document] = []
    characters = 0
    for document in documents:
        group.append(document)
        characters += len(document.text)
        if characters >= CHARACTERS_AT_ONCE or len(group) >= DOCUMENTS_AT_ONCE:
            yield group
            group, characters = [], 0
    if group:
        yield group


def beginning(documents: Documents, characters: int) -> Iterator[Document]:
    """The first documents, up to the one with which they have so many characters."""
    read = 0
    for document in documents:
        yield document
        read += len(document.text)
        if read >= characters:
            return
