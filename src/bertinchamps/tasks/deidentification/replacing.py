"""What is found in a text is replaced, and annotations that stay are moved along.

Mme DUPONT, née le 18/02/1950   →   Mme <NOM>, née le <DATE_NAISSANCE>
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple, Protocol

from bertinchamps.contract import AnnotatedText, Entity
from bertinchamps.registry import Registry


class Identifier(NamedTuple):
    """A part of a text that is replaced: characters start to end, and the label."""

    start: int
    end: int
    label: str


class Replacer(Protocol):
    """What stands instead of identifiers. One class, found by name (`deidentify=NAME`)."""

    def surrogates(self, name: str, text: str, identifiers: Sequence[Identifier]) -> list[str]:
        """What to write for each identifier of one document.

        Args:
            name: of the document.
            text: of the document.
            identifiers: in the order of the text, apart from each other.
        """


replacers: Registry[Replacer | None] = Registry("way to de-identify", "deidentify", package=__package__)


def identifiers_of(document: AnnotatedText, labels: Collection[str] | None = None) -> list[Identifier]:
    """The parts of a text that its entities cover, apart from each other.

    Entities that overlap or nest become one part, with the label of the longest.

    Args:
        document: with predicted entities.
        labels: of the entities to take; None for all.
    """
    fragments = sorted(
        Identifier(start, end, entity.label)
        for entity in document.entities
        if labels is None or entity.label in labels
        for start, end in entity.fragments
    )
    found: list[list[Identifier]] = []
    reach = 0
    for fragment in fragments:
        if found and fragment.start < reach:
            found[-1].append(fragment)
        else:
            found.append([fragment])
        reach = max(reach, fragment.end) if len(found[-1]) > 1 else fragment.end
    return [
        Identifier(
            together[0].start,
            max(each.end for each in together),
            max(together, key=lambda each: (each.end - each.start, -each.start)).label,
        )
        for together in found
    ]


class Edited:
    """A text with some parts replaced.

    Args:
        text: the text before.
        parts: of the text, in order and apart from each other.
        written: what to write for each.
    """

    def __init__(self, text: str, parts: Sequence[Identifier], written: Sequence[str]) -> None:
        self._parts = parts
        self._starts = [part.start for part in parts]
        self._places: list[tuple[int, int]] = []  # of the parts, in the new text
        pieces: list[str] = []
        after = size = 0
        for part, value in zip(parts, written, strict=True):
            pieces += [text[after : part.start], value]
            size += part.start - after + len(value)
            self._places.append((size - len(value), size))
            after = part.end
        self.text = "".join([*pieces, text[after:]])

    def moved(self, entities: Iterable[Entity]) -> tuple[Entity, ...]:
        """Entities of the text before, in the new text and in their order, which relations refer to.

        One that touches a part covers all of what replaced it.
        """
        return tuple(
            entity._replace(
                fragments=self._merged(
                    (self._at(start, 0), self._at(end, 1)) for start, end in entity.fragments
                )
            )
            for entity in entities
        )

    def _merged(self, fragments: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
        """The fragments, with those joined that cover one replaced part."""
        kept: list[tuple[int, int]] = []
        for start, end in fragments:
            if kept and start < kept[-1][1]:
                kept[-1] = (kept[-1][0], max(end, kept[-1][1]))
            else:
                kept.append((start, end))
        return tuple(kept)

    def _at(self, offset: int, side: int) -> int:
        """The new offset of a start (side 0) or an end (side 1)."""
        place = bisect_right(self._starts, offset - side) - 1
        if place < 0:
            return offset
        part, (_, end) = self._parts[place], self._places[place]
        return self._places[place][side] if offset - side < part.end else end + offset - part.end


@replacers.register("none")
def nothing() -> None:
    """Texts stay as they are."""


@replacers.register("tags")
class Tags:
    """The label in angle brackets, such as <NOM>.

    Args:
        labels: of what is replaced; null: all.
        rules: whether what has the form of a MAIL, TEL or SECU is replaced, too (`rules.py`).
        map: a new file for the originals and what replaced them; null: none is written.
    """

    def __init__(self, labels: list[str] | None = None, rules: bool = True, map: str | None = None) -> None:
        del labels, rules, map  # the command reads them

    def surrogates(self, name: str, text: str, identifiers: Sequence[Identifier]) -> list[str]:
        """A tag for each."""
        del name, text
        return [f"<{identifier.label}>" for identifier in identifiers]
