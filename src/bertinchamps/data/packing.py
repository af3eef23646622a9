"""Windows of packed tokens straight from documents, endlessly, each with the cursor at which it begins."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tokenizers import Tokenizer

from bertinchamps.contract import Document, Place, Source
from bertinchamps.data.blocks import Tokens, TokenWriter, dtype_facts, dtype_for
from bertinchamps.data.cleaning.cleaner import Cleaner, groups
from bertinchamps.data.held_out import held_out_rule
from bertinchamps.data.tokenising import ahead, encode
from bertinchamps.data.tokenizer import Vocabulary, vocabulary
from bertinchamps.errors import UserError
from bertinchamps.schemas import PrepareConfig


class Cursor(NamedTuple):
    """Where a window begins.

    Attributes:
        after: behind this place of the source; None at its beginning.
        skip: tokens of what follows that belong to earlier windows.
    """

    after: Place | None = None
    skip: int = 0


class Packer:
    """Cleans, splits and tokenises as a preparation does, and keeps nothing but the current window.

    Args:
        source: read to its end, and then again from its beginning.
        config: cleaning (of texts by themselves), share held out, densest document.
        tokenizer: makes tokens of documents.
        processes: that clean.
    """

    def __init__(self, source: Source, config: PrepareConfig, tokenizer: Tokenizer, processes: int) -> None:
        self._source, self._tokenizer = source, tokenizer
        self._cleaner = Cleaner(config.cleaning, processes)
        self._is_held_out: Callable[[Document], bool] = held_out_rule(source, config.blocks.held_out_share)
        self._densest = config.blocks.tokens_per_character or math.inf
        known = vocabulary(tokenizer)
        self._separator, self._dtype = known.separator_id, dtype_for(known.size)

    def windows(self, size: int, cursor: Cursor) -> Iterator[tuple[Cursor, Tokens]]:
        """Windows of `size` tokens from a cursor on, each with its own cursor.

        Raises:
            UserError: documents cannot be read, or none of them is to be trained on.
        """
        parts: list[Tokens] = []
        held, before, skip = 0, cursor.after, cursor.skip
        start = cursor
        with self._cleaner:
            for place, tokens in self._endlessly(cursor.after):
                used = skip
                skip = 0
                while len(tokens) - used >= size - held:
                    parts.append(tokens[used : used + size - held])
                    used += size - held
                    yield start, np.concatenate(parts)
                    start = Cursor(before, used) if used < len(tokens) else Cursor(place)
                    parts, held = [], 0
                if used < len(tokens):
                    parts.append(tokens[used:])
                    held += len(tokens) - used
                before = place

    def _endlessly(self, after: Place | None) -> Iterator[tuple[Place | None, Tokens]]:
        """The tokens of each training document and the place behind it, pass after pass."""
        while True:
            some = False
            for place, tokens in self._pass(after):
                some = True
                yield place, tokens
            if after is None and not some:
                raise UserError("no document to train on: the source has none, or the cleaning leaves none")
            after = None

    def _pass(self, after: Place | None) -> Iterator[tuple[Place | None, Tokens]]:
        for group in ahead(groups(self._source.documents(after))):
            documents = [
                document for document in self._cleaner.clean(group) if not self._is_held_out(document)
            ]
            encoded = encode(self._tokenizer, [document.text for document in documents])
            for document, ids in zip(documents, encoded, strict=True):
                if len(ids) <= self._densest * len(document.text):
                    yield document.place, np.array([*ids, self._separator], dtype=self._dtype)

    def held_out(self, tokens: int, characters: int) -> Iterator[tuple[list[list[int]], int]]:
        """Ids of held-out documents: all of the user's own, or those met first, until there are so many tokens.

        Yields the ids of some documents and the number of characters of these documents.

        Args:
            tokens: enough.
            characters: of the source that are read at most.
        """
        own = self._source.held_out()
        if own is not None:
            for group in groups(own):
                texts = [document.text for document in group]
                yield encode(self._tokenizer, texts), sum(map(len, texts))
            return
        for group in groups(self._source.documents()):
            characters -= sum(len(document.text) for document in group)
            chosen = [document.text for document in self._cleaner.clean(group) if self._is_held_out(document)]
            ids = encode(self._tokenizer, chosen)
            yield ids, sum(map(len, chosen))
            tokens -= sum(map(len, ids))
            if tokens <= 0 or characters <= 0:
                return


def write_held_out(
    packer: Packer, known: Vocabulary, folder: Path, tokens: int, characters: int
) -> dict[str, Any]:
    """Write held-out documents into a folder, with checksums; returns their part of a manifest.

    Args:
        packer: gives the documents.
        known: of the tokenizer.
        folder: to write into.
        tokens: enough.
        characters: of the source that are read at most.
    """
    total = 0
    with TokenWriter(folder / "held_out.bin", known.separator_id, dtype=dtype_for(known.size)) as writer:
        for ids, read in packer.held_out(tokens, characters):
            writer.add(ids)
            total += read
    return {
        "held_out": {"documents": writer.documents, "tokens": writer.tokens},
        "held_out_characters": total,
        **dtype_facts(known.size),
        "checksums": {"held_out": writer.sums.write(folder / "held_out.sums")},
    }
