"""The reader of Parquet, of which only the text column is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from bertinchamps.data.sources.readers_records import SETTING, Layout, Record, no_field
from bertinchamps.errors import UserError
from bertinchamps.textfiles.opening import Progress, irregular, not_a_file

BATCH = 256  # rows
# A dictionary may stand for each of its texts in a few bits, so that kilobytes on disk are gigabytes of rows. Each row
# may be as large as all texts of its group that are written out, so few rows are read at once; of larger groups, texts
# stay in the dictionary until they are asked for, which takes ten times as long.
EXPANDED = 128_000_000  # bytes of rows that may be in memory
SMALL_GROUP = 128_000_000  # bytes of a row group's texts


def read_parquet(path: Path, layout: Layout, progress: Progress) -> Iterator[Record]:
    """The text column, row group by row group."""
    import pyarrow as arrow

    rows, kind = Rows(path, path, layout, progress), irregular(path)
    if kind:
        raise not_a_file(path, kind)
    try:
        yield from rows.read()
    except UserError:
        raise
    except MemoryError:
        raise UserError(
            f"{path}: after row {rows.done}: what follows takes more memory than there is: the file is damaged, or its "
            "row groups or pages are too large; copy it again, or write it with smaller ones"
        ) from None
    except OSError as error:
        if error.strerror:
            raise UserError(f"{path}: cannot be read ({error.strerror})") from None
        raise _damaged_parquet(path, rows.done) from None
    except (arrow.ArrowException, ValueError, KeyError, IndexError):  # of names that are no UTF-8, too
        raise _damaged_parquet(path, rows.done) from None


class Rows:
    """The rows of a file, of which few are in memory.

    Args:
        file: a path, or an open file.
        path: its name, for messages.
        layout: the user's settings.
        progress: updated with how far the reading is.

    Attributes:
        done: rows that were read.
    """

    def __init__(self, file: Path | BinaryIO, path: Path | str, layout: Layout, progress: Progress) -> None:
        self._file, self._path, self._layout, self._progress, self.done = file, path, layout, progress, 0

    def read(self) -> Iterator[Record]:
        """Each row; raises whatever pyarrow raises for a damaged file, or UserError."""
        import pyarrow.parquet as parquet

        path, layout = self._path, self._layout
        with parquet.ParquetFile(self._file) as file:
            metadata = file.metadata
            groups = [metadata.row_group(number) for number in range(file.num_row_groups)]
            large = any(group.total_byte_size > SMALL_GROUP for group in groups)
        folded = {"read_dictionary": [layout.text_field] if large else None}
        with parquet.ParquetFile(
            self._file, metadata=metadata, page_checksum_verification=True, **folded
        ) as file:
            schema, total = file.schema_arrow, max(1, metadata.num_rows)
            self._progress.fraction = lambda: self.done / total
            if layout.text_field not in schema.names:
                raise no_field(path, "schema", "column", layout, schema.names)
            _check_type(path, schema.field(layout.text_field).type, layout)
            for number, group in enumerate(groups):
                yield from self._group(file, number, group, large)

    def _group(self, file: Any, number: int, group: Any, large: bool) -> Iterator[Record]:
        path, layout = self._path, self._layout
        # raises where the metadata of a column are damaged; asking for them would end the process (pyarrow 26)
        next(file.iter_batches(1, row_groups=[number], columns=[layout.text_field]), None)
        size = max(1, _size(group, layout))
        mean = size / max(1, group.num_rows)
        if mean > layout.most:  # so that at least one is, which nobody has to read to know
            raise layout.too_long(path, f"a record behind row {self.done}")
        at_once = max(1, min(BATCH, int(layout.most / mean), BATCH if large else EXPANDED // size))
        for batch in file.iter_batches(at_once, row_groups=[number], columns=[layout.text_field]):
            for value in batch.column(0):
                self.done += 1
                row = self.done
                yield Record(f"row {row}", lambda n=row, cell=value: _cell(path, n, cell, layout))  # type: ignore[misc]


def _damaged_parquet(path: Path, row: int) -> UserError:
    return UserError(f"{path}: after row {row}: not a Parquet file, or damaged or cut short; copy it again")


def _check_type(path: Path | str, kind: Any, layout: Layout) -> None:
    """Refuse a column that holds no texts."""
    import pyarrow as arrow

    kind = kind.value_type if arrow.types.is_dictionary(kind) else kind
    if arrow.types.is_string(kind) or arrow.types.is_large_string(kind) or str(kind) == "string_view":
        return
    name = str(kind).partition("<")[0]  # of a nested type no more, whose fields have names
    raise UserError(
        f"{path}: the column {layout.text_field!r} is of type {name}, not a text;"
        f" name the one that holds the text with {SETTING}=NAME"
    )


def _size(group: Any, layout: Layout) -> int:
    """Bytes of the texts of a row group, each that is written out once, as its metadata has it."""
    columns = (group.column(number) for number in range(group.num_columns))
    return sum(c.total_uncompressed_size for c in columns if c.path_in_schema == layout.text_field)


def _cell(path: Path | str, row: int, cell: Any, layout: Layout) -> str | None:
    try:
        text: str | None = cell.as_py()
    except UnicodeDecodeError:
        raise UserError(f"{path}: row {row}: not UTF-8; write the column again as UTF-8 text") from None
    if text is not None and len(text) > layout.most:
        raise layout.too_long(path, f"row {row}")
    return text
