"""What the program says to its user while it works: lines on standard error, never text of documents."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable

Tell = Callable[[str], None]  # `tell`, or what stands in for it


def counted(number: int, what: str) -> str:
    """A number of things, such as "1 text" and "1,200 texts"."""
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def tell(message: str) -> None:
    """Print a line on standard error, if there is one and it can still be written to."""
    with contextlib.suppress(OSError):
        if sys.stderr is not None:  # None: the shell closed it
            sys.stderr.write(message + "\n")
