"""Quotations of documents in Markdown pages on errors."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markupsafe import Markup

EXAMPLES = 5  # quotations for each type and kind of error
CONTEXT = 5  # words on each side of a quotation
LONGEST_CONTEXT = 100  # characters on each side, where words have no spaces between them
LONGEST_GAP = 160  # characters between two bold parts that are quoted in full

WARNING = "**This page quotes documents. It stays on this disk: never commit, publish or mail it.**"


def in_context(text: str, parts: Sequence[tuple[int, int]]) -> Markup:
    """Parts of a text in bold, what is between them, and some words on each side.

    Args:
        text: the document.
        parts: start and end of each, in order and apart from each other.
    """
    from markupsafe import Markup

    first, last = parts[0][0], parts[-1][1]
    before = re.findall(r"\S+\s*", text[max(0, first - LONGEST_CONTEXT) : first])[-CONTEXT:]
    after = re.findall(r"\s*\S+", text[last : last + LONGEST_CONTEXT])[:CONTEXT]
    inside, place = Markup(), first
    for start, end in parts:
        between = text[place:start]
        if len(between) > LONGEST_GAP:
            between = f"{between[: LONGEST_GAP // 2]} […] {between[-LONGEST_GAP // 2 :]}"
        inside += Markup("{}**{}**").format(escaped(between), escaped(text[start:end]))
        place = end
    return Markup("{}{}{}").format(escaped("".join(before)), inside, escaped("".join(after))).strip()


def escaped(text: str) -> Markup:
    """Text on one line in which Markdown interprets nothing."""
    from markupsafe import Markup

    return Markup(re.sub(r"([\\`*_\[\]<>|#~&])", r"\\\1", " ".join(re.split(r"\s+", text))))
