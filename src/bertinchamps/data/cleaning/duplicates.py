"""Steps that compare documents: exact copies, near copies, and sentences that come back again and again.

All of them keep what came first, and read the documents once. Memory grows with the number of documents, not with
their length: 8 bytes for each document kept by `exact_duplicates`, some 70 by `near_duplicates` (8 a band); the
table of repeated lines has a fixed size.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import regex
from numpy.typing import NDArray

from bertinchamps.data.cleaning import Comparing, Dropped, Outcome, steps
from bertinchamps.data.cleaning.lines import lines

Integers = NDArray[np.uint64]

WORD = regex.compile(r"\w+")
MOST_BANDS = 256
TABLE = 1 << 26  # counters of a byte each: enough for some ten million different lines


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


class Digests:
    """A set of 64-bit digests at 8 bytes each: sorted arrays, of which neighbours of like size become one."""

    def __init__(self) -> None:
        self._arrays: list[Integers] = []

    def have(self, digests: Integers) -> NDArray[np.bool_]:
        """Which of the digests are in the set; the answer has their shape."""
        found = np.zeros(digests.shape, dtype=bool)
        for array in self._arrays:
            places = np.searchsorted(array, digests)
            found |= array[np.minimum(places, len(array) - 1)] == digests
        return found

    def add(self, digests: Integers) -> None:
        """Put in digests that are not there."""
        if len(digests):
            self._arrays.append(np.sort(digests))
        while len(self._arrays) > 1 and len(self._arrays[-2]) < 2 * len(self._arrays[-1]):
            last = self._arrays.pop()
            self._arrays[-1] = np.sort(np.concatenate([self._arrays[-1], last]), kind="stable")

    def save(self, file: Path) -> None:
        """Write the set into a file."""
        np.save(file, np.concatenate(self._arrays) if self._arrays else np.empty(0, dtype=np.uint64))

    def load(self, file: Path) -> None:
        """Become the set in a file."""
        self._arrays = []
        self.add(np.load(file, allow_pickle=False))


class _Copies:
    """Drops a document if one of its digests is one of a document that was kept."""

    def __init__(self, digests_of: Callable[[str], list[int]], reason: str) -> None:
        self.look, self._reason = digests_of, reason
        self._seen = Digests()

    def decide(self, looks: Sequence[list[int]]) -> list[bool]:
        if not looks:
            return []
        copies = self._seen.have(np.array(looks, dtype=np.uint64)).max(axis=1)
        fresh: set[int] = set()
        decisions = []
        for digests, copy in zip(looks, copies, strict=True):
            kept = not copy and fresh.isdisjoint(digests)
            if kept:
                fresh.update(digests)
            decisions.append(kept)
        self._seen.add(np.fromiter(fresh, dtype=np.uint64, count=len(fresh)))
        return decisions

    def apply(self, text: str, decision: bool) -> Outcome:
        return text if decision else Dropped(self._reason)

    def save(self, folder: Path) -> None:
        self._seen.save(folder / "digests.npy")

    def load(self, folder: Path) -> None:
        self._seen.load(folder / "digests.npy")


@steps.register("exact_duplicates")
def exact_duplicates() -> Comparing:
    """Drop documents whose text was seen before."""
    return _Copies(lambda text: [_digest(text)], "exact duplicate")


def _near_problems(settings: Mapping[str, Any]) -> list[str]:
    similarity, words = settings.get("similarity", 0.8), settings.get("words", 5)
    wrong = (
        []
        if 0 < similarity < 1
        else [f"cleaning.similarity={similarity}: a share between 0 and 1, such as 0.8"]
    )
    wrong += [] if words >= 1 else [f"cleaning.words={words}: must be at least 1"]
    if not wrong:
        permutations = settings.get("permutations", 128)
        try:
            bands, _ = _bands(similarity, permutations)
        except ValueError:
            bands = 0
        if not 0 < bands <= MOST_BANDS:
            wrong.append(
                f"cleaning.similarity={similarity}: cannot be distinguished with permutations={permutations}; "
                "a similarity such as 0.8 takes 128, one nearer to 1 more"
            )
    return wrong


@functools.cache
def _bands(similarity: float, permutations: int) -> tuple[int, int]:
    """The number of bands and of values in a band, which datasketch finds in some hundred integrations.

    Raises:
        ValueError: no such bands.
    """
    from datasketch import MinHashLSH

    found = MinHashLSH(threshold=similarity, num_perm=permutations)
    return found.b, found.r


@steps.register("near_duplicates", check=_near_problems)
def near_duplicates(similarity: float = 0.8, words: int = 5, permutations: int = 128) -> Comparing:
    """Drop documents that share most of their runs of words with one that was kept.

    MinHash with locality-sensitive hashing (Broder, 1997; Leskovec et al., 2014, chapter 3): signatures and bands
    are datasketch's. A document is dropped if a whole band of its signature was seen; at the similarity asked for
    that happens about every second time, well above it nearly always, well below it hardly ever.

    Args:
        similarity: Jaccard similarity of the sets of runs.
        words: in a run; case and punctuation do not count.
        permutations: length of the signature.
    """
    from datasketch import MinHash

    bands, values_of_one = _bands(similarity, permutations)
    edges = [(band, band * values_of_one, (band + 1) * values_of_one) for band in range(bands)]

    def keys(text: str) -> list[int]:
        signature = MinHash(num_perm=permutations, seed=1)
        signature.update_batch(_runs(text, words))
        values = signature.hashvalues
        digests = (
            hashlib.blake2b(values[start:end].tobytes(), digest_size=8, key=bytes([band])).digest()
            for band, start, end in edges
        )
        return [int.from_bytes(digest, "big") for digest in digests]

    return _Copies(keys, "near duplicate")


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


Lines = list[
    tuple[int, int | None]
]  # of each line its length, and its place in the table if it is long enough
Spans = list[tuple[int, int]]


@steps.register("repeated_lines", check=_line_problems)
class RepeatedLines:
    """Take lines and sentences out of documents once they have come `most` times, in whatever documents.

    They are counted in a table of fixed size, by a digest: of ten million different ones a few in a hundred share a
    counter with another. Documents of which nothing is left are dropped.

    Args:
        most: how often a line may come.
        least: characters below which a line is left alone: numbers, headings, list items.
    """

    def __init__(self, most: int = 10, least: int = 20) -> None:
        self._most, self._least = most, least
        self._seen = np.zeros(TABLE, dtype=np.uint8)

    def look(self, text: str) -> Lines:
        return [(len(line), self._place(line.strip())) for line in lines(text)]

    def _place(self, content: str) -> int | None:
        return None if len(content) < self._least else _digest(content) % TABLE

    def decide(self, looks: Sequence[Lines]) -> list[Spans | None]:
        """Of each document the parts to keep, or None for the whole."""
        return [self._kept(lines) for lines in looks]

    def _kept(self, lines: Lines) -> Spans | None:
        spans, start = [], 0
        for length, place in lines:
            if self._rare(place):
                spans.append((start, start + length))
            start += length
        return None if len(spans) == len(lines) else spans

    def _rare(self, place: int | None) -> bool:
        if place is None:
            return True
        if self._seen[place] >= self._most:
            return False
        self._seen[place] += 1
        return True

    def apply(self, text: str, decision: Spans | None) -> Outcome:
        if decision is None:
            return text
        kept = "".join(text[start:end] for start, end in decision)
        return kept if kept.strip() else Dropped("nothing but repeated lines")

    def save(self, folder: Path) -> None:
        np.save(folder / "table.npy", self._seen)

    def load(self, folder: Path) -> None:
        self._seen = np.load(folder / "table.npy", allow_pickle=False)
