"""JSON lines: one object a line, such as {"id": "12", "text": "Fracture du col"}; blank lines are skipped."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bertinchamps.data.sources.readers_bytes import Progress, decoded, lines
from bertinchamps.data.sources.readers_records import field_names
from bertinchamps.errors import UserError

HALF = "holds half a surrogate pair (\\ud800 to \\udfff), which is no text; remove it"


def read(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file, plain, `.gz` or `.zst`, each with the number of its line.

    Raises:
        UserError: the file cannot be read, or a line is not a JSON object.
    """
    for number, line in lines(path, Progress()):
        if line.isspace():
            continue
        text = decoded(path, number, line)
        item = _object(text)
        if item is None:
            old = "\r" in text.rstrip("\r\n")
            raise UserError(
                f"{path}: line {number}: not a JSON object; a .jsonl file holds one a line"
                + (" (some end in \\r alone: `tr '\\r' '\\n' < OLD > NEW` mends that)" if old else "")
            )
        if isinstance(item, _Doubled):
            first, second = item.places
            raise UserError(
                f"{path}: line {number}: the keys number {first} and {second} are the same; rename or remove one"
            )
        yield number, item


class _Doubled(dict[str, Any]):
    """An object in which a key occurs twice, and where."""

    places: tuple[int, int]


def _object(text: str) -> dict[str, Any] | None:
    """The object that a line holds, or None."""
    try:
        item = json.loads(text, object_pairs_hook=_with_places)
    except (ValueError, RecursionError):
        return None
    return item if isinstance(item, dict) else None


def _with_places(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    item = dict(pairs)
    if len(item) == len(pairs):
        return item
    names = [name for name, _ in pairs]
    second = next(place for place, name in enumerate(names) if name in names[:place])
    doubled = _Doubled(item)
    doubled.places = (names.index(names[second]) + 1, second + 1)
    return doubled


# How annotation tools say that a line does not count: Prodigy, Label Studio, Argilla.
MARKS = (("answer", ("reject", "ignore")), ("was_cancelled", (True,)), ("status", ("discarded",)))
REJECTED = "lines that the annotation tool marked as rejected"


def is_rejected(item: Mapping[str, Any], read: Collection[str] = ()) -> bool:
    """Whether an annotation tool marked the object as one that does not count.

    Args:
        item: the object.
        read: keys that the user named, which hold data and no mark.
    """
    return any(key not in read and item.get(key) in values for key, values in MARKS)


def write(path: Path, items: Iterable[Mapping[str, Any]]) -> None:
    """One object a line, in UTF-8."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        file.writelines(map(line, items))


def line(item: Mapping[str, Any]) -> str:
    """The line of an object, with its end. Half a surrogate pair, which JSON can spell, is spelt again."""
    written = json.dumps(item, ensure_ascii=False)
    return (written if is_text(written) else json.dumps(item)) + "\n"


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
    check_key(item, key, where, setting)
    value = item[key]
    if not isinstance(value, str):
        raise UserError(f"{where}: the key {key!r} holds no text{_remedy(setting)}")
    if not is_text(value):
        raise UserError(f"{where}: the key {key!r} {HALF}")
    return value


def check_key(item: Mapping[str, Any], key: str, where: str, setting: str = "") -> None:
    """Raise UserError where an object has not got a key; the arguments are those of `string`."""
    if key not in item:
        raise UserError(f"{where}: no key {key!r} (found: {field_names(list(item), key)}){_remedy(setting)}")


def _remedy(setting: str) -> str:
    return f"; name the right one with {setting}=NAME" if setting else ""


def is_text(value: str) -> bool:
    """Whether it can be written as UTF-8: JSON can spell half of a surrogate pair, which no file can hold."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
