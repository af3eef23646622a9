"""The reader of Parquet, of which only the text column is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bertinchamps.data.sources.readers_records import SETTING, Layout, Record, no_field
from bertinchamps.errors import UserError
from bertinchamps.textfiles.opening import Progress, irregular, not_a_file

BATCH = 256  # rows


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
                at_once = max(1, min(BATCH, int(layout.most / max(size, 1))))
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
    name = str(kind).partition("<")[0]  # of a nested type no more, whose fields have names
    raise UserError(
        f"{path}: the column {layout.text_field!r} is of type {name}, not a text;"
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
