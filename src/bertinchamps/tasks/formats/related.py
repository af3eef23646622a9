"""Relations as files write them, checked and brought into the order of `RelatedText`: what all formats share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bertinchamps.contract import AnnotatedText, Entity, RelatedText, Relation
from bertinchamps.errors import UserError

WITHOUT_ARGUMENT = "relations with an argument in which nothing can be seen"


class Written(NamedTuple):
    """A relation of a file.

    Attributes:
        where: file and line, for messages.
        label: its type.
        head: where its first argument is among the entities of the file.
        tail: where its second argument is among them.
    """

    where: str
    label: str
    head: int
    tail: int


def related(
    name: str,
    text: str,
    entities: Sequence[Entity | None],
    written: Iterable[Written],
    left_out: Counter[str] | None = None,
    first: dict[str, str] | None = None,
) -> RelatedText:
    """A document with its relations, from entities in the order of the file.

    Args:
        name: of the document.
        text: of the document.
        entities: in the order of the file; None for one that is left out.
        written: the relations of the file.
        left_out: counts relations whose argument is left out.
        first: gets, for each label, file and line of its first relation, unless the label is there.

    Raises:
        UserError: a relation links an entity to itself, or is there twice; the message has file and line.
    """
    kept = [place for place, entity in enumerate(entities) if entity is not None]
    ordered = sorted(kept, key=lambda place: (entities[place], place))
    new_place = {old: new for new, old in enumerate(ordered)}
    lines: dict[Relation, str] = {}
    relations = []
    for where, label, head, tail in written:
        if head == tail:
            raise UserError(
                f"{where}: a relation between an entity and itself; name another argument, or remove the relation"
            )
        earlier = lines.setdefault(Relation(label, head, tail), where)
        if earlier is not where:
            raise UserError(
                f"{where}: the same relation as that of {earlier}, with the same arguments in the same order; "
                "remove one of them"
            )
        if head in new_place and tail in new_place:
            relations.append(Relation(label, new_place[head], new_place[tail]))
        elif left_out is not None:
            left_out[WITHOUT_ARGUMENT] += 1
        if first is not None:
            first.setdefault(label, where)
    chosen = tuple(entity for place in ordered if (entity := entities[place]) is not None)
    return RelatedText(name, text, chosen, tuple(sorted(relations)))


def by_place(entities: Sequence[Entity]) -> list[int]:
    """Where the entities are in the sequence, in the order of the text, as `AnnotatedText.by_place` orders them."""
    return sorted(
        range(len(entities)), key=lambda at: (entities[at].start, entities[at].end, entities[at].label)
    )


def without_relations(document: AnnotatedText | RelatedText) -> AnnotatedText:
    """The document as one of entities alone."""
    if isinstance(document, AnnotatedText):
        return document
    return AnnotatedText(document.name, document.text, document.entities)
