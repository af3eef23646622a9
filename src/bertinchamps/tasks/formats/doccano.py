"""doccano's JSON lines for sequence labelling (https://doccano.github.io/doccano).

    {"id": 12, "text": "Fracture du col", "label": [[0, 15, "DISO"], [12, 15, "ANAT"]]}

`spans_jsonl.py` reads them, also as doccano writes them where a project has relations (`start_offset`, `end_offset`).
Entities may nest where the project allows overlapping spans. There is no place for confidences.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bertinchamps.tasks.formats import spans_jsonl
from bertinchamps.textfiles import json_lines

LABEL = "label"


def write(path: Path, items: Iterable[Mapping[str, Any]], model: str | None = None) -> None:
    """A document a line, to be imported by doccano.

    Args:
        path: the file.
        items: documents, as `spans_jsonl.as_item` makes them, with other keys, which doccano keeps as metadata.
        model: has no place in this format.
    """
    del model
    json_lines.write(path, map(as_line, items))


def as_line(item: Mapping[str, Any]) -> dict[str, Any]:
    """The object of a document; each fragment of an entity is an entity."""
    others = {key: value for key, value in item.items() if key != "entities"}
    return {**others, LABEL: [[start, end, label] for start, end, label, _ in spans_jsonl.ranges(item)]}
