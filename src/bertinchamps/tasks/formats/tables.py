"""Texts and their targets, a row each, in CSV, TSV or JSON lines.

    text;label                                        {"text": "La vis est serrée.", "label": ["vis", "outil"]}
    "La vis est serrée ; le bras tient.";vis|outil    {"text": "Le bras tient.", "label": []}

The separator of a `.csv` is a comma, a semicolon or a tab, and fields may be quoted; in a `.tsv` quotes are ordinary
characters. Files may be `.gz` or `.zst`.
"""

from __future__ import annotations

import csv
import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from bertinchamps.contract import LabelledText
from bertinchamps.errors import UserError
from bertinchamps.tasks.formats.json_lines import REJECTED, check_key, is_rejected, string
from bertinchamps.textfiles import json_lines
from bertinchamps.textfiles.bad_records import STOP, BadRecords
from bertinchamps.textfiles.limits import Room
from bertinchamps.textfiles.lines import not_utf8
from bertinchamps.textfiles.opening import suffixes
from bertinchamps.textfiles.tables import CSV, TSV, Table, TableLines, in_quotes, open_table

FORMATS = (".csv", ".tsv", ".jsonl")
EXAMPLE = '["vis", "outil"]'
PYTHON_LIST = re.compile(
    r"""\[\s*'.*'\s*,?\s*\]|\(\s*(['"]).*\1\s*,?\s*\)|\{\s*(['"]).*\2\s*,?\s*\}""", re.DOTALL
)


class Columns(NamedTuple):
    """The columns or keys to read.

    Attributes:
        text: the text.
        pair: the second text, or None.
        label: the target, or None to read texts alone.
        target: "single" (one class), "multi" (any number of classes) or "number".
        separator: between the classes of a multi-label cell; a cell may also hold a JSON list.
        setting: the key of the command line that names a column, for messages; {} is "text", "pair" or "label".
    """

    text: str = "text"
    pair: str | None = None
    label: str | None = "label"
    target: str = "single"
    separator: str = "|"
    setting: str = "task.{}"

    def wanted(self) -> dict[str, str]:
        """The columns that must be there, each with the key of the command line that names it."""
        return {
            column: self.setting.format(key)
            for key, column in (("text", self.text), ("pair", self.pair), ("label", self.label))
            if column
        }


class Row(NamedTuple):
    """One row of a file.

    Attributes:
        where: "line 12".
        names: columns or keys; a table may have a column twice.
        cells: a value for each name.
    """

    where: str
    names: Sequence[str]
    cells: Sequence[Any]


class Rows(NamedTuple):
    """An opened file; `separator` is that of a table."""

    separator: str | None
    rows: Iterator[Row]


def format_of(path: Path) -> str | None:
    """ ".csv", ".tsv" or ".jsonl" by the file's name, or None."""
    suffix, _ = suffixes(path)
    return suffix if suffix in FORMATS else None


def read(
    path: Path, columns: Columns, left_out: Counter[str] | None = None, bad: BadRecords = STOP
) -> Iterator[LabelledText]:
    """The rows of a file in their order, each named by file and line.

    Where labels are read, lines of a `.jsonl` that an annotation tool marked as rejected are left out.

    Args:
        path: the file.
        columns: the columns or keys.
        left_out: counts what was left out, by reason.
        bad: what is done with rows that cannot be read.

    Raises:
        UserError: the format is unknown, there is no row, a column is missing, or a label does not fit `target`.
    """
    json_lines_file, some = format_of(path) == ".jsonl", False
    for where, names, cells in open_rows(path, columns.wanted(), whole=True, bad=bad).rows:
        row = dict(zip(names, cells, strict=True))
        if columns.label and json_lines_file and is_rejected(row, columns.wanted()):
            if left_out is not None:
                left_out[REJECTED] += 1
            continue
        some = True
        with bad.record():
            yield _record(path, where, row, columns)
    if not (some or bad.count):
        raise UserError(f"{path}: no row in it")


def enclosed(path: Path, records: Iterable[LabelledText]) -> int:
    """How many records of a `.tsv` have a text or class that begins and ends with a quote; 0 for other files."""
    if format_of(path) != ".tsv":
        return 0
    return sum(
        any(map(in_quotes, (text, pair or "", *(target if isinstance(target, tuple) else ()))))
        for _, text, pair, target in records
    )


def write(
    file: TextIO, names: Sequence[str] | None, rows: Iterable[Sequence[str]], separator: str | None
) -> None:
    """Write a header and rows.

    Args:
        file: open for text in UTF-8, with `newline=""`.
        names: of the columns; None: the header is there already.
        rows: cells of each row.
        separator: of a `.csv`; None: a `.tsv`.

    Raises:
        UserError: a `.tsv` cannot hold a cell with a tab or a line end.
    """
    if separator is not None:
        writer = csv.writer(file, delimiter=separator)
        if names is not None:
            writer.writerow(names)
        writer.writerows(rows)
        return
    for cells in rows if names is None else itertools.chain([names], rows):
        if not all(map(fits_tsv, cells)):
            raise UserError("a .tsv cannot hold a tab or a line end, and a cell has one; write a .csv")
        file.write("\t".join(cells) + "\n")


