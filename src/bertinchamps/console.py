"""What the program says to its user while it works: lines on standard error, never text of documents."""

from __future__ import annotations

import contextlib
import sys


def tell(message: str) -> None:
    """Print a line on standard error, if there is one and it can still be written to."""
    with contextlib.suppress(OSError):
        if sys.stderr is not None:  # None: the shell closed it
            sys.stderr.write(message + "\n")
