"""Optional cleaning steps between a source and the tokenizer, each counting what it drops and mends.

A step is a function in this registry: it takes documents and a `Count`, and gives the documents that remain.
`cleaning=[{name: length, least: 200}]` turns one on. What goes in and comes out is counted around it, so a
step only says why.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from bertinchamps.config import named
from bertinchamps.contract import Document
from bertinchamps.registry import Registry

Documents = Iterator[Document]


@dataclass
class Count:
    """What a step did.

    Attributes:
        step: its name.
        documents_in: documents read.
        characters_in: their characters.
        documents_out: documents passed on.
        characters_out: their characters.
        dropped: documents left out, by reason.
        mended: documents changed.
    """

    step: str
    documents_in: int = 0
    characters_in: int = 0
    documents_out: int = 0
    characters_out: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    mended: int = 0

    def facts(self) -> dict[str, Any]:
        """All of it as JSON has it."""
        return {**vars(self), "dropped": dict(self.dropped)}

    def reading(self, documents: Documents) -> Documents:
        """The documents, counted as they go in."""
        for document in documents:
            self.documents_in += 1
            self.characters_in += len(document.text)
            yield document

    def giving(self, documents: Documents) -> Documents:
        """The documents, counted as they come out."""
        for document in documents:
            self.documents_out += 1
            self.characters_out += len(document.text)
            yield document


Step = Callable[[Documents, Count], Documents]
steps: Registry[Step] = Registry("cleaning step", "cleaning", package=__name__)


def clean(documents: Documents, nodes: Sequence[dict[str, Any]]) -> tuple[Documents, list[Count]]:
    """Apply the configured steps in order.

    Returns:
        What remains, as a stream, and a count for each step that grows as the stream is read.
    """
    counts = []
    for node in nodes:
        name, settings = named(node)
        count = Count(name)
        counts.append(count)
        documents = count.giving(steps.build(name, **settings)(count.reading(documents), count))
    return documents, counts


def dropped(counts: Sequence[Count]) -> Counter[str]:
    """Documents that the steps left out, by reason."""
    return sum((count.dropped for count in counts), Counter[str]())


def cleaning_problems(nodes: Sequence[dict[str, Any]]) -> list[str]:
    """Mistakes in the cleaning steps, in the user's key names."""
    return [problem for node in nodes for problem in steps.problems(*named(node))]