def fits_tsv(cell: str) -> bool:
    """Whether a `.tsv` can hold the cell, which has neither a tab nor a line end then."""
    return not any(mark in cell for mark in "\t\r\n")


def cell(value: Any) -> str:
    """A JSON value as a table's cell: strings unchanged, null as an empty cell, other values as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def joined(classes: tuple[str, ...], separator: str = "|") -> str:
    """Classes as one cell: with separators, or as a JSON list where splitting would give other classes."""
    text = separator.join(classes)
    other = tuple(filter(None, text.split(separator))) != classes
    return json.dumps(classes, ensure_ascii=False) if other or text.startswith(("[", "(", "{")) else text


def open_rows(path: Path, wanted: Mapping[str, str], whole: bool = False, bad: BadRecords = STOP) -> Rows:
    """The rows of a file that has each wanted column once.

    Args:
        path: the file.
        wanted: column → the user's setting that names it.
        whole: the caller keeps all of them, so that they may not be too many.
        bad: what is done with rows that cannot be read. The header must be readable.

    Raises:
        UserError: the format is unknown, or a column is missing or there twice; while iterating, a row is malformed
            or too long.
    """
    kind = format_of(path)
    if kind is None:
        raise UserError(
            f"{path}: unknown kind of file; known are {' '.join(FORMATS)}, each also with .gz or .zst"
        )
    if kind == ".jsonl":
        return Rows(None, _objects(path, wanted, whole, bad))
    texts = TableLines(path, room=Room(path) if whole else None)
    table = open_table(path, texts, TSV if kind == ".tsv" else CSV, wanted, bad)
    if table is None:
        return Rows(None, iter(()))
    texts.lenient = bad.skips  # from here on, since the header is read
    return Rows(table.separator, _cells(path, table, bad))


def _cells(path: Path, table: Table, bad: BadRecords) -> Iterator[Row]:
    for number, cells in table.rows:
        if bad.skips and not all(map(json_lines.is_text, cells)):
            bad.leave_out(not_utf8(path, f"line {number}"))
        else:
            yield Row(f"line {number}", table.names, cells)


def _objects(path: Path, wanted: Mapping[str, str], whole: bool, bad: BadRecords) -> Iterator[Row]:
    for number, item in json_lines.read(path, whole, bad):
        with bad.record():
            for key, setting in wanted.items():
                check_key(item, key, f"{path}: line {number}", setting)
            yield Row(f"line {number}", tuple(item), tuple(item.values()))


def _record(path: Path, where: str, row: Mapping[str, Any], columns: Columns) -> LabelledText:
    place = f"{path}: {where}"
    return LabelledText(
        f"{path.name}, {where}",
        string(row, columns.text, place, columns.setting.format("text")),
        string(row, columns.pair, place, columns.setting.format("pair")) if columns.pair else None,
        _target(row, columns.label, columns, place) if columns.label else (),
    )


def _target(row: Mapping[str, Any], column: str, columns: Columns, place: str) -> tuple[str, ...] | float:
    value, place = row[column], f"{place}: column {column!r}"
    if columns.target == "number":
        return _number(value, place)
    value = _listed(value, columns, place)
    if columns.target == "single":
        return (_class(value, place),)
    parts = value.split(columns.separator) if isinstance(value, str) else value
    if not isinstance(parts, list):
        raise UserError(f"{place}: a list of classes, or a text with {columns.separator!r}")
    classes = [_class(part, place) for part in parts if part != "" or len(parts) > 1]
    return tuple(dict.fromkeys(classes))


def _listed(value: Any, columns: Columns, place: str) -> Any:
    """The list that a string holds as JSON; any other value unchanged.

    Raises:
        UserError: the string is a list as Python prints it, or looks like a list but is not JSON.
    """
    text = value.strip() if isinstance(value, str) else ""
    if text[:1] == "[" and text[-1:] == "]":
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            pass
    if PYTHON_LIST.fullmatch(text) or (columns.target == "multi" and text[:1] == "[" and text[-1:] == "]"):
        raise UserError(
            f"{place}: a list that is not JSON, such as Python prints; write it with json.dumps"
            f" ({EXAMPLE}), or its classes with {columns.separator!r} between them, for task.target=multi"
        )
    return value


def _class(value: Any, place: str) -> str:
    """The name of a class, from a string, a whole number, true or false."""
    if isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        raise UserError(f"{place}: a list of classes; task.target=multi reads them")
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{place}: no class (empty, null, or neither a text nor a whole number)")
    if not json_lines.is_text(value):
        raise UserError(f"{place}: {json_lines.HALF}")
    return value.strip()


def _number(value: Any, place: str) -> float:
    try:
        number = (
            float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else math.nan
        )
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise UserError(f"{place}: not a number with a decimal point, such as 3.5 (task.target=number)")
    return number
