"""Entities as character offsets in JSON lines, as annotation tools export them.

    {"id": "12", "text": "Fracture du col", "entities": [{"start": 0, "end": 15, "label": "DISO"}]}
    {"id": "13", "text": "os et col du fémur", "entities": [{"fragments": [[6, 9], [13, 18]], "label": "ANAT"}]}
    {"id": 14, "text": "Fracture du col", "label": [[0, 15, "DISO"]]}

The list is called `entities`, `spans`, `labels` or `label`; an entity is an object, or a list [start, end, label] as in
doccano, which calls offsets `start_offset` and `end_offset` where a project has relations. Offsets count characters
(code points), the end excluded. The `text` of an entity, where given, is compared with its offsets. Blanks and
invisible characters at the edges of an entity are cut off. Lines that an annotation tool marked as rejected ("answer":
"reject") are left out.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bertinchamps.contract import AnnotatedText, Entity
from bertinchamps.errors import UserError
from bertinchamps.spans import can_be_seen, other_counting, says, visible
from bertinchamps.tasks.formats.json_lines import REJECTED, is_rejected, string
from bertinchamps.textfiles import json_lines
from bertinchamps.textfiles.bad_records import STOP, BadRecords
from bertinchamps.textfiles.json_lines import HALF, is_text
from bertinchamps.textfiles.names import field_names

LISTS = ("entities", "spans", "labels", "label")
BLANK = "entities in which nothing can be seen"
DIGITS = 4  # of a confidence
FORMS = '{"start": 0, "end": 5, "label": "DISO"}, {"fragments": [[0, 5], [8, 12]], "label": "DISO"} or [0, 5, "DISO"]'


def read(
    path: Path, annotated: bool = True, left_out: Counter[str] | None = None, bad: BadRecords = STOP
) -> list[AnnotatedText]:
    """The documents of a file, plain, `.gz` or `.zst`, each named by its id, that of its `meta`, or its line.

    Args:
        path: the file.
        annotated: whether each object must have its list of entities; otherwise the texts of all objects are read.
        left_out: counts what was left out, by reason.
        bad: what is done with documents that cannot be read.

    Raises:
        UserError: a line is not of the format, an offset does not fit its text, or an id occurs twice.
    """
    left_out = Counter() if left_out is None else left_out
    documents = []
    for where, name, text, item in items(path, annotated, left_out, bad):
        with bad.record():
            entities = _entities(item, text, where, left_out) if annotated else []
            documents.append(AnnotatedText(name, text, tuple(sorted(entities))))
    return documents


def items(
    path: Path, annotated: bool, left_out: Counter[str], bad: BadRecords = STOP
) -> Iterator[tuple[str, str, str, Mapping[str, Any]]]:
    """File and line, name, text and object of each document of a file; the arguments are those of `read`.

    Raises:
        UserError: a line is not of the format, an id occurs twice, or there is no document.
    """
    lines: dict[str, int] = {}
    for number, item in json_lines.read(path, whole=True, bad=bad):
        if annotated and is_rejected(item):
            left_out[REJECTED] += 1
            continue
        where = f"{path}: line {number}"
        with bad.record():
            text = string(item, "text", where)
            by_line = f"{path.name.split('.')[0]}-line-{number}"
            name = _name(item.get("id"), where) or _name_of_meta(item.get("meta"), where, lines) or by_line
            if name in lines:
                raise UserError(f"{where}: its id is also that of line {lines[name]}; give each its own")
            lines[name] = number
            yield where, name, text, item
    if not (lines or bad.count):
        rejected = f"; {left_out[REJECTED]} are marked as rejected" if left_out[REJECTED] else ""
        raise UserError(f"{path}: no document in it; a line holds one JSON object{rejected}")


def _name(identity: Any, where: str) -> str:
    """A string or a number as a name; "" for any other value."""
    if not isinstance(identity, str | int | float) or isinstance(identity, bool):
        return ""
    if not is_text(str(identity)):
        raise UserError(f"{where}: the key 'id' {HALF}")
    return str(identity)


def _name_of_meta(meta: Any, where: str, taken: Mapping[str, int]) -> str:
    """The id in what Prodigy shows beside a text, if no other document has it: sentences of one text share it."""
    name = _name(meta.get("id"), where) if isinstance(meta, dict) else ""
    return "" if name in taken else name


def write(path: Path, documents: Iterable[AnnotatedText]) -> None:
    """One document a line, with `id`, `text` and `entities`."""
    json_lines.write(path, map(as_item, documents))


def as_item(document: AnnotatedText) -> dict[str, Any]:
    """The object of a document's line, entities in the order of the text; predicted ones have a `confidence`."""
    entities = [_item(entity, confidence) for entity, confidence in document.by_place()]
    return {"id": document.name, "text": document.text, "entities": entities}


