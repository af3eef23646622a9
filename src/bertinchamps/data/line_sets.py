"""Sets of lines, such as the test split of a task, and where their n-grams of words occur in other texts.

A word is a run of letters and digits in lower case; accents count, punctuation and blanks do not. A line of at least
`ngram` words is looked for by all its n-grams. A shorter line of at least SHORTEST words or LETTERS letters is looked
for as one n-gram of its own length. Lines below both limits, such as headings, are not looked for.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

WORD = re.compile(r"[^\W_]+")
SHORTEST, LETTERS = 8, 40
FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no bit of a hash is lost

Integers = NDArray[np.uint64]
Places = NDArray[np.int64]


def words_of(text: str) -> list[str]:
    """The words of a text, normalised."""
    return WORD.findall(unicodedata.normalize("NFC", text).lower())


def lines_of(texts: Iterable[str]) -> list[tuple[str, ...]]:
    """The different lines of texts, each as its words; lines without a word are left out."""
    found = (tuple(words_of(line)) for text in texts for line in text.splitlines())
    return list(dict.fromkeys(line for line in found if line))


def digest_of(lines: Iterable[Sequence[str]]) -> str:
    """The digest of a set of lines: 32 hexadecimal digits, which tell nothing of the words.

    The order of the lines, copies, punctuation and blanks do not matter.
    """
    whole = hashlib.blake2b(digest_size=16)
    for digest in sorted(
        {hashlib.blake2b(" ".join(line).encode(), digest_size=16).digest() for line in lines}
    ):
        whole.update(digest)
    return whole.hexdigest()


@dataclass(frozen=True)
class LineSet:
    """A set of lines that is looked for.

    Attributes:
        name: of its files.
        digest: of all its lines.
        lines: for each line that is long enough, the numbers of its n-grams in the index.
        short: lines that are too short to be looked for.
    """

    name: str
    digest: str
    lines: tuple[Places, ...]
    short: int

    def facts(self) -> dict[str, Any]:
        """Name, digest, and the numbers of lines and of different n-grams."""
        return {
            "name": self.name,
            "digest": self.digest,
            "lines": len(self.lines),
            "short_lines": self.short,
            "ngrams": len(self.ngrams()),
        }

    def ngrams(self) -> Places:
        """The numbers of its n-grams."""
        return np.unique(np.concatenate(self.lines)) if self.lines else np.empty(0, dtype=np.int64)

    def found(self, marks: int) -> dict[str, int]:
        """How many of its n-grams were met, of its lines at least in one n-gram, and of its lines in all n-grams.

        Args:
            marks: bit n is set if n-gram n was met.
        """
        ngrams = self.ngrams()
        size = max(marks.bit_length(), int(ngrams.max(initial=0)) + 1) // 8 + 1  # bytes
        octets = np.frombuffer(marks.to_bytes(size, "little"), dtype=np.uint8)
        met = np.unpackbits(octets, bitorder="little").astype(bool)
        return {
            "ngrams_found": int(met[ngrams].sum()),
            "lines_found": sum(bool(met[line].any()) for line in self.lines),
            "lines_whole": sum(bool(met[line].all()) for line in self.lines),
        }


class Hits(NamedTuple):
    """Where n-grams occur in a list of words; arrays of one length.

    Attributes:
        starts: of each occurrence, its first word.
        lengths: its number of words.
        ngrams: its number in the index.
    """

    starts: Places
    lengths: Places
    ngrams: Places

    def covered(self, words: int) -> NDArray[np.bool_]:
        """Which of so many words are in an occurrence."""
        edges = np.zeros(words + 1, dtype=np.int64)
        np.add.at(edges, self.starts, 1)
        np.add.at(edges, self.starts + self.lengths, -1)
        return np.cumsum(edges[:-1]) > 0


class Words(dict[str, int]):
    """Word → its hash; 0 for words that no set has."""

    def __missing__(self, word: str) -> int:
        return 0


class Index:
    """The n-grams of sets of lines by their hashes of 64 bits.

    Memory grows with the sets alone: 16 bytes for each n-gram, and their words.

    Args:
        sets: name → texts.
        ngram: words of an n-gram.

    Attributes:
        sets: the sets of lines.
        members: for each set, which n-grams of the index are in it.
    """

    def __init__(self, sets: Mapping[str, Iterable[str]], ngram: int) -> None:
        numbers: dict[tuple[str, ...], int] = {}
        self.sets: list[LineSet] = []
        for name, texts in sets.items():
            lines, long = lines_of(texts), []
            for line in filter(_is_long, lines):
                length = min(ngram, len(line))
                windows = (line[start : start + length] for start in range(len(line) - length + 1))
                long.append(np.array([numbers.setdefault(window, len(numbers)) for window in windows]))
            self.sets.append(LineSet(name, digest_of(lines), tuple(long), len(lines) - len(long)))
        self._hash_of = Words((word, _hash(word)) for window in numbers for word in window)
        self._tables: dict[int, tuple[Integers, Places]] = {}
        for length in sorted({len(window) for window in numbers}):
            self._tables[length] = self._table([pair for pair in numbers.items() if len(pair[0]) == length])
        self.members = np.zeros((len(self.sets), len(numbers)), dtype=bool)
        for row, of_set in zip(self.members, self.sets, strict=True):
            row[of_set.ngrams()] = True

    def _table(self, windows: Sequence[tuple[tuple[str, ...], int]]) -> tuple[Integers, Places]:
        """The sorted hashes of n-grams of one length, with their numbers."""
        words = np.array([[self._hash_of[word] for word in window] for window, _ in windows], dtype=np.uint64)
        hashes = words[:, 0].copy()
        for column in words.T[1:]:
            hashes = hashes * FACTOR + column
        order = np.argsort(hashes)
        return hashes[order], np.array([number for _, number in windows], dtype=np.int64)[order]

    def find(self, words: Sequence[str]) -> Hits | None:
        """Where n-grams of the sets occur in a list of words; None if nowhere."""
        if not self._tables or len(words) < min(self._tables):
            return None
        hashes = np.fromiter(map(self._hash_of.__getitem__, words), dtype=np.uint64, count=len(words))
        unknown = np.concatenate([[0], np.cumsum(hashes == 0)])
        rolling, found = hashes, []
        for length in range(1, min(max(self._tables), len(words)) + 1):
            if length > 1:
                rolling = rolling[:-1] * FACTOR + hashes[length - 1 :]
            if length in self._tables:
                starts = np.flatnonzero(unknown[length:] == unknown[:-length])
                if not len(starts) and length == min(self._tables):
                    return None
                found += self._occurrences(length, starts, rolling)
        return Hits(*(np.concatenate(part) for part in zip(*found, strict=True))) if found else None

    def _occurrences(self, length: int, starts: Places, rolling: Integers) -> list[Hits]:
        table, numbers = self._tables[length]
        hashes = rolling[starts]
        places = np.minimum(np.searchsorted(table, hashes), len(table) - 1)
        same = table[places] == hashes
        starts = starts[same]
        return [Hits(starts, np.full(len(starts), length), numbers[places[same]])] if len(starts) else []


def _is_long(line: Sequence[str]) -> bool:
    return len(line) >= SHORTEST or sum(letter.isalpha() for word in line for letter in word) >= LETTERS


def _hash(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "big") | 1
