"""Sentences of a text, by spaCy's blank French pipeline with its sentencizer (the paper's), in linear time.

spaCy's tokenizer takes quadratic time for characters without a blank: a line of 20,000 underscores takes a minute.
Therefore spaCy is given a text in which long rows of symbols are shortened and long runs have blanks. Texts of words
are not changed, and the sentences of a long line of symbols are the same.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any

from bertinchamps.tasks.tagging.french_tokenizer import french_tokenizer

Range = tuple[int, int]
Edit = tuple[int, int, str]  # from, to, replacement

ROW = 64  # symbols in a row that spaCy sees: half of them from the beginning, half from the end
STRETCH = 1_000  # characters without a blank that spaCy sees
SYMBOLS = re.compile(rf"(?:[^\w\s]|_){{{ROW + 1},}}")
WITHOUT_BLANK = re.compile(rf"(?<!\S)\S{{{STRETCH + 1},}}")


@lru_cache(maxsize=1)
def _french() -> Callable[[str], Any]:
    from spacy.pipeline import Sentencizer

    french = french_tokenizer()
    french.max_length = 10**9  # the limit protects parsers, and this pipeline has none
    sentencizer = (
        Sentencizer()
    )  # not by its name: EDS-NLP, once imported, keeps spaCy from registering its own
    return lambda text: sentencizer(french.make_doc(text))


def sentences(text: str) -> list[Range]:
    """Character ranges of the sentences, in order."""
    shorter, place = _edited(text, _without_rows(text))
    parted, place_in_shorter = _edited(shorter, _with_blanks(shorter))
    return [
        (place(place_in_shorter(sentence.start_char)), place(place_in_shorter(sentence.end_char)))
        for sentence in _french()(parted).sents
    ]


def _without_rows(text: str) -> Iterator[Edit]:
    """Edits that leave out the middles of long rows of symbols."""
    for row in SYMBOLS.finditer(text):
        yield row.start() + ROW // 2, row.end() - ROW // 2, ""


def _with_blanks(text: str) -> Iterator[Edit]:
    """Edits that put blanks into long runs without blanks, between two letters or digits where possible."""
    for stretch in WITHOUT_BLANK.finditer(text):
        start = stretch.start()
        while stretch.end() - start > STRETCH:
            places = range(start + STRETCH, start + STRETCH // 2, -1)
            inside = (place for place in places if text[place - 1].isalnum() and text[place].isalnum())
            start = next(inside, start + STRETCH)
            yield start, start, " "


def _edited(text: str, edits: Iterable[Edit]) -> tuple[str, Callable[[int], int]]:
    """The edited text, and a function from offsets in the edited text to offsets in the original one.

    The offset of an edit maps to the offset before the characters that the edit replaces.
    """
    parts: list[str] = []
    starts: list[int] = []  # of the edits, in the edited text
    shifts = [0]  # before the first edit, behind it, …
    last = length = 0
    for start, end, new in edits:
        parts += [text[last:start], new]
        starts.append(length + start - last)
        length, last = starts[-1] + len(new), end
        shifts.append(end - length)
    parts.append(text[last:])
    return "".join(parts), lambda place: place + shifts[bisect_left(starts, place)]
