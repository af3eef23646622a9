"""What a line of a document is, for steps that take lines out."""

from __future__ import annotations

from collections.abc import Iterator

import regex

# Up to a line end, the end of a sentence, or a bullet.
LINE = regex.compile(r".*?(?:(?<=[.!?])\s+|\s+(?=[·•▪])|\n+|$)", regex.DOTALL)


def lines(text: str) -> Iterator[str]:
    """The text in lines, each with what separates it from the next."""
    return (match[0] for match in LINE.finditer(text) if match[0])
