"""What a reader takes and gives, and the message for a text field that is not there."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bertinchamps.errors import UserError
from bertinchamps.textfiles.lines import MOST_MB, too_long
from bertinchamps.textfiles.names import field_names
from bertinchamps.textfiles.opening import Progress

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
    """The user's settings of the files."""

    text_field: str
    txt_documents: str
    max_record_mb: float = MOST_MB

    def too_long(self, path: Path | str, where: str) -> UserError:
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


def no_field(path: Path | str, where: str, kind: str, layout: Layout, names: Sequence[str]) -> UserError:
    """The message for a missing text field. The fields that are there are counted, not named: a name may be text."""
    return UserError(
        f"{path}: {where}: no {kind} {layout.text_field!r} (found: {field_names(names, layout.text_field)});"
        f" name the one that holds the text with {SETTING}=NAME"
    )
