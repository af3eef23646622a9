"""Readers of tables, CSV and TSV, of which only the text column is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bertinchamps.data.sources.readers_records import MOST_KEY, SETTING, Layout, Record
from bertinchamps.textfiles.opening import Progress
from bertinchamps.textfiles.tables import CSV, TSV, Dialect, TableLines, open_table


def read_csv(path: Path, layout: Layout, progress: Progress) -> Iterator[Record]:
    """A header line, then a document a row; fields may be quoted. The separator is a comma, a semicolon or a tab."""
    return _documents(path, layout, progress, CSV)


def read_tsv(path: Path, layout: Layout, progress: Progress) -> Iterator[Record]:
    """A header line, then a document a line, separated by tabs; a quote is a character like any other."""
    return _documents(path, layout, progress, TSV)


def _documents(path: Path, layout: Layout, progress: Progress, dialect: Dialect) -> Iterator[Record]:
    texts = TableLines(path, progress, layout.max_record_mb, MOST_KEY)
    table = open_table(path, texts, dialect, {layout.text_field: SETTING})
    if table is None:
        return
    column = table.names.index(layout.text_field)
    for line, row in table.rows:
        yield Record(f"line {line}", lambda cell=row[column]: cell.replace("\r\n", "\n"))  # type: ignore[misc]
