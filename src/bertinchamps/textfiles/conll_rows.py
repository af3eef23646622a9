"""The rows of a CoNLL file, sentence by sentence, without comments and marks of documents.

    -DOCSTART- -X- O                    # text = Fracture du col
                                        1	Fracture	fracture	NOUN	B-DISO
    Fracture N B-DISO                   2-3	du	_	_	O
    du P I-DISO                         2	de	de	ADP	I-DISO

A blank line or a document's mark (-DOCSTART-, # newdoc, #begin document) ends a sentence. Columns are separated by
tabs, or, in a line without tabs, by spaces. A line that begins with "#" and has no tab is a comment, unless the file
has no tabs, and the line has the usual number of columns and ends with a tag.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from bertinchamps.textfiles.limits import Room
from bertinchamps.textfiles.lines import decoded
from bertinchamps.textfiles.lines import lines as lines_of

DOCUMENT_MARKS = ("-DOCSTART-", "-DOCEND-")
DOCUMENT_COMMENT = re.compile(r"#+\s*(?:newdoc|begin document|end document)\b|###")
COMMENT = re.compile(r"#[^\t]*|#+[ \xa0][^\t]+\t.*", re.DOTALL)
PART_OF_WORDS = re.compile(
    r"[0-9]+[-.][0-9]+"
)  # 2-3: a contraction of words 2 and 3; 8.1: a word that is not there
SAME_IN_ALL = 10  # a first column that is the same in so many rows is no column of words


class Row(NamedTuple):
    """A line with a word in it.

    Attributes:
        line: its number.
        columns: its cells.
    """

    line: int
    columns: tuple[str, ...]


def sentences(path: Path, is_tag: Callable[[str], bool], lenient: bool = False) -> list[list[Row]]:
    """The rows of a file, plain, `.gz` or `.zst`, sentence by sentence.

    Args:
        path: the file.
        is_tag: whether a cell is a tag; tells rows that begin with "#" from comments.
        lenient: bytes that are not UTF-8 become halves of surrogate pairs, which are no text, instead of an error.

    Raises:
        UserError: the file cannot be read.
    """
    lines = list(_lines(path, lenient))
    plain = [line for _, line in lines if not line.startswith("#")]
    tabbed = any("\t" in line for line in plain)
    widths = Counter(len(columns) for columns in map(_columns, plain) if columns)
    usual = widths.most_common(1)[0][0] if widths else 0

    def is_comment(line: str, columns: Sequence[str]) -> bool:
        if not COMMENT.fullmatch(line):
            return False
        return tabbed or len(columns) != usual or not is_tag(columns[-1])

    found: list[list[Row]] = [[]]
    for number, line in lines:
        columns = _columns(line)
        comment = is_comment(line, columns)
        if not columns or columns[0] in DOCUMENT_MARKS or (comment and DOCUMENT_COMMENT.match(line)):
            found.append([])
        elif not comment:
            found[-1].append(Row(number, columns))
    return [sentence for sentence in found if sentence]


def _lines(path: Path, lenient: bool) -> Iterator[tuple[int, str]]:
    """Numbered lines without their ends: "\\n", "\\r\\n", or "\\r" of old Macs."""
    number = 0
    for _, content in lines_of(path, room=Room(path)):
        text = content.decode(errors="surrogateescape") if lenient else decoded(path, number + 1, content)
        for line in text.rstrip("\r\n").split("\r"):
            number += 1
            yield number, line


def _columns(line: str) -> tuple[str, ...]:
    """The cells of a line; none of a blank line."""
    columns = line.split("\t") if "\t" in line else [part for part in line.split(" ") if part]
    return tuple(columns) if any(columns) else ()


def is_count(sentences: Sequence[Sequence[Row]], gaps: bool = False) -> bool:
    """Whether the first of three or more columns numbers the words, in each sentence or through the file.

    Args:
        sentences: of the file.
        gaps: some sentences of the file may not be among them.
    """
    last, counted = -1, 0
    for sentence in sentences:
        numbers = [row.columns[0] for row in sentence if not PART_OF_WORDS.fullmatch(row.columns[0])]
        if any(len(row.columns) < 3 for row in sentence) or not all(_is_number(cell) for cell in numbers):
            return False
        counts = [int(cell) for cell in numbers]
        if counts and counts[0] not in (0, 1, last + 1) and not (gaps and counts[0] > last):
            return False
        if any(after != before + 1 for before, after in itertools.pairwise(counts)):
            return False
        last, counted = counts[-1] if counts else last, counted + len(counts)
    return counted > 1


def _is_number(cell: str) -> bool:
    return len(cell) < 10 and cell.isascii() and cell.isdigit()


def is_constant(sentences: Sequence[Sequence[Row]]) -> bool:
    """Whether the first of three or more columns is the same in every row, such as a document's name."""
    rows = [row.columns for sentence in sentences for row in sentence]
    return len(rows) >= SAME_IN_ALL and all(len(columns) > 2 and columns[0] == rows[0][0] for columns in rows)


def columns_of_tags(sentences: Sequence[Sequence[Row]], is_tag: Callable[[str], bool]) -> list[int]:
    """The columns, counted from 1, in which every row has a tag."""
    rows = [row.columns for sentence in sentences for row in sentence]
    width = min(map(len, rows))
    return [place + 1 for place in range(width) if all(is_tag(columns[place]) for columns in rows)]
