"""Optional cleaning steps between a source and the tokenizer, each counting what it drops.

A step is a function in this registry: it takes documents and a tally, and gives the documents that
remain. `cleaning=[{name: length, least: 200}]` turns one on.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from bertinchamps.config import named
from bertinchamps.contract import Document
from bertinchamps.registry import Registry

Documents = Iterator[Document]
Step = Callable[[Documents, "Counter[str]"], Documents]

steps: Registry[Step] = Registry("cleaning step", "cleaning")


@steps.register("length")
def length(least: int = 0, most: int | None = None) -> Step:
    """Drop documents of fewer than `least` or more than `most` characters."""

    def clean(documents: Documents, tally: Counter[str]) -> Documents:
        for document in documents:
            if len(document.text) < least:
                tally["too short"] += 1
            elif most is not None and len(document.text) > most:
                tally["too long"] += 1
            else:
                yield document

    return clean


@steps.register("exact_duplicates")
def exact_duplicates() -> Step:
    """Drop documents whose text was seen before. Keeps 8 bytes of digest for each document."""

    def clean(documents: Documents, tally: Counter[str]) -> Documents:
        seen: set[int] = set()
        for document in documents:
            digest = int.from_bytes(hashlib.blake2b(document.text.encode(), digest_size=8).digest(), "big")
            if digest in seen:
                tally["exact duplicate"] += 1
            else:
                seen.add(digest)
                yield document

    return clean


def clean(documents: Documents, nodes: list[dict[str, Any]], tally: Counter[str]) -> Documents:
    """Apply the configured steps in order; `tally` counts what each drops."""
    for node in nodes:
        name, settings = named(node)
        documents = steps.build(name, **settings)(documents, tally)
    return documents


def cleaning_problems(nodes: list[dict[str, Any]]) -> list[str]:
    """Mistakes in the cleaning steps, in the user's key names."""
    return [problem for node in nodes for problem in steps.problems(*named(node))]
