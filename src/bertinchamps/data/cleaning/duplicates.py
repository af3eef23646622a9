"""Steps that compare documents: exact copies, near copies, and sentences that come back again and again.

All of them keep what came first, and read the documents once. Memory grows with the number of documents, not with
their length: 8 bytes of digest and Python's own overhead for each exact copy looked for, about a kilobyte for a near
one; the table of repeated lines has a fixed size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import regex

from bertinchamps.data.cleaning import Count, Documents, Step, steps

WORD = regex.compile(r"\w+")
# What a line is: up to a line end, the end of a sentence, or a bullet.
LINE = regex.compile(r".*?(?:(?<=[.!?])\s+|\s+(?=[·•▪])|\n+|$)", regex.DOTALL)
TABLE = 1 << 26  # counters of a byte each: enough for some ten million different lines


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


@steps.register("exact_duplicates")
def exact_duplicates() -> Step:
    """Drop documents whose text was seen before."""

    def step(documents: Documents, count: Count) -> Documents:
        seen: set[int] = set()
        for document in documents:
            digest = _digest(document.text)
            if digest in seen:
                count.dropped["exact duplicate"] += 1
            else:
                seen.add(digest)
                yield document

    return step


def _near_problems(settings: Mapping[str, Any]) -> list[str]:
    similarity, words = settings.get("similarity", 0.8), settings.get("words", 5)
    wrong = (
        []
        if 0 < similarity < 1
        else [f"cleaning.similarity={similarity}: a share between 0 and 1, such as 0.8"]
    )
    return wrong + ([] if words >= 1 else [f"cleaning.words={words}: must be at least 1"])


@steps.register("near_duplicates", check=_near_problems)
def near_duplicates(similarity: float = 0.8, words: int = 5, permutations: int = 128) -> Step:
    """Drop documents that share most of their runs of words with one that was kept.

    MinHash with locality-sensitive hashing (Broder, 1997; Leskovec et al., 2014, chapter 3): signatures and bands
    are datasketch's. A document is dropped if a whole band of its signature was seen; at the similarity asked for
    that happens about every second time, well above it nearly always, well below it hardly ever.

    Args:
        similarity: Jaccard similarity of the sets of runs.
        words: in a run; case and punctuation do not count.
        permutations: length of the signature.
    """
    from datasketch import MinHash, MinHashLSH

    bands = MinHashLSH(threshold=similarity, num_perm=permutations)
    edges = [(band, band * bands.r, (band + 1) * bands.r) for band in range(bands.b)]

    def keys(text: str) -> list[int]:
        signature = MinHash(num_perm=permutations, seed=1)
        signature.update_batch(_runs(text, words))
        values = signature.hashvalues
        digests = (
            hashlib.blake2b(values[start:end].tobytes(), digest_size=8, key=bytes([band])).digest()
            for band, start, end in edges
        )
        return [int.from_bytes(digest, "big") for digest in digests]

    def step(documents: Documents, count: Count) -> Documents:
        seen: set[int] = set()
        for document in documents:
            own = keys(document.text)
            if not seen.isdisjoint(own):
                count.dropped["near duplicate"] += 1
            else:
                seen.update(own)
                yield document

    return step


def _runs(text: str, words: int) -> list[bytes]:
    """The different runs of so many words; of a shorter text the whole."""
    found = WORD.findall(text.lower())
    if not found:
        return [text.encode()]
    runs = {" ".join(found[place : place + words]) for place in range(max(1, len(found) - words + 1))}
    return [run.encode() for run in runs]


def _line_problems(settings: Mapping[str, Any]) -> list[str]:
    most = settings.get("most", 10)
    return [] if 1 <= most <= 254 else [f"cleaning.most={most}: from 1 to 254"]


@steps.register("repeated_lines", check=_line_problems)
def repeated_lines(most: int = 10, least: int = 20) -> Step:
    """Take lines and sentences out of documents once they have come `most` times, in whatever documents.

    They are counted in a table of fixed size, by a digest: of ten million different ones a few in a hundred share a
    counter with another. Documents of which nothing is left are dropped.

    Args:
        most: how often a line may come.
        least: characters below which a line is left alone: numbers, headings, list items.
    """

    def step(documents: Documents, count: Count) -> Documents:
        seen = np.zeros(TABLE, dtype=np.uint8)
        for document in documents:
            kept = "".join(line for line in _lines(document.text) if _rare(line, seen))
            if len(kept) == len(document.text):
                yield document
                continue
            count.mended += 1
            if kept.strip():
                yield document._replace(text=kept)
            else:
                count.dropped["nothing but repeated lines"] += 1

    def _rare(line: str, seen: np.ndarray[Any, np.dtype[np.uint8]]) -> bool:
        content = line.strip()
        if len(content) < least:
            return True
        place = _digest(content) % TABLE
        if seen[place] >= most:
            return False
        seen[place] += 1
        return True

    return step


def _lines(text: str) -> Iterator[str]:
    """The text in lines, each with what separates it from the next."""
    return (match[0] for match in LINE.finditer(text) if match[0])
