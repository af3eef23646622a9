"""Readers of tables: CSV, TSV and Parquet, of which only the text column is kept."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bertinchamps.data.sources.readers_bytes import Progress, decoded, lines
from bertinchamps.data.sources.readers_records import Layout, Record, no_field
from bertinchamps.errors import UserError

LARGEST_FIELD = 1 << 27  # characters of a csv field; beyond it, an unclosed quote has swallowed the file
PARQUET_BATCH = 256  # rows


def read_csv(path: Path, layout: Layout, progress: Progress) -> Iterator[Record]:
    """A header line, then a document a row; fields may be quoted. The separator is a comma or a semicolon."""
    return _rows(path, layout, progress, (",", ";"), csv.QUOTE_MINIMAL)


def read_tsv(path: Path, layout: Layout, progress: Progress) -> Iterator[Record]:
    """A header line, then a document a line, separated by tabs; a quote is a character like any other."""
    return _rows(path, layout, progress, ("\t",), csv.QUOTE_NONE)


class _Dialect(NamedTuple):
    separator: str
    column: int
    columns: int


def _dialect(path: Path, header: str, layout: Layout, separators: tuple[str, ...], quoting: int) -> _Dialect:
    """The separator by which the header has the text field. Raises UserError if none does."""
    found: list[list[str]] = []
    for separator in separators:
        names = next(csv.reader([header], delimiter=separator, quoting=quoting), [])  # type: ignore[arg-type]
        if layout.text_field in names:
            return _Dialect(separator, names.index(layout.text_field), len(names))
        found.append(names)
    raise no_field(path, "line 1", "column", layout, max(found, key=len))


def _rows(
    path: Path, layout: Layout, progress: Progress, separators: tuple[str, ...], quoting: int
) -> Iterator[Record]:
    csv.field_size_limit(max(LARGEST_FIELD, csv.field_size_limit()))
    texts = (decoded(path, number, line) for number, line in lines(path, progress))
    line = 1
    try:
        if not (header := next(texts, "")):
            return
        separator, column, columns = _dialect(path, header, layout, separators, quoting)
        reader = csv.reader(texts, delimiter=separator, quoting=quoting, strict=True)  # type: ignore[arg-type]
        line = 2
        for row in reader:
            if row and len(row) != columns:
                raise UserError(
                    f"{path}: line {line}: {len(row)} columns where the header has {columns};"
                    f" quote fields that hold the separator or a line end (.csv), or use .jsonl"
                )
            if row:
                yield Record(f"line {line}", lambda cell=row[column]: cell.replace("\r\n", "\n"))  # type: ignore[misc]
            line = reader.line_num + 2  # the reader has not seen the header
    except csv.Error:
        raise UserError(
            f"{path}: line {line}: not valid CSV (a quote that is never closed, or text after a closing one)"
        ) from None


def read_parquet(path: Path, layout: Layout, progress: Progress) -> Iterator[Record]:
    """The text column, row group by row group."""
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    row = 0
    try:
        with parquet.ParquetFile(path) as file:
            schema, total = file.schema_arrow, max(1, file.metadata.num_rows)
            progress.fraction = lambda: row / total
            if layout.text_field not in schema.names:
                raise no_field(path, "schema", "column", layout, schema.names)
            kind = schema.field(layout.text_field).type
            kind = kind.value_type if arrow.types.is_dictionary(kind) else kind
            if not (
                arrow.types.is_string(kind) or arrow.types.is_large_string(kind) or str(kind) == "string_view"
            ):
                raise UserError(
                    f"{path}: the column {layout.text_field!r} is of type {kind}, not a text;"
                    f" name the one that holds the text with data.text_field=NAME"
                )
            for batch in file.iter_batches(PARQUET_BATCH, columns=[layout.text_field]):
                for value in batch.column(0):
                    row += 1
                    yield Record(f"row {row}", lambda n=row, cell=value: _cell(path, n, cell))  # type: ignore[misc]
    except (arrow.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.strerror:
            raise UserError(f"{path}: cannot be read ({error.strerror})") from None
        raise UserError(
            f"{path}: after row {row}: not a Parquet file, or damaged or cut short; copy it again"
        ) from None


def _cell(path: Path, row: int, cell: Any) -> str | None:
    try:
        text: str | None = cell.as_py()
    except UnicodeDecodeError:
        raise UserError(f"{path}: row {row}: not UTF-8; write the column again as UTF-8 text") from None
    return text
