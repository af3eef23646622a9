"""Entries of a vocabulary, trained on a sample of texts: same texts, same entries, in each process.

    WordPiece        the letters that begin a word, those that continue one, and merges, by the library's trainer
    byte-level BPE   the 256 bytes and merges, by the library's trainer
    Unigram          `unigram_training.py`

Memory is bounded by the sample's distinct words, whatever the corpus holds.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.trainers import BpeTrainer, WordPieceTrainer

from bertinchamps.errors import UserError

ALPHABET_LIMIT = 1000  # distinct characters: a web corpus has tens of thousands, and each would be an entry
TEXTS_AT_ONCE, CHARACTERS_AT_ONCE = 256, 1_000_000  # handed to the trainer together, which bounds memory
WORDS_REMEMBERED, WORDS_OF_A_TEXT = 500_000, 100


class Sample:
    """Texts that training goes over several times: read once, then kept on disk, in a file without a name.

    Args:
        texts: read until there are so many characters.
        most: characters, about.
        file: empty, to write and to read.

    Attributes:
        characters: that were read.
    """

    def __init__(self, texts: Iterable[str], most: int, file: TextIO) -> None:
        self._texts, self._most, self._file = texts, most, file
        self.characters = 0

    def read(self) -> Iterator[list[str]]:
        """Lists of texts, as they are read and written to the file; the first pass."""
        for texts in self._in_pieces():
            self._file.write(json.dumps(texts, ensure_ascii=False) + "\n")
            yield texts

    def refuse_empty(self) -> None:
        """Raise a UserError if there were no texts."""
        if not self.characters:
            raise UserError("there is no text to train a tokenizer on: the source gave no training documents")

    def read_for_letters(self) -> Iterator[list[str]]:
        """The first pass as well, with those words of each list that are new: they hold its letters."""
        known: set[str] = set()
        for texts in self.read():
            words = {word for text in texts for word in text.split(" ")} - known
            if len(known) > WORDS_REMEMBERED:
                known.clear()
            known |= words
            listed = list(words)
            yield [
                " ".join(listed[start : start + WORDS_OF_A_TEXT])
                for start in range(0, len(listed), WORDS_OF_A_TEXT)
            ]

    def __iter__(self) -> Iterator[list[str]]:
        """The lists again, once they were read."""
        self._file.seek(0)
        return map(json.loads, self._file)

    def _in_pieces(self) -> Iterator[list[str]]:
        """Lists of texts (the trainer works through each in parallel), up to so many characters in all."""
        piece: list[str] = []
        held = 0
        for text in self._texts:
            piece.append(text)
            held += len(text)
            self.characters += len(text)
            enough = self.characters >= self._most
            if enough or len(piece) == TEXTS_AT_ONCE or held >= CHARACTERS_AT_ONCE:
                yield piece
                piece, held = [], 0
            if enough:
                return
        if piece:
            yield piece


@contextmanager
def sample_of(texts: Iterable[str], most: int, folder: Path) -> Iterator[Sample]:
    """A sample whose file lies in a folder, as long as it is needed.

    Args:
        texts: read until there are so many characters.
        most: characters, about.
        folder: where there is space on disk.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", dir=folder) as file:
        yield Sample(texts, most, file)


def train_word_pieces(
    untrained: Callable[[], Tokenizer],
    prefix: str,
    sample: Sample,
    size: int,
    least: int,
    special: Sequence[str] = (),
) -> tuple[Tokenizer, list[str]]:
    """A trained WordPiece tokenizer, and its pieces of one letter; their ids follow the special tokens'.

    Left alone, the trainer numbers continuing letters in the order of a randomly seeded hash table and
    breaks ties between merges by these numbers, so that each run would learn another vocabulary. It
    takes an order only for special tokens: the letters go in as such.

    Args:
        untrained: makes a tokenizer with normalizer and pre-tokenizer.
        prefix: of pieces that continue a word.
        sample: not read yet.
        size: entries, the special ones included.
        least: occurrences that a pair needs to be merged.
        special: tokens with the first ids.

    Raises:
        UserError: there are no texts.
    """
    letters = _letters(untrained(), prefix, sample)
    sample.refuse_empty()
    if len({_letter(piece) for piece in letters}) > ALPHABET_LIMIT:
        frequent = _frequent_letters(untrained(), sample)
        letters = [piece for piece in letters if _letter(piece) in frequent]
    tokenizer = untrained()
    trainer = WordPieceTrainer(
        vocab_size=size,
        min_frequency=least,
        special_tokens=[*special, *letters],
        initial_alphabet=sorted({_letter(piece) for piece in letters}),
        limit_alphabet=len({_letter(piece) for piece in letters}),
        continuing_subword_prefix=prefix,
        show_progress=False,
    )
    tokenizer.train_from_iterator(sample, trainer)
    return tokenizer, letters


def train_byte_merges(
    untrained: Callable[[], Tokenizer], sample: Sample, size: int, least: int
) -> tuple[Tokenizer, list[str]]:
    """A trained byte-level BPE tokenizer, and its pieces of one byte.

    Args:
        untrained: makes a tokenizer with normalizer and pre-tokenizer.
        sample: not read yet.
        size: entries.
        least: occurrences that a pair needs to be merged.

    Raises:
        UserError: there are no texts.
    """
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = untrained()
    trainer = BpeTrainer(vocab_size=size, min_frequency=least, initial_alphabet=letters, show_progress=False)
    tokenizer.train_from_iterator(sample.read(), trainer)
    sample.refuse_empty()
    return tokenizer, letters


def normalized(tokenizer: Tokenizer, text: str) -> str:
    """The text as a tokenizer's normalizer writes it."""
    return str(tokenizer.normalizer.normalize_str(text)) if tokenizer.normalizer else text


def most_frequent(counts: Counter[str], number: int) -> list[str]:
    """The most frequent ones, ties in the order of the alphabet."""
    return sorted(counts, key=lambda each: (-counts[each], each))[:number]


def _letters(tokenizer: Tokenizer, prefix: str, sample: Sample) -> list[str]:
    """The pieces of one character that the trainer begins from: those that start a word, then the others."""
    nothing_merged = WordPieceTrainer(
        vocab_size=0, special_tokens=[], continuing_subword_prefix=prefix, show_progress=False
    )
    tokenizer.train_from_iterator(sample.read_for_letters(), nothing_merged)
    return sorted(tokenizer.get_vocab(), key=lambda piece: (piece.startswith(prefix), piece))


def _letter(piece: str) -> str:
    return piece[-1]


def _frequent_letters(tokenizer: Tokenizer, sample: Sample) -> set[str]:
    """The most frequent characters, as many as the limit; the rarer ones of a web corpus become unknown text."""
    counts: Counter[str] = Counter()
    for texts in sample:
        for text in texts:
            counts.update(normalized(tokenizer, text))
    return set(most_frequent(counts, ALPHABET_LIMIT))
