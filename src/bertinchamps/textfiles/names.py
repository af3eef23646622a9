"""Names of columns and keys, for messages: how many were found, not what they are called."""

from __future__ import annotations

from collections.abc import Sequence


def field_names(names: Sequence[str], wanted: str = "") -> str:
    """How many fields were found, for a message, and which one is nearly called as the wanted one.

    The names themselves are not shown: where the header is missing, or a key stands in the wrong place, the names are
    words of a document.
    """
    near = [place for place, name in enumerate(names, start=1) if _plain(name) == _plain(wanted)]
    hint = f"; number {near[0]} differs in capitals, quotes or blanks alone" if near and wanted else ""
    return (
        f"{len(names)} by {'another name' if len(names) == 1 else 'other names'}" if names else "none"
    ) + hint


def _plain(name: str) -> str:
    return name.strip("'\" \t\r\n\ufeff").casefold()
