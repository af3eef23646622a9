"""Objects of annotated JSON lines: the text under a key, and whether an annotation tool rejected the object."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from bertinchamps.errors import UserError
from bertinchamps.textfiles.json_lines import HALF, is_text
from bertinchamps.textfiles.names import field_names

# How annotation tools mark a line as rejected: Prodigy, Label Studio, Argilla.
MARKS = (("answer", ("reject", "ignore")), ("was_cancelled", (True,)), ("status", ("discarded",)))
REJECTED = "lines that the annotation tool marked as rejected"


def is_rejected(item: Mapping[str, Any], read: Collection[str] = ()) -> bool:
    """Whether an annotation tool marked the object as rejected.

    Args:
        item: the object.
        read: keys that the user named, which hold data and no mark of a tool.
    """
    return any(key not in read and item.get(key) in values for key, values in MARKS)


def string(item: Mapping[str, Any], key: str, where: str, setting: str = "") -> str:
    """The text under a key.

    Args:
        item: the object.
        key: the key.
        where: file and line, for messages.
        setting: the user's setting that names the key, for messages.

    Raises:
        UserError: the key is missing, or holds no text.
    """
    check_key(item, key, where, setting)
    value = item[key]
    if not isinstance(value, str):
        raise UserError(f"{where}: the key {key!r} holds no text{_remedy(setting)}")
    if not is_text(value):
        raise UserError(f"{where}: the key {key!r} {HALF}")
    return value


def check_key(item: Mapping[str, Any], key: str, where: str, setting: str = "") -> None:
    """Raise UserError where an object lacks a key; the arguments are those of `string`."""
    if key not in item:
        raise UserError(f"{where}: no key {key!r} (found: {field_names(list(item), key)}){_remedy(setting)}")


def _remedy(setting: str) -> str:
    return f"; name the right one with {setting}=NAME" if setting else ""
