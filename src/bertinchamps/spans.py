"""Entities in a text: visible boundaries, flat entities, look-up by offset, and checks of offsets.

Invisible characters are those of Unicode's category Cf, such as a zero-width space (U+200B), a soft hyphen (U+00AD)
or a byte order mark (U+FEFF).
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable

from bertinchamps.contract import AnnotatedText, Entity

Fragments = tuple[tuple[int, int], ...]


def is_unseen(character: str) -> bool:
    """Whether a character is a blank, a line end included, or invisible."""
    return character.isspace() or unicodedata.category(character) == "Cf"


def joined(text: str, fragments: Fragments) -> Fragments:
    """The fragments, with neighbours joined that have nothing visible between them.

    Brat writes an entity over a line end as a fragment on each line.

    Args:
        text: the text.
        fragments: half-open ranges (start, end), in order and not overlapping.
    """
    whole: list[tuple[int, int]] = []
    for start, end in fragments:
        if whole and _nothing_between(text, whole[-1][1], start):
            whole[-1] = (whole[-1][0], end)
        else:
            whole.append((start, end))
    return tuple(whole)


def visible(text: str, entity: Entity) -> Entity:
    """The entity without blanks and invisible characters at the edges of its fragments, which are then `joined`.

    An entity without a visible character stays as it is.
    """
    kept = []
    for start, end in entity.fragments:
        while start < end and is_unseen(text[end - 1 : end] or "?"):
            end -= 1
        while start < end and is_unseen(text[start : start + 1] or "?"):
            start += 1
        if start < end:
            kept.append((start, end))
    return entity._replace(fragments=joined(text, tuple(kept))) if kept else entity


def without_edges(document: AnnotatedText) -> tuple[Entity, ...]:
    """The entities as training uses them: `visible`, or unchanged where the file gives the words."""
    if document.words is not None:
        return document.entities
    return tuple(visible(document.text, entity) for entity in document.entities)


def can_be_seen(text: str, entity: Entity) -> bool:
    """Whether a character of the entity is neither a blank nor invisible."""
    return any(not all(map(is_unseen, text[start:end])) for start, end in entity.fragments)


def with_joined_fragments(document: AnnotatedText) -> AnnotatedText:
    """The document with each entity's fragments `joined`."""
    if all(len(entity.fragments) == 1 for entity in document.entities):
        return document
    entities = (
        entity._replace(fragments=joined(document.text, entity.fragments)) for entity in document.entities
    )
    return document._replace(entities=tuple(sorted(entities)))


def flatten(entities: Iterable[Entity]) -> tuple[Entity, ...]:
    """The flat representation: contiguous entities that do not overlap, in the order of the text.

    A discontinuous entity becomes its covering range, from the start of its first fragment to the end of its
    last fragment. Then the longest entity is kept and all that overlap it are dropped, then the next longest, and so
    on; of equal lengths the first start wins, of equal ranges the first label in sorted order.
    """
    kept: list[Entity] = []
    for entity in sorted(
        entities, key=lambda entity: (entity.start - entity.end, entity.start, entity.label)
    ):
        place = bisect_left(kept, entity.start, key=lambda other: other.start)
        after_the_left = place == 0 or kept[place - 1].end <= entity.start
        before_the_right = place == len(kept) or entity.end <= kept[place].start
        if after_the_left and before_the_right:
            kept.insert(place, Entity(entity.label, ((entity.start, entity.end),)))
    return tuple(kept)


def flat_entities(document: AnnotatedText) -> tuple[Entity, ...]:
    """The flat representation of a document's entities `without_edges`."""
    return flatten(without_edges(document))


class EntitiesByOffset:
    """The entities of a document, for look-up by character offset.

    Args:
        entities: in any order.
    """

    def __init__(self, entities: Iterable[Entity]) -> None:
        self._entities = sorted(entities, key=lambda entity: (entity.start, entity.end))
        self._starts = [entity.start for entity in self._entities]
        self._longest = max((entity.end - entity.start for entity in self._entities), default=0)

    def touching(self, start: int, end: int) -> list[Entity]:
        """The entities whose covering range overlaps [start, end), in the order of their starts."""
        first = bisect_right(self._starts, start - self._longest)
        last = bisect_left(self._starts, end)
        return [entity for entity in self._entities[first:last] if entity.end > start]


def _nothing_between(text: str, end: int, start: int) -> bool:
    if end == start:
        return True
    # characters beyond the end of the text count as visible
    return end < start <= len(text) and all(map(is_unseen, text[end:start]))


# Units in which programs of other languages count offsets → the length of a character in that unit.
COUNTINGS: dict[str, Callable[[str], int]] = {
    "UTF-16 units, as JavaScript and Java do, where an emoji is two": lambda it: 1 + (ord(it) > 0xFFFF),
    "bytes": lambda it: len(it.encode(errors="replace")),
    "a line end of two characters (\\r\\n) as one": lambda it: int(it != "\r"),
}


def says(text: str, fragments: Fragments, written: str) -> bool:
    """Whether the fragments hold the words that the file writes for them, whatever the blanks; False for no words."""
    covered = " ".join(text[start:end] for start, end in fragments)
    return bool(written.strip()) and covered.split() == written.split()


def other_counting(text: str, fragments: Fragments, written: str) -> str:
    """The unit that the offsets seem to count instead of characters, for a message; empty where no unit fits.

    Args:
        text: the text.
        fragments: half-open ranges that do not hold the words.
        written: the words that the file writes for the entity.
    """
    for name, length in COUNTINGS.items():
        places: dict[int, int] = {}
        counted = 0
        for place, character in enumerate(text):
            places[counted] = place
            counted += length(character)
        places[counted] = len(text)
        moved = [(places.get(start), places.get(end)) for start, end in fragments]
        known = tuple((start, end) for start, end in moved if start is not None and end is not None)
        if len(known) == len(fragments) and says(text, known, written):
            return f"; the offsets seem to count {name}, and they must count characters (code points)"
    last_counted = tuple((start, end + 1) for start, end in fragments)
    if says(text, last_counted, written):
        return "; the ends seem to be those of the last character, and they must be one after it"
    return ""
