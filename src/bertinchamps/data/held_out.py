"""Which documents are held out: a document's number decides, a hash of its text as the source gives it.

Cleaning changes texts, and a step such as `repeated_lines` leaves less of a text in the whole corpus than in a sample
of it. So the number is computed before, at one place (`Cleaner.clean`), and goes with the document.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from bertinchamps.contract import Document, Source


def numbered(document: Document) -> Document:
    """The document with its number, which stays the same when cleaning changes the text."""
    return document._replace(number=number_of(document))


def held_out_rule(source: Source, share: float) -> Callable[[Document], bool]:
    """Which of the source's documents must not be trained on: a share, or copies of those set aside.

    A document is a copy of one set aside if the two texts are equal before the cleaning, or after it.
    """
    own = source.held_out()
    if own is None:
        return lambda document: is_held_out(document, share)
    numbers = {_number(document.text) for document in own}
    return lambda document: number_of(document) in numbers or _number(document.text) in numbers


def is_held_out(document: Document, share: float) -> bool:
    """Whether a document is kept out of training: decided by its number, so that exact copies stay together."""
    return number_of(document) < share * 2**64


def number_of(document: Document) -> int:
    """The number of a document, from 0 to 2^64 - 1: the one it carries, or that of its text, unchanged so far."""
    return _number(document.text) if document.number is None else document.number


def _number(text: str) -> int:
    """A number from 0 to 2^64 - 1 that the text alone decides."""
    digest = hashlib.blake2b(text.encode(), digest_size=8, person=b"held out").digest()
    return int.from_bytes(digest, "big")
