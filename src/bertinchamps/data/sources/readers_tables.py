"""Readers of tables: CSV, TSV and Parquet, of which only the text column is kept."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bertinchamps.data.sources.readers_bytes import Progress, decoded, irregular, lines, not_a_file
from bertinchamps.data.sources.readers_records import MOST_KEY, SETTING, Layout, Record, field_names, no_field
from bertinchamps.errors import UserError

LARGEST_FIELD = 1 << 27  # characters of a csv field; beyond it, an unclosed quote has swallowed the file
LARGEST_HEADER = 1 << 20  # characters
PARQUET_BATCH = 256  # rows


class Dialect(NamedTuple):
    """What may separate fields, and whether quotes enclose them."""

    separators: str
    quoting: Any  # csv.QUOTE_…


QUOTED_TSV = (
    "in a .tsv a quote is a character like any other; where quotes enclose fields, call the file .csv"
)
CSV, TSV = Dialect(",;\t", csv.QUOTE_MINIMAL), Dialect("\t", csv.QUOTE_NONE)


def read_csv(path: Path, layout: Layout, progress: Progress) -> Iterator[Record]:
    """A header line, then a document a row; fields may be quoted. The separator is a comma, a semicolon or a tab."""
    return _documents(path, layout, progress, CSV)


def read_tsv(path: Path, layout: Layout, progress: Progress) -> Iterator[Record]:
    """A header line, then a document a line, separated by tabs; a quote is a character like any other."""
    return _documents(path, layout, progress, TSV)


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


def open_table(path: Path, texts: Iterator[str], dialect: Dialect, wanted: Mapping[str, str]) -> Table | None:
    """Read the header, by the separator that finds most of the wanted columns in it; None for an empty file.

    Args:
        path: for messages.
        texts: the file's lines, with their ends.
        dialect: what may separate and enclose fields.
        wanted: column → the user's setting that names it.

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
    for column, setting in wanted.items():
        _check_column(f"{path}: line {line}", names, column, setting, dialect)
    whole = itertools.chain(seen, texts)
    reader = csv.reader(whole, delimiter=separator, quoting=dialect.quoting, strict=True)
    _names(reader)
    return Table(tuple(names), separator, _rows(path, reader, len(names)))


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


def _again(seen: list[str], texts: Iterator[str]) -> Iterator[str]:
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


def _rows(path: Path, reader: Any, columns: int) -> Iterator[tuple[int, list[str]]]:
    line = reader.line_num + 1
    try:
        for row in reader:
            if row and len(row) != columns:
                raise UserError(
                    f"{path}: line {line}: {len(row)} columns where the header has {columns};"
                    f" quote fields that hold the separator or a line end (.csv), or use .jsonl"
                )
            if row:
                yield line, row
            line = reader.line_num + 1
    except csv.Error:
        raise _invalid(path, line) from None


def _invalid(path: Path, line: int) -> UserError:
    return UserError(
        f"{path}: line {line}: not valid: a quote is never closed, text follows one, or a line ends in \\r alone,"
        f" as old Macs wrote it (`tr '\\r' '\\n' < OLD > NEW` mends that)"
    )


class _Lines:
    """The lines of a table as text, of which those of one record may not be too many.

    Args:
        path: the file.
        layout: how long a record may be.
        progress: told how far the reading is.

    Attributes:
        first: number of the record's first line; whoever takes a record says that the next one begins.
    """

    def __init__(self, path: Path, layout: Layout, progress: Progress) -> None:
        self._path, self._layout, self._read, self._line = path, layout, 0, 0
        self._lines = lines(path, progress, layout.max_record_mb, MOST_KEY)
        self.first = 1

    def begin(self) -> None:
        """The next record begins in the line that was not read yet."""
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
                raise no_field(path, "schema", "column", layout, schema.names)
            _check_type(path, schema.field(layout.text_field).type, layout)
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
    except (
        arrow.ArrowException,
        ValueError,
        KeyError,
        IndexError,
        MemoryError,
    ):  # of names that are no UTF-8, too
        raise _damaged_parquet(path, row) from None


def _damaged_parquet(path: Path, row: int) -> UserError:
    return UserError(f"{path}: after row {row}: not a Parquet file, or damaged or cut short; copy it again")


def _check_type(path: Path, kind: Any, layout: Layout) -> None:
    """Refuse a column that holds no texts."""
    import pyarrow as arrow

    kind = kind.value_type if arrow.types.is_dictionary(kind) else kind
    if arrow.types.is_string(kind) or arrow.types.is_large_string(kind) or str(kind) == "string_view":
        return
    said = str(kind).partition("<")[0]  # of a nested type no more, whose fields have names
    raise UserError(
        f"{path}: the column {layout.text_field!r} is of type {said}, not a text;"
        f" name the one that holds the text with {SETTING}=NAME"
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
