"""Tables with a header line: CSV and TSV, row by row."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bertinchamps.errors import UserError
from bertinchamps.textfiles.bad_records import STOP, BadRecords
from bertinchamps.textfiles.limits import Room, key, limits, remedy
from bertinchamps.textfiles.lines import bound_of, decoded, lines, too_long
from bertinchamps.textfiles.names import field_names
from bertinchamps.textfiles.opening import Progress

LARGEST_FIELD = 1 << 27  # characters of a csv field; beyond it, an unclosed quote has swallowed the file
LARGEST_HEADER = 1 << 20  # characters


class Dialect(NamedTuple):
    """What may separate fields, and whether quotes enclose them."""

    separators: str
    quoting: Any  # csv.QUOTE_…


QUOTED_TSV = (
    "in a .tsv a quote is a character like any other; where quotes enclose fields, call the file .csv"
)
ENCLOSED = re.compile(r'"(?:[^"]|"")*"')
CSV, TSV = Dialect(",;\t", csv.QUOTE_MINIMAL), Dialect("\t", csv.QUOTE_NONE)


class Table(NamedTuple):
    """An opened CSV or TSV.

    Attributes:
        names: of its columns, as the header has them.
        separator: between them.
        rows: the number of each row's first line, and its cells; blank lines are left out.
    """

    names: tuple[str, ...]
    separator: str
    rows: Iterator[tuple[int, list[str]]]


class TableLines:
    """The lines of a table as text, of which those of one row may not be too many.

    Args:
        path: the file.
        progress: updated with how far the reading is.
        most_mb: of a row, in millions of bytes; None: as `limits` has it.
        setting: the key that raises this, for the message.
        room: for all lines together, of whoever keeps them.

    Attributes:
        lenient: whether what is not UTF-8 becomes half surrogate pairs; else it is a mistake.
    """

    def __init__(
        self,
        path: Path,
        progress: Progress | None = None,
        most_mb: float | None = None,
        setting: str | None = None,
        room: Room | None = None,
    ) -> None:
        self._path, self.lenient = path, False
        self._most_mb, self._setting = bound_of(most_mb, setting)
        self._lines = lines(path, progress, self._most_mb, self._setting, room)
        self._first, self._last, self._read = 1, 0, 0

    def begin(self) -> None:
        """Note that the next row begins in the line that is read next."""
        self._first, self._read = self._last + 1, 0

    def __iter__(self) -> TableLines:
        return self

    def __next__(self) -> str:
        self._last, line = next(self._lines)
        self._read += len(line)
        if self._read > self._most_mb * 1_000_000:
            where = f"the record that begins in line {self._first} (is a quote never closed?)"
            raise too_long(self._path, where, self._most_mb, self._setting)
        return (
            line.decode(errors="surrogateescape") if self.lenient else decoded(self._path, self._last, line)
        )


def open_table(
    path: Path, texts: TableLines, dialect: Dialect, wanted: Mapping[str, str], bad: BadRecords = STOP
) -> Table | None:
    """Read the header, by the separator that finds most of the wanted columns in it; None for an empty file.

    Args:
        path: for messages.
        texts: the file's lines.
        dialect: what may separate and enclose fields.
        wanted: column → the user's setting that names it.
        bad: what is done with rows of another number of cells than the header. A quote that is never closed is no
            mistake of one row: nobody knows where the next one begins.

    Raises:
        UserError: the header is not valid, or a wanted column is not in it exactly once; while rows are read, a row
            has not as many cells as the header.
    """
    csv.field_size_limit(max(LARGEST_FIELD, csv.field_size_limit()))
    seen: list[str] = []
    found = {
        mark: _names(csv.reader(_again(seen, texts), delimiter=mark, quoting=dialect.quoting, strict=True))
        for mark in dialect.separators
    }
    line = next((number for number, text in enumerate(seen, start=1) if text.strip("\r\n")), None)
    if line is None:
        return None
    separator, names = max(
        found.items(), key=lambda entry: (len(wanted.keys() & set(entry[1])), len(entry[1]))
    )
    if not names:
        raise _invalid(path, line)
    if len(names) > limits().columns:
        raise UserError(
            f"{path}: line {line}: more than {limits().columns:,} columns; {remedy(key('columns'))}"
        )
    for column, setting in wanted.items():
        _check_column(f"{path}: line {line}", names, column, setting, dialect)
    whole = itertools.chain(seen, texts)
    reader = csv.reader(whole, delimiter=separator, quoting=dialect.quoting, strict=True)
    _names(reader)
    return Table(tuple(names), separator, _rows(path, texts, reader, len(names), bad))


def _check_column(where: str, names: Sequence[str], column: str, setting: str, dialect: Dialect) -> None:
    """Raise UserError unless exactly one column is called so."""
    places = [str(place) for place, name in enumerate(names, start=1) if name == column]
    if not places:
        quoted = dialect is TSV and any(name.startswith('"') and name.endswith('"') for name in names)
        raise UserError(
            f"{where}: no column {column!r} (found: {field_names(names, column)});"
            f" name the right one with {setting}=NAME, or add a first line that names the columns"
            + (f"; {QUOTED_TSV}" if quoted else "")
        )
    if len(places) > 1:
        raise UserError(
            f"{where}: {len(places)} columns are called {column!r}: number {' and number '.join(places)};"
            f" rename all but one, or name another column with {setting}=NAME"
        )


def _again(seen: list[str], texts: TableLines) -> Iterator[str]:
    """The lines that were read before, then further ones as long as a header may be."""
    yield from seen
    while sum(map(len, seen)) < LARGEST_HEADER and (line := next(texts, "")):
        seen.append(line)
        yield line


def _names(reader: Any) -> list[str]:
    """The first row that is not blank; nothing where it is not valid, or there is none."""
    try:
        return next((row for row in reader if row), [])
    except csv.Error:
        return []


def _rows(
    path: Path, texts: TableLines, reader: Any, columns: int, bad: BadRecords
) -> Iterator[tuple[int, list[str]]]:
    line = reader.line_num + 1
    texts.begin()
    try:
        for row in reader:
            if row and len(row) != columns:
                wrong = UserError(
                    f"{path}: line {line}: {len(row)} columns where the header has {columns};"
                    f" quote fields that hold the separator or a line end (.csv), or use .jsonl"
                )
                bad.leave_out(wrong)
            elif row:
                yield line, row
            line = reader.line_num + 1
            texts.begin()
    except csv.Error:
        raise _invalid(path, line) from None


def in_quotes(cell: str) -> bool:
    """Whether a cell is enclosed as a `.csv` encloses one."""
    return ENCLOSED.fullmatch(cell) is not None


def _invalid(path: Path, line: int) -> UserError:
    return UserError(
        f"{path}: line {line}: not valid: a quote is never closed, text follows one, or a line ends in \\r alone,"
        f" as old Macs wrote it (`tr '\\r' '\\n' < OLD > NEW` mends that)"
    )
