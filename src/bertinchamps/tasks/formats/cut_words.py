"""The words of a text, cut where entities begin or end: tokens for tools whose entities are rows of tokens."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from bertinchamps.tasks.tagging.sentences import Range
from bertinchamps.tasks.tagging.windows import words_of


def cut_words(text: str, edges: Iterable[int], start: int = 0, end: int | None = None) -> list[Range]:
    """Character ranges of the words of a part of a text, in order; none of them crosses an edge.

    Args:
        text: the text.
        edges: offsets at which entities begin or end.
        start: of the part.
        end: of the part; None: that of the text.
    """
    stop = len(text) if end is None else end
    cuts = sorted({start, stop, *(edge for edge in edges if start < edge < stop)})
    return [word for before, after in itertools.pairwise(cuts) for word in words_of(text, before, after)]
