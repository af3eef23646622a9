"""What a reader takes and gives, and the message for a text field that is not there."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bertinchamps.data.sources.readers_bytes import MOST_MB, Progress, too_long
from bertinchamps.errors import UserError

SHOWN_FIELDS = 12


MOST_KEY = "data.max_record_mb"


def most_problems(settings: Mapping[str, Any]) -> list[str]:
    """What is wrong with the longest record that a source's settings allow."""
    most = settings.get("max_record_mb", MOST_MB)
    return (
        []
        if 0 < most < math.inf
        else [f"{MOST_KEY}={most}: above 0, in millions of bytes, such as {MOST_MB}"]
    )


class Layout(NamedTuple):
    """What the user said about the files."""

    text_field: str
    txt_documents: str
    max_record_mb: float = MOST_MB

    def too_long(self, path: Path, where: str) -> UserError:
        """The message for a record that is longer."""
        return too_long(path, where, self.max_record_mb, MOST_KEY)

    @property
    def most(self) -> int:
        """Bytes, or characters, of a record."""
        return int(self.max_record_mb * 1_000_000)


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


def no_field(path: Path, where: str, kind: str, layout: Layout, number: int) -> UserError:
    """The message for a text field that is not there. Those that are there are counted, not said: they may be text."""
    others = {0: f"no {kind}", 1: f"1 {kind}"}.get(number, f"{number} {kind}s")
    return UserError(
        f"{path}: {where}: no {kind} {layout.text_field!r} ({others} there, of other names);"
        f" name the one that holds the text with data.text_field=NAME"
    )
