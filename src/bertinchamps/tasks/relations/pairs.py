"""Candidate pairs of entities as input sequences: the words around both arguments, and markers at the arguments.

    glucose à 12 g/l → [tail begins] glucose [tail ends] à [head begins] 12 [head ends] g/l

A marker is a place of the sequence, not a token: `Pair.roles` says which marker stands where, and the id there is that
of the unknown token. An argument is the words that it touches, of a discontinuous one those from its first to its last
fragment.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bertinchamps.contract import Entity, Relation
from bertinchamps.errors import UserError
from bertinchamps.model.heads.relations import HEAD_BEGINS, HEAD_ENDS, TAIL_BEGINS, TAIL_ENDS
from bertinchamps.tasks.relations.settings import PairSettings
from bertinchamps.tasks.tagging.sentences import Range, sentences
from bertinchamps.tasks.tagging.windows import SubwordTokenizer, words_of

Integers = NDArray[np.int32]
MARKERS = 4
ENDS, BEGINS = 0, 1  # at one place, the end of an argument stands before the beginning of another one
OTHER_TYPES = "between types of entities that no relation of train links"
NO_WORD = "of an argument without a word"
APART = "with arguments outside of the window"
TOO_LONG = "with arguments farther apart than max_length"


class Pair(NamedTuple):
    """Two entities of a document, as the model reads them.

    Attributes:
        document: index of the document.
        head: where the first argument is among the document's entities.
        tail: where the second argument is.
        between: words between the two arguments.
        subwords: ids [S], special tokens included.
        roles: for each of them the marker's role, 0 where there is no marker [S].
        types: for each of them the number of the argument's type, 0 where there is none [S].
    """

    document: int
    head: int
    tail: int
    between: int
    subwords: Integers
    roles: Integers
    types: Integers


@dataclass(frozen=True)
class _Words:
    """The words of a document.

    Attributes:
        starts, ends: of each word, in characters.
        sentence: of each word, the number of its sentence.
        subwords: ids of all words.
        offsets: of each word, where its ids begin; and the end.
    """

    starts: list[int]
    ends: list[int]
    sentence: list[int]
    subwords: Integers
    offsets: list[int]

    def touched(self, entity: Entity) -> Range | None:
        """The first and the last word that an entity touches; None for no word."""
        first, last = bisect_right(self.ends, entity.start), bisect_left(self.starts, entity.end) - 1
        return (first, last) if first <= last else None

    def size(self, first: int, last: int) -> int:
        """Subwords of the words from `first` to `last`, both included."""
        return self.offsets[last + 1] - self.offsets[first]


class PairMaker:
    """Makes the candidate pairs of documents.

    Args:
        subwords: of the model's tokenizer.
        settings: which pairs are candidates.
        unknown: id that stands at the places of markers.

    Raises:
        UserError: no room for markers and words.
    """

    def __init__(self, subwords: SubwordTokenizer, settings: PairSettings, unknown: int) -> None:
        self._subwords, self._settings, self.unknown = subwords, settings, unknown
        self._allowed = frozenset(settings.argument_types)
        self._numbers = {label: number for number, label in enumerate(settings.marked_types, start=1)}
        self._room = subwords.room - MARKERS
        if self._room < MARKERS:
            raise UserError(
                f"max_length={subwords.longest}: leaves no room for words beside the markers; 128 is usual"
            )

    def pairs(self, document: int, text: str, entities: Sequence[Entity]) -> Iterator[Pair]:
        """The candidate pairs of a document, in the order of head and tail."""
        words = self._words(text)
        places = [words.touched(entity) for entity in entities]
        for head, tail in self._of_allowed_types(entities):
            ranges = places[head], places[tail]
            if self._why_not(words, *ranges) is None:
                yield self._pair(document, words, entities, (head, tail), ranges)

    def why_not(
        self, text: str, entities: Sequence[Entity], relations: Sequence[Relation]
    ) -> list[str | None]:
        """For each relation why its arguments are no candidate pair; None where they are one."""
        words = self._words(text)
        return [
            self._why_not(words, words.touched(entities[head]), words.touched(entities[tail]))
            if (entities[head].label, entities[tail].label) in self._allowed
            else OTHER_TYPES
            for _, head, tail in relations
        ]

    def _of_allowed_types(self, entities: Sequence[Entity]) -> Iterator[tuple[int, int]]:
        """Head and tail of all pairs whose types some relation of train links."""
        by_type: dict[str, list[int]] = {}
        for place, entity in enumerate(entities):
            by_type.setdefault(entity.label, []).append(place)
        for head, entity in enumerate(entities):
            for label, tails in by_type.items():
                if (entity.label, label) in self._allowed:
                    yield from ((head, tail) for tail in tails if tail != head)

    def _why_not(self, words: _Words, head: Range | None, tail: Range | None) -> str | None:
        if head is None or tail is None:
            return NO_WORD
        window = self._settings.window
        in_one_sentence = words.sentence[head[0]] == words.sentence[tail[0]]
        if not (in_one_sentence if window is None else _between(head, tail) <= window):
            return APART
        fits = words.size(min(head[0], tail[0]), max(head[1], tail[1])) <= self._room
        return None if fits else TOO_LONG

    def _words(self, text: str) -> _Words:
        ranges = [(start, end, words_of(text, start, end)) for start, end in sentences(text)]
        parts = self._subwords.of(
            [text[start:end] for start, end, _ in ranges],
            [tuple((a - start, b - start) for a, b in words) for start, _, words in ranges],
        )
        whole = [word for _, _, words in ranges for word in words]
        ids = [part for sentence in parts for part in sentence]
        return _Words(
            [start for start, _ in whole],
            [end for _, end in whole],
            [number for number, (_, _, words) in enumerate(ranges) for _ in words],
            np.array([subword for part in ids for subword in part], dtype=np.int32),
            list(accumulate(map(len, ids), initial=0)),
        )

    def _pair(
        self,
        document: int,
        words: _Words,
        entities: Sequence[Entity],
        pair: tuple[int, int],
        ranges: tuple[Any, Any],
    ) -> Pair:
        (head, tail), numbers = ranges, [self._numbers.get(entities[place].label, 0) for place in pair]
        first, last = self._context(words, min(head[0], tail[0]), max(head[1], tail[1]))
        events = sorted(
            [
                (head[0], BEGINS, -head[1], 0, HEAD_BEGINS, numbers[0]),  # the longer one is the outer one
                (head[1] + 1, ENDS, -head[0], 1, HEAD_ENDS, numbers[0]),
                (tail[0], BEGINS, -tail[1], 1, TAIL_BEGINS, numbers[1]),
                (tail[1] + 1, ENDS, -tail[0], 0, TAIL_ENDS, numbers[1]),
            ]
        )
        ids: list[int] = list(self._subwords.before)
        roles, types = [0] * len(ids), [0] * len(ids)
        at = first
        for word, _, _, _, role, number in [*events, (last + 1, ENDS, 0, 0, 0, 0)]:
            piece = words.subwords[words.offsets[at] : words.offsets[word]].tolist()
            marker = [self.unknown] if role else []
            ids += piece + marker
            roles += [0] * len(piece) + [role] * len(marker)
            types += [0] * len(piece) + [number] * len(marker)
            at = word
        ids += self._subwords.after
        behind = [0] * len(self._subwords.after)
        arrays = (np.array(each, dtype=np.int32) for each in (ids, roles + behind, types + behind))
        return Pair(document, *pair, _between(head, tail), *arrays)

    def _context(self, words: _Words, first: int, last: int) -> Range:
        """The first and the last word to show: the sentences of both arguments, cut evenly where they are too long."""
        left = bisect_left(words.sentence, words.sentence[first])
        right = bisect_right(words.sentence, words.sentence[last]) - 1
        spare = self._room - words.size(first, last)
        before = min(words.size(left, first) - words.size(first, first), spare)
        behind = min(words.size(last, right) - words.size(last, last), spare)
        before = min(before, max(spare // 2, spare - behind))
        behind = min(behind, spare - before)
        left = max(left, bisect_left(words.offsets, words.offsets[first] - before))
        right = min(right, bisect_right(words.offsets, words.offsets[last + 1] + behind) - 2)
        return min(left, first), max(right, last)


def _between(head: Range, tail: Range) -> int:
    """Words between two arguments; 0 where they touch or overlap."""
    return max(0, max(head[0], tail[0]) - min(head[1], tail[1]) - 1)
