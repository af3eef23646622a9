"""Relations in JSON lines, beside the entities that `spans_jsonl.py` reads.

    {"id": "12", "text": "glucose 12", "entities": [[0, 7, "EVENT"], [8, 10, "RML"]],
     "relations": [{"head": 1, "tail": 0, "label": "PERTAINS"}]}

(on one line). `head` and `tail` are places in the list of entities, which count from 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bertinchamps.contract import RelatedText
from bertinchamps.errors import UserError
from bertinchamps.spans import can_be_seen
from bertinchamps.tasks.formats import spans_jsonl
from bertinchamps.tasks.formats.related import Written, by_place, related, without_relations
from bertinchamps.textfiles import json_lines
from bertinchamps.textfiles.bad_records import STOP, BadRecords
from bertinchamps.textfiles.json_lines import HALF, is_text
from bertinchamps.textfiles.names import field_names

RELATIONS = "relations"
FORM = '{"head": 0, "tail": 1, "label": "TREATS"}, where 0 and 1 are places in the list of entities'


def read(
    path: Path,
    left_out: Counter[str] | None = None,
    first: dict[str, str] | None = None,
    bad: BadRecords = STOP,
) -> list[RelatedText]:
    """The documents of a file, plain, `.gz` or `.zst`.

    Args:
        path: the file.
        left_out: counts what was left out, by reason.
        first: gets, for each label of a relation, file and line of the first one.
        bad: what is done with documents that cannot be read.

    Raises:
        UserError: see `spans_jsonl.read`; or a relation is not of the format, has an argument that is not in the list
            of entities, twice the same argument, or is there twice.
    """
    left_out = Counter() if left_out is None else left_out
    documents = []
    for where, name, text, item in spans_jsonl.items(path, True, left_out, bad):
        with bad.record():
            entities = spans_jsonl.entities_of(item, text, where)
            written = list(_relations(item, len(entities), where))
            seen = [entity if can_be_seen(text, entity) else None for entity in entities]
            documents.append(related(name, text, seen, written, left_out, first))
            if None in seen:
                left_out[spans_jsonl.BLANK] += seen.count(None)
    return documents


def _relations(item: Mapping[str, Any], entities: int, where: str) -> Iterator[Written]:
    if not isinstance(item.get(RELATIONS), list):
        found = "" if RELATIONS in item else f" (found: {field_names(list(item), RELATIONS)})"
        raise UserError(
            f"{where}: the key {RELATIONS!r} must list the relations, [] where there are none{found}"
        )
    for place, value in enumerate(item[RELATIONS]):
        here = f"{where}: {RELATIONS}[{place}]"
        label = value.get("label") if isinstance(value, dict) else None
        if not isinstance(label, str) or not label:
            raise UserError(f"{here}: not a relation; write {FORM}")
        if not is_text(label):
            raise UserError(f"{here}: the label {HALF}")
        ends = []
        for key in ("head", "tail"):
            at = value.get(key)
            if type(at) is not int or not 0 <= at < entities:
                raise UserError(
                    f"{here}: its {key} is no place in the list of entities, which has {entities}; write {FORM}"
                )
            ends.append(at)
        yield Written(here, label, *ends)


def write(path: Path, documents: Iterable[RelatedText]) -> None:
    """One document a line, with `id`, `text`, `entities` and `relations`."""
    json_lines.write(path, map(as_item, documents))


def as_item(document: RelatedText) -> dict[str, Any]:
    """The object of a document's line; a predicted relation has a `confidence`."""
    new_place = {old: new for new, old in enumerate(by_place(document.entities))}
    confidences = document.confidences or (None,) * len(document.relations)
    relations = []
    for (label, head, tail), confidence in zip(document.relations, confidences, strict=True):
        link: dict[str, Any] = {"head": new_place[head], "tail": new_place[tail], "label": label}
        share = {} if confidence is None else {"confidence": round(confidence, spans_jsonl.DIGITS)}
        relations.append({**link, **share})
    relations.sort(key=lambda link: (link["head"], link["tail"], link["label"]))
    return {**spans_jsonl.as_item(without_relations(document)), RELATIONS: relations}
