"""What a reader takes and gives, and the message for a text field that is not there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from bertinchamps.data.sources.readers_bytes import Progress
from bertinchamps.errors import UserError

SHOWN_FIELDS = 12


class Layout(NamedTuple):
    """What the user said about the files."""

    text_field: str
    txt_documents: str


class Record(NamedTuple):
    """One document before it is parsed: where it is ("line 12"), and how to get its text (None: a null)."""

    where: str
    text: Callable[[], str | None]


Reader = Callable[[Path, Layout, Progress], Iterator[Record]]


def field_names(names: list[str]) -> str:
    """The fields found, for a message. Only what looks like a name: a missing header makes names of text."""
    shown = [
        name if re.fullmatch(r"[\w.-]{1,40}", name) else f"(one of {len(name)} characters)" for name in names
    ]
    return ", ".join(shown[:SHOWN_FIELDS]) + (", …" if len(shown) > SHOWN_FIELDS else "") or "none"


def no_field(path: Path, where: str, kind: str, layout: Layout, names: list[str]) -> UserError:
    return UserError(
        f"{path}: {where}: no {kind} {layout.text_field!r} (found: {field_names(names)});"
        f" name the one that holds the text with data.text_field=NAME"
    )
