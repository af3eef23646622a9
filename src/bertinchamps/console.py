"""What the program says to its user while it works: lines on standard error, never text of documents."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Collection

LABELS_SHOWN = 20  # labels in one message
LONGEST_SHOWN = 40  # characters of a label in a message
Tell = Callable[[str], None]  # `tell`, or what stands in for it


def counted(number: int, what: str) -> str:
    """A number of things, such as "1 text" and "1,200 texts"."""
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def shown(label: str) -> str:
    """A label for a message; only the length of one so long that it may be a document's text."""
    if len(label) <= LONGEST_SHOWN and label.isprintable():
        return label
    return f"(a label of {len(label)} characters)"


def all_shown(labels: Collection[str]) -> str:
    """Labels for a message, the first ones where there are many."""
    first = ", ".join(map(shown, list(labels)[:LABELS_SHOWN]))
    return first + (f" and {len(labels) - LABELS_SHOWN:,} more" if len(labels) > LABELS_SHOWN else "")


def tell(message: str) -> None:
    """Print a line on standard error, if there is one and it can still be written to."""
    with contextlib.suppress(OSError):
        if sys.stderr is not None:  # None: the shell closed it
            sys.stderr.write(message + "\n")
