"""What a reader takes and gives, and the message for a text field that is not there."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bertinchamps.data.sources.readers_bytes import MOST_MB, Progress, too_long
from bertinchamps.errors import UserError

SETTING = "data.text_field"  # the key that names the text


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


def field_names(names: Sequence[str], wanted: str = "") -> str:
    """How many fields were found, for a message, and which one is nearly called as the wanted one.

    What they are called is not said: where the header is missing, or a key stands in the wrong place, those are a
    document's words.
    """
    near = [place for place, name in enumerate(names, start=1) if _plain(name) == _plain(wanted)]
    hint = f"; number {near[0]} differs in capitals, quotes or blanks alone" if near and wanted else ""
    return (
        f"{len(names)} by {'another name' if len(names) == 1 else 'other names'}" if names else "none"
    ) + hint


def _plain(name: str) -> str:
    return name.strip("'\" \t\r\n\ufeff").casefold()


def no_field(path: Path, where: str, kind: str, layout: Layout, names: Sequence[str]) -> UserError:
    """The message for a text field that is not there. Those that are there are counted, not said: they may be text."""
    return UserError(
        f"{path}: {where}: no {kind} {layout.text_field!r} (found: {field_names(names, layout.text_field)});"
        f" name the one that holds the text with {SETTING}=NAME"
    )
