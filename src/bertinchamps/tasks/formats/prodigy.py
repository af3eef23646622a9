"""Prodigy's JSON lines (https://prodi.gy/docs/api-interfaces): a task a line.

    {"text": "Fracture du col", "spans": [{"start": 0, "end": 15, "label": "DISO", "token_start": 0, "token_end": 2}],
     "tokens": [{"text": "Fracture", "start": 0, "end": 8, "id": 0, "ws": true}, …], "answer": "accept"}

(on one line). A task without `spans` has no entity. What is rejected or ignored is left out. Entities that nest need
the interface `spans.manual`; `ner.manual` shows flat ones. `token_end` is the last token of an entity.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bertinchamps.contract import AnnotatedText
from bertinchamps.errors import UserError
from bertinchamps.tasks.formats import spans_jsonl
from bertinchamps.tasks.formats.cut_words import cut_words
from bertinchamps.textfiles import json_lines
from bertinchamps.textfiles.bad_records import STOP, BadRecords

SPANS, META = "spans", "meta"


def read(path: Path, left_out: Counter[str] | None = None, bad: BadRecords = STOP) -> list[AnnotatedText]:
    """The accepted documents of a file, plain, `.gz` or `.zst`, each named by its id, that of its `meta`, or its line.

    Args:
        path: the file.
        left_out: counts what was left out, by reason.
        bad: what is done with documents that cannot be read.

    Raises:
        UserError: a line is not of the format, an offset does not fit its text, or an id occurs twice.
    """
    left_out = Counter() if left_out is None else left_out
    documents = []
    for where, name, text, item in spans_jsonl.items(path, True, left_out, bad):
        with bad.record():
            documents.append(_document(where, name, text, item, left_out))
    return documents


def _document(
    where: str, name: str, text: str, item: Mapping[str, Any], left_out: Counter[str]
) -> AnnotatedText:
    spans = item.get(SPANS) or []
    if not isinstance(spans, list):
        raise UserError(f"{where}: the key {SPANS!r} must hold a list of entities")
    entities = [
        spans_jsonl.entity(value, text, f"{where}: {SPANS}[{place}]") for place, value in enumerate(spans)
    ]
    seen = spans_jsonl.seen_in(text, entities, left_out)
    return AnnotatedText(name, text, tuple(sorted(seen)))


def write(path: Path, items: Iterable[Mapping[str, Any]], model: str | None = None) -> None:
    """A task a line, to be annotated with Prodigy.

    Args:
        path: the file.
        items: documents, as `spans_jsonl.as_item` makes them, with other keys, which Prodigy shows (`meta`).
        model: that found the entities, shown likewise; None: an annotator did.
    """
    json_lines.write(path, (as_task(item, model) for item in items))


def as_task(item: Mapping[str, Any], model: str | None) -> dict[str, Any]:
    """The task of a document; arguments as those of `write`. Each fragment of an entity is an entity.

    Tokens are words, cut where an entity begins or ends, so that every entity is one of tokens.
    """
    text, found = str(item["text"]), spans_jsonl.ranges(item)
    words = cut_words(text, (edge for start, end, *_ in found for edge in (start, end)))
    first = {start: place for place, (start, _) in enumerate(words)}
    last = {end: place for place, (_, end) in enumerate(words)}
    spans: list[dict[str, Any]] = []
    for start, end, label, score in found:
        span: dict[str, Any] = {"start": start, "end": end, "label": label}
        if start in first and end in last:
            span |= {"token_start": first[start], "token_end": last[end]}
        spans.append(span if score is None else {**span, "score": score})
    tokens = [
        {
            "text": text[start:end],
            "start": start,
            "end": end,
            "id": place,
            "ws": text[end : end + 1].isspace(),
        }
        for place, (start, end) in enumerate(words)
    ]
    meta = {key: value for key, value in item.items() if key not in ("text", "entities")}
    meta |= {} if model is None else {"model": model}
    answer = {"answer": "accept"} if model is None else {}
    return {"text": text, SPANS: spans, "tokens": tokens, META: meta, **answer}
