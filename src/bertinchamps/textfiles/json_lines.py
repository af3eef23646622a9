"""JSON lines: one value a line, such as {"id": "12", "text": "Fracture du col"}; blank lines are skipped."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bertinchamps.errors import UserError
from bertinchamps.textfiles.bad_records import STOP, BadRecords
from bertinchamps.textfiles.limits import Room, check_values, limits
from bertinchamps.textfiles.limits import key as limit_key
from bertinchamps.textfiles.lines import decoded, lines

HALF = "holds half a surrogate pair (\\ud800 to \\udfff), which is no text; remove it"
Pairs = list[tuple[str, Any]]


def read(path: Path, whole: bool = False, bad: BadRecords = STOP) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file, plain, `.gz` or `.zst`, each with the number of its line.

    Args:
        path: the file.
        whole: the caller keeps all of them, so that they may not be too many.
        bad: what is done with lines that cannot be read.

    Raises:
        UserError: the file cannot be read, or a line is not a JSON object whose keys differ.
    """
    for number, line in lines(path, room=Room(path) if whole else None):
        if line.isspace():
            continue
        with bad.record():
            yield number, _object(path, number, line)


def _object(path: Path, number: int, line: bytes) -> dict[str, Any]:
    place = f"{path}: line {number}"
    item = parsed(decoded(path, number, line), place, _with_places)
    if not isinstance(item, dict):
        raise UserError(f"{place}: not a JSON object; a .jsonl file holds one a line")
    if isinstance(item, _Doubled):
        first, second = item.places
        raise UserError(f"{place}: the keys number {first} and {second} are the same; rename or remove one")
    return item


def parsed(
    text: str,
    place: str,
    of_pairs: Callable[[Pairs], Any] | None = None,
    most_mb: float | None = None,
    key: str | None = None,
) -> Any:
    """The value of one line.

    Args:
        text: the line.
        place: file and line, for messages.
        of_pairs: makes an object of its keys and values; None: a dict.
        most_mb: that a line may have, in millions of bytes; None: as `limits` has it.
        key: the setting that raises this, for the message.

    Raises:
        UserError: the line is not JSON, or would take far more memory than its characters.
    """
    if most_mb is None:
        most_mb, key = limits().record_mb, limit_key("record_mb")
    check_values(text, place, most_mb, key)
    try:
        return json.loads(text, object_pairs_hook=of_pairs)
    except RecursionError:
        problem = "nested too deeply"
    except json.JSONDecodeError as error:
        problem = f"{error.msg.split(':')[0]}, column {error.colno}"
    except ValueError:
        problem = "a number of too many digits"
    # raised outside of the handler: the chained error would carry the line
    old = "\r" in text.rstrip("\r\n")
    raise UserError(
        f"{place}: not valid JSON ({problem}); a .jsonl file holds one JSON object a line"
        + (" (some end in \\r alone: `tr '\\r' '\\n' < OLD > NEW` mends that)" if old else "")
    )


class _Doubled(dict[str, Any]):
    """An object in which a key occurs twice, and where."""

    places: tuple[int, int]


def _with_places(pairs: Pairs) -> dict[str, Any]:
    item = dict(pairs)
    if len(item) == len(pairs):
        return item
    places: dict[str, int] = {}
    second, name = next(
        (place, name) for place, (name, _) in enumerate(pairs) if places.setdefault(name, place) != place
    )
    doubled = _Doubled(item)
    doubled.places = (places[name] + 1, second + 1)
    return doubled


def write(path: Path, items: Iterable[Mapping[str, Any]]) -> None:
    """One object a line, in UTF-8."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        file.writelines(map(line, items))


def line(value: object) -> str:
    """The line of a value, with its end. Half a surrogate pair, which JSON can spell, is spelt again."""
    written = json.dumps(value, ensure_ascii=False)
    return (written if is_text(written) else json.dumps(value)) + "\n"


def is_text(value: str) -> bool:
    """Whether a value can be written as UTF-8: half a surrogate pair, which JSON can spell, cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
