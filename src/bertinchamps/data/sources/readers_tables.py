"""Readers of tables, CSV and TSV, of which only the text column is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bertinchamps.data.sources.readers_records import MOST_KEY, SETTING, Layout, Record
from bertinchamps.textfiles.lines import decoded, lines
from bertinchamps.textfiles.opening import Progress
from bertinchamps.textfiles.tables import CSV, TSV, Dialect, open_table


def read_csv(path: Path, layout: Layout, progress: Progress) -> Iterator[Record]:
    """A header line, then a document a row; fields may be quoted. The separator is a comma, a semicolon or a tab."""
    return _documents(path, layout, progress, CSV)


def read_tsv(path: Path, layout: Layout, progress: Progress) -> Iterator[Record]:
    """A header line, then a document a line, separated by tabs; a quote is a character like any other."""
    return _documents(path, layout, progress, TSV)


class _Lines:
    """The lines of a table as text, of which those of one record may not be too many.

    Args:
        path: the file.
        layout: how long a record may be.
        progress: updated with how far the reading is.

    Attributes:
        first: number of the record's first line; after each record the caller calls `begin`.
    """

    def __init__(self, path: Path, layout: Layout, progress: Progress) -> None:
        self._path, self._layout, self._read, self._line = path, layout, 0, 0
        self._lines = lines(path, progress, layout.max_record_mb, MOST_KEY)
        self.first = 1

    def begin(self) -> None:
        """Note that the next record begins in the line that is read next."""
        self.first, self._read = self._line + 1, 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        self._line, line = next(self._lines)
        self._read += len(line)
        if self._read > self._layout.most:
            where = f"the record that begins in line {self.first} (is a quote never closed?)"
            raise self._layout.too_long(self._path, where)
        return decoded(self._path, self._line, line)


def _documents(path: Path, layout: Layout, progress: Progress, dialect: Dialect) -> Iterator[Record]:
    texts = _Lines(path, layout, progress)
    table = open_table(path, texts, dialect, {layout.text_field: SETTING})
    if table is None:
        return
    column = table.names.index(layout.text_field)
    texts.begin()
    for line, row in table.rows:
        yield Record(f"line {line}", lambda cell=row[column]: cell.replace("\r\n", "\n"))  # type: ignore[misc]
        texts.begin()
