"""From texts to windows, the model's input sequences: sentences, words and subwords with exact offsets.

Offsets count characters of the unchanged text. The tokenizer's offsets only assign subwords to words, so the
tokenizer's normaliser may change, compose or delete characters.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import regex

from bertinchamps.errors import UserError
from bertinchamps.model.encoders import control_ids, unknown_id
from bertinchamps.tasks.tagging.sentences import Range, sentences

# Runs of letters, digits and combining marks; any other visible character alone. Invisible ones (Cf) may be inside of a
# word but not at its edge, and a zero-width space parts two words.
WORD = regex.compile(
    r"[\p{L}\p{M}\p{N}]+(?:(?:(?!\u200b)\p{Cf})+[\p{L}\p{M}\p{N}]+)*|[^\s\x1c-\x1f\p{L}\p{M}\p{N}\p{Cf}]"
)
SENTENCES_AT_ONCE = 256  # in a call of the tokenizer, because a call takes longer than a sentence
Words = tuple[Range, ...]


class Window(NamedTuple):
    """What goes through the model as one sequence.

    Attributes:
        document: index of its text.
        sentence: index of its sentence in the text.
        words: character ranges of its words, in the text.
        subwords: ids, special tokens included.
        first_subwords: for each word, the index in `subwords` of its first subword.
        last_subwords: for each word, the index in `subwords` of its last subword.
        owned: the words (from, to) that are predicted from this window where windows overlap.
    """

    document: int
    sentence: int
    words: Words
    subwords: tuple[int, ...]
    first_subwords: tuple[int, ...]
    last_subwords: tuple[int, ...]
    owned: Range


class SubwordTokenizer:
    """Splits words into subwords with a tokenizer.

    Attributes:
        longest: subwords of a window, special tokens included.
        before: ids of the special tokens before a text.
        after: ids of the special tokens after a text.
        room: subwords of a window without special tokens.

    Args:
        tokenizer: a fast tokenizer of transformers.
        longest: subwords of a window, special tokens included.

    Raises:
        UserError: no room for anything but special tokens.
    """

    def __init__(self, tokenizer: Any, longest: int) -> None:
        self._tokenizer, self.longest = tokenizer, longest
        self.before, self.after = _special_tokens(tokenizer)
        self.room = longest - len(self.before) - len(self.after)
        if self.room < 8:
            raise UserError(f"max_length={longest}: leaves no room for words; 32 is little, 128 is usual")
        self._controls, self._unknown = control_ids(tokenizer), unknown_id(tokenizer)

    def of(self, texts: Sequence[str], words: Sequence[Words]) -> list[list[list[int]]]:
        """Text → word → ids of the word's subwords, the first of which represents the word.

        A subword across several words belongs to the first of them, and represents the other words if they
        have no subwords of their own. A subword of an invisible character between two words belongs to the
        first word. A word that the normaliser deletes gets the unknown token, so that every word can be
        labelled, and so does the name of a special token.
        """
        if not texts:
            return []
        encoded = self._tokenizer(
            list(texts), add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        return [
            self._by_word(text, ids, offsets, ranges)
            for text, ids, offsets, ranges in zip(
                texts, encoded["input_ids"], encoded["offset_mapping"], words, strict=True
            )
        ]

    def _by_word(self, text: str, ids: list[int], offsets: list[Range], words: Words) -> list[list[int]]:
        ends = [end for _, end in words]
        subwords: list[list[int]] = [[] for _ in words]
        read = [False] * len(words)
        for subword, (start, end) in zip(ids, offsets, strict=True):
            if end <= start:
                continue
            subword = self._unknown if subword in self._controls else subword
            index = bisect_right(ends, start)  # the first word that ends after the subword starts
            in_no_word = index == len(words) or end <= words[index][0]
            if in_no_word and index and not text[start:end].isspace():
                subwords[index - 1].append(subword)
            elif index < len(words):
                subwords[index].append(subword)
                while index < len(words) and words[index][0] < end:
                    read[index] = True
                    index += 1
        return [own if seen or own else [self._unknown] for own, seen in zip(subwords, read, strict=True)]


def _special_tokens(tokenizer: Any) -> tuple[list[int], list[int]]:
    """What the tokenizer puts before and after a text."""
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    for start in range(len(whole) - len(bare) + 1):
        if whole[start : start + len(bare)] == bare:
            return whole[:start], whole[start + len(bare) :]
    return [], []


def words_of(text: str, start: int, end: int) -> Words:
    """Character ranges of the words in a part of the text."""
    return tuple(match.span() for match in WORD.finditer(text, start, end))


def windows_of(
    texts: Sequence[str], subwords: SubwordTokenizer, given: Sequence[Words | None] | None = None
) -> Iterator[Window]:
    """The windows of some texts, in order: a sentence each, and several for a sentence that is too long.

    Args:
        texts: the texts.
        subwords: of the model's tokenizer.
        given: for each text its words, as one sentence; None: sentences and words are found in the text.
    """
    found = _sentences_of(texts, given or [None] * len(texts))
    while group := list(islice(found, SENTENCES_AT_ONCE)):
        relative = [tuple((a - entry.start, b - entry.start) for a, b in entry.words) for entry in group]
        cut = [texts[entry.document][entry.start : entry.end] for entry in group]
        for (document, sentence, _, _, words), parts in zip(group, subwords.of(cut, relative), strict=True):
            # a word longer than a window is truncated
            parts = [part[: subwords.room] for part in parts]
            for (first, last), owned in _spread([len(part) for part in parts], subwords.room):
                yield _window(document, sentence, words[first:last], parts[first:last], owned, subwords)


class _Sentence(NamedTuple):
    document: int
    sentence: int
    start: int
    end: int
    words: Words


def _sentences_of(texts: Sequence[str], given: Sequence[Words | None]) -> Iterator[_Sentence]:
    """The sentences that have words, numbered within their text."""
    for document, (text, own) in enumerate(zip(texts, given, strict=True)):
        if own is not None:
            if own:
                yield _Sentence(document, 0, own[0][0], own[-1][1], own)
            continue
        ranges = ((start, end, words_of(text, start, end)) for start, end in sentences(text))
        for sentence, (start, end, words) in enumerate(entry for entry in ranges if entry[2]):
            yield _Sentence(document, sentence, start, end, words)


def _window(
    document: int,
    sentence: int,
    words: Words,
    parts: list[list[int]],
    owned: Range,
    subwords: SubwordTokenizer,
) -> Window:
    ids, firsts, lasts = list(subwords.before), [], []
    for part in parts:
        firsts.append(len(ids) if part else max(0, len(ids) - 1))
        ids += part
        lasts.append(max(0, len(ids) - 1))
    return Window(document, sentence, words, (*ids, *subwords.after), tuple(firsts), tuple(lasts), owned)


def _spread(lengths: Sequence[int], room: int) -> Iterator[tuple[Range, Range]]:
    """Word ranges that cover a sentence, each fitting the room and overlapping the next by about half of it.

    Yields:
        The words (from, to) of a window, and the words that the window owns, relative to its first: a word
        of two windows is owned by the window in which the word is farther from the edge.
    """
    sums = [0]
    for length in lengths:
        sums.append(sums[-1] + length)
    bounds: list[Range] = []
    first = 0
    while True:
        last = bisect_right(sums, sums[first] + room) - 1
        bounds.append((first, last))
        if last == len(lengths):
            break
        first = max(first + 1, bisect_left(sums, sums[last] - room // 2))
    seams = [0, *((bounds[i][1] + bounds[i + 1][0]) // 2 for i in range(len(bounds) - 1)), len(lengths)]
    for index, (first, last) in enumerate(bounds):
        if seams[index] < seams[index + 1]:  # a window that owns no word would only cost time
            yield (first, last), (seams[index] - first, seams[index + 1] - first)
