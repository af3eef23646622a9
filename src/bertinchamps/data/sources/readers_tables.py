"""Readers of tables: CSV, TSV and Parquet, of which only the text column is kept."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bertinchamps.data.sources.readers_bytes import Progress, decoded, irregular, lines, not_a_file
from bertinchamps.data.sources.readers_records import MOST_KEY, Layout, Record, no_field
from bertinchamps.errors import UserError

LARGEST_FIELD = 1 << 27  # characters of a csv field; beyond it, an unclosed quote has swallowed the file
PARQUET_BATCH = 256  # rows
CONVERT_OLD_MAC = "the file of an old Mac is converted by `tr '\\r' '\\n' < OLD > NEW`"


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
            if (number := names.count(layout.text_field)) > 1:
                raise UserError(
                    f"{path}: line 1: {number} columns {layout.text_field!r}; give each its own name"
                )
            return _Dialect(separator, names.index(layout.text_field), len(names))
        found.append(names)
    raise no_field(path, "line 1", "column", layout, max(map(len, found)))


class _Lines:
    """The lines of a table as text, of which those of one record may not be too many.

    Args:
        path: the file.
        layout: how long a record may be.
        progress: told how far the reading is.

    Attributes:
        first: number of the record's first line; whoever takes a record says what the next one is.
    """

    def __init__(self, path: Path, layout: Layout, progress: Progress) -> None:
        self._path, self._layout, self._read = path, layout, 0
        self._lines = lines(path, progress, layout.max_record_mb, MOST_KEY)
        self.first = 1

    def begin(self, line: int) -> None:
        """The next record begins in this line."""
        self.first, self._read = line, 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        number, line = next(self._lines)
        self._read += len(line)
        if self._read > self._layout.most:
            where = f"the record that begins in line {self.first} (is a quote never closed?)"
            raise self._layout.too_long(self._path, where)
        return decoded(self._path, number, line)


def _rows(
    path: Path, layout: Layout, progress: Progress, separators: tuple[str, ...], quoting: int
) -> Iterator[Record]:
    csv.field_size_limit(max(layout.most, csv.field_size_limit()))
    texts = _Lines(path, layout, progress)
    try:
        if not (header := next(texts, "")):
            return
        separator, column, columns = _dialect(path, header, layout, separators, quoting)
        reader = csv.reader(texts, delimiter=separator, quoting=quoting, strict=True)  # type: ignore[arg-type]
        texts.begin(2)
        for row in reader:
            line = texts.first
            if row and len(row) != columns:
                raise UserError(
                    f"{path}: line {line}: {len(row)} columns where the header has {columns};"
                    f" quote fields that hold the separator or a line end (.csv), or use .jsonl"
                )
            if row:
                yield Record(f"line {line}", lambda cell=row[column]: cell.replace("\r\n", "\n"))  # type: ignore[misc]
            texts.begin(reader.line_num + 2)  # the reader has not seen the header
    except csv.Error as error:
        problem = "not valid CSV (a quote that is never closed, or text after a closing one)"
        if "new-line" in str(error):
            problem = f"a carriage return that ends no line; {CONVERT_OLD_MAC}"
        raise UserError(f"{path}: line {texts.first}: {problem}") from None


def read_parquet(path: Path, layout: Layout, progress: Progress) -> Iterator[Record]:
    """The text column, row group by row group."""
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    row, kind = 0, irregular(path)
    if kind:
        raise not_a_file(path, kind)
    try:
        with parquet.ParquetFile(path, page_checksum_verification=True) as file:
            schema, total = file.schema_arrow, max(1, file.metadata.num_rows)
            progress.fraction = lambda: row / total
            if layout.text_field not in schema.names:
                raise no_field(path, "schema", "column", layout, len(schema.names))
            _check_column(path, schema.field(layout.text_field).type, layout)
            for group in range(file.num_row_groups):
                size = _mean_size(file.metadata.row_group(group), layout)
                if size > layout.most:  # so that at least one is, which nobody has to read to know
                    raise layout.too_long(path, f"a record behind row {row}")
                at_once = max(1, min(PARQUET_BATCH, int(layout.most / max(size, 1))))
                for batch in file.iter_batches(at_once, row_groups=[group], columns=[layout.text_field]):
                    for value in batch.column(0):
                        row += 1
                        yield Record(f"row {row}", lambda n=row, cell=value: _cell(path, n, cell, layout))  # type: ignore[misc]
    except UserError:
        raise
    except OSError as error:
        if error.strerror:
            raise UserError(f"{path}: cannot be read ({error.strerror})") from None
        raise _damaged_parquet(path, row) from None
    except (arrow.ArrowException, UnicodeDecodeError, ValueError, KeyError, IndexError, MemoryError):
        raise _damaged_parquet(path, row) from None


def _damaged_parquet(path: Path, row: int) -> UserError:
    return UserError(f"{path}: after row {row}: not a Parquet file, or damaged or cut short; copy it again")


def _check_column(path: Path, kind: Any, layout: Layout) -> None:
    """Refuse a column that holds no texts. Of a nested one, the type would spell names that the file holds."""
    import pyarrow as arrow

    kind = kind.value_type if arrow.types.is_dictionary(kind) else kind
    if arrow.types.is_string(kind) or arrow.types.is_large_string(kind) or str(kind) == "string_view":
        return
    said = "a nested one" if arrow.types.is_nested(kind) else str(kind)
    raise UserError(
        f"{path}: the column {layout.text_field!r} is of type {said}, not a text;"
        f" name the one that holds the text with data.text_field=NAME"
    )


def _mean_size(group: Any, layout: Layout) -> float:
    """Bytes of a cell of the text column in a row group, as its metadata has it."""
    columns = (group.column(number) for number in range(group.num_columns))
    size = sum(c.total_uncompressed_size for c in columns if c.path_in_schema == layout.text_field)
    return float(size / max(1, group.num_rows))


def _cell(path: Path, row: int, cell: Any, layout: Layout) -> str | None:
    try:
        text: str | None = cell.as_py()
    except UnicodeDecodeError:
        raise UserError(f"{path}: row {row}: not UTF-8; write the column again as UTF-8 text") from None
    if text is not None and len(text) > layout.most:
        raise layout.too_long(path, f"row {row}")
    return text
