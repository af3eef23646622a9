"""JSON lines: one object a line, such as {"id": "12", "text": "Fracture du col"}; blank lines are skipped."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bertinchamps.data.sources.readers_bytes import Progress, decoded, lines
from bertinchamps.data.sources.readers_records import field_names
from bertinchamps.errors import UserError


def read(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file, plain, `.gz` or `.zst`, each with the number of its line.

    Raises:
        UserError: the file cannot be read, or a line is not a JSON object.
    """
    for number, line in lines(path, Progress()):
        if line.isspace():
            continue
        text = decoded(path, number, line)
        try:
            item = json.loads(text)
        except (ValueError, RecursionError):
            item = None
        if not isinstance(item, dict):
            raise UserError(f"{path}: line {number}: not a JSON object; a .jsonl file holds one a line")
        yield number, item


def write(path: Path, items: Iterable[Mapping[str, Any]]) -> None:
    """One object a line, in UTF-8."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        for item in items:
            file.write(json.dumps(item, ensure_ascii=False) + "\n")


def string(item: Mapping[str, Any], key: str, where: str, setting: str = "") -> str:
    """The text under a key.

    Args:
        item: the object.
        key: the key.
        where: file and line, for messages.
        setting: the user's setting that names the key, for messages.

    Raises:
        UserError: there is none, or it is no text.
    """
    hint = f"; name the right one with {setting}=NAME" if setting else ""
    if key not in item:
        raise UserError(f"{where}: no key {key!r} (found: {field_names(sorted(item))}){hint}")
    value = item[key]
    if not isinstance(value, str):
        raise UserError(f"{where}: the key {key!r} holds no text{hint}")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise UserError(f"{where}: the key {key!r} holds half a surrogate pair, which is no text; remove it")
    return value