def _item(entity: Entity, confidence: float | None) -> dict[str, Any]:
    if len(entity.fragments) == 1:
        item: dict[str, Any] = {"start": entity.start, "end": entity.end, "label": entity.label}
    else:
        item = {"fragments": [list(fragment) for fragment in entity.fragments], "label": entity.label}
    return item if confidence is None else {**item, "confidence": round(confidence, DIGITS)}


def ranges(item: Mapping[str, Any]) -> list[tuple[int, int, str, float | None]]:
    """Start, end, label and confidence of each fragment of the entities of an `as_item` object.

    For formats that know no discontinuous entities: each fragment is an entity there.
    """
    return [
        (start, end, found["label"], found.get("confidence"))
        for found in item["entities"]
        for start, end in found.get("fragments", [[found.get("start"), found.get("end")]])
    ]


def listed_entities(values: Sequence[Any], text: str, where: str) -> tuple[Entity, ...] | None:
    """The entities of a list in a JSON line; None where the list holds something else, such as names of classes.

    Raises:
        UserError: an offset does not fit the text.
    """
    if not all(isinstance(value, dict) or (isinstance(value, list) and len(value) == 3) for value in values):
        return None
    return tuple(entity(value, text, f"{where}: entity {place}") for place, value in enumerate(values))


def as_items(entities: Iterable[Entity], before: Iterable[Any]) -> list[dict[str, Any]]:
    """The list of entities of a JSON line.

    Args:
        entities: in the order of the list.
        before: the items that they were read from; numbers that relations of doccano know them by (`id`) are kept.
    """
    return [{**_number(item), **_item(entity, None)} for entity, item in zip(entities, before, strict=True)]


def _number(item: Any) -> dict[str, int]:
    number = item.get("id") if isinstance(item, dict) else None
    return {"id": number} if type(number) is int else {}


def seen_in(text: str, entities: Sequence[Entity], left_out: Counter[str]) -> list[Entity]:
    """The entities that hold something to see; `left_out` counts the others."""
    seen = [entity for entity in entities if can_be_seen(text, entity)]
    if len(seen) < len(entities):
        left_out[BLANK] += len(entities) - len(seen)
    return seen


def _entities(item: Mapping[str, Any], text: str, where: str, left_out: Counter[str]) -> list[Entity]:
    entities = entities_of(item, text, where)
    return seen_in(text, entities, left_out)


def entities_of(item: Mapping[str, Any], text: str, where: str) -> list[Entity]:
    """The entities of an object in the order of its list, those included in which nothing can be seen.

    Raises:
        UserError: no list of entities, or more than one; an entity is not of the format, or does not fit the text.
    """
    keys = [key for key in LISTS if key in item]
    if len(keys) != 1:
        found = ", ".join(keys) or field_names(list(item))
        raise UserError(
            f"{where}: exactly one of the keys {', '.join(LISTS)} must list the entities (found: {found})"
        )
    if not isinstance(item[keys[0]], list):
        raise UserError(f"{where}: the key {keys[0]!r} must hold a list of entities")
    return [entity(value, text, f"{where}: {keys[0]}[{place}]") for place, value in enumerate(item[keys[0]])]


def entity(value: Any, text: str, where: str) -> Entity:
    """An entity in one of its spellings, without blanks at its edges.

    Raises:
        UserError: it is in none of them, or does not fit the text.
    """
    label: Any = None
    fragments: Any = None
    written: Any = None
    if isinstance(value, dict):
        label, written = value.get("label"), value.get("text")
        offsets = [value.get(key, value.get(f"{key}_offset")) for key in ("start", "end")]
        fragments = value.get("fragments", [offsets])
    elif isinstance(value, list) and len(value) == 3:
        fragments, label = [value[:2]], value[2]
    if not (
        isinstance(label, str) and label and isinstance(fragments, list) and all(map(_is_range, fragments))
    ):
        raise UserError(f"{where}: not an entity; write {FORMS}")
    if not is_text(label):
        raise UserError(f"{where}: the label {HALF}")
    ordered = tuple(sorted((start, end) for start, end in fragments))
    given = written if isinstance(written, str) else ""
    if not ordered or any(not 0 <= start < end <= len(text) for start, end in ordered):
        raise UserError(
            f"{where}: outside of the text, which has {len(text)} characters, or empty"
            f"{other_counting(text, ordered, given)}"
        )
    if any(after[0] < before[1] for before, after in itertools.pairwise(ordered)):
        raise UserError(f"{where}: fragments overlap; write them as one")
    if given.strip() and not says(text, ordered, given):
        raise UserError(
            f"{where}: the text of the entity is not the text at its offsets{other_counting(text, ordered, given)}"
        )
    return visible(text, Entity(label, ordered))


def _is_range(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(type(offset) is int for offset in value)
