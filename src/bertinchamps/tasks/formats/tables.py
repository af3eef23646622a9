"""Texts and what is to be predicted of them, a row each, in CSV, TSV or JSON lines.

    text;label                                        {"text": "La vis est serrée.", "label": ["vis", "outil"]}
    "La vis est serrée ; le bras tient.";vis|outil    {"text": "Le bras tient.", "label": []}

The separator of a `.csv` is a comma, a semicolon or a tab, and fields may be quoted; in a `.tsv` a quote is a character
like any other. Each may be `.gz` or `.zst`.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bertinchamps.contract import LabelledText
from bertinchamps.data.sources.readers_bytes import Progress, decoded, lines
from bertinchamps.data.sources.readers_tables import CSV, QUOTED_TSV, TSV, open_table
from bertinchamps.errors import UserError
from bertinchamps.tasks.formats import json_lines

__all__ = ["QUOTED_TSV", "Columns", "enclosed", "format_of", "read", "write"]

TARGETS = ("single", "multi", "number")
FORMATS = (".csv", ".tsv", ".jsonl")
EXAMPLE = '["vis", "outil"]'
PYTHON_LIST = re.compile(
    r"""\[\s*'.*'\s*,?\s*\]|\(\s*(['"]).*\1\s*,?\s*\)|\{\s*(['"]).*\2\s*,?\s*\}""", re.DOTALL
)
ENCLOSED = re.compile(r'"(?:[^"]|"")*"')
NAME = "name"  # the column of names in files that `write` makes


class Columns(NamedTuple):
    """Which columns or keys hold what.

    Attributes:
        text: the text.
        pair: the second text, or None.
        label: what is to be predicted, or None to read texts alone.
        target: "single" (one class), "multi" (any number of classes) or "number".
        separator: between the classes of a multi-label row; a JSON list, of which a cell may hold the text, needs none.
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


Row = tuple[str, Mapping[str, Any]]  # where it is ("line 12"), column → value


def format_of(path: Path) -> str | None:
    """ ".csv", ".tsv" or ".jsonl" by the file's name, or None."""
    name = path.name.lower().removesuffix(".gz").removesuffix(".zst")
    return next((suffix for suffix in FORMATS if name.endswith(suffix)), None)


def read(path: Path, columns: Columns, left_out: Counter[str] | None = None) -> Iterator[LabelledText]:
    """The rows of a file in their order, each named by file and line.

    Where labels are read, lines of a `.jsonl` that an annotation tool marked as rejected are left out.

    Args:
        path: the file.
        columns: which hold what.
        left_out: gets what was left out, by reason.

    Raises:
        UserError: the name tells no known format, a row or a column is missing, or a label is not of its kind.
    """
    kind = format_of(path)
    if kind is None:
        raise UserError(
            f"{path}: unknown kind of file; known are {' '.join(FORMATS)}, each also with .gz or .zst"
        )
    some = False
    for where, row in _rows(path, kind, columns.wanted()):
        if columns.label and kind == ".jsonl" and json_lines.is_rejected(row, columns.wanted()):
            if left_out is not None:
                left_out[json_lines.REJECTED] += 1
            continue
        some = True
        yield _record(path, where, row, columns)
    if not some:
        raise UserError(f"{path}: no row in it")


def enclosed(path: Path, records: Iterable[LabelledText]) -> int:
    """How many records of a `.tsv` have a text or class in quotes that perhaps enclose it; 0 of other files."""
    if format_of(path) != ".tsv":
        return 0
    return sum(
        any(
            ENCLOSED.fullmatch(cell)
            for cell in (text, pair or "", *(target if isinstance(target, tuple) else ()))
        )
        for _, text, pair, target in records
    )


def write(path: Path, records: Iterable[LabelledText], columns: Columns) -> None:
    """One record a row: its name, its texts and its target, under the names of the columns.

    Raises:
        UserError: a `.tsv` cannot hold a text with a tab or a line end.
    """
    kind = format_of(path)
    if kind == ".jsonl":
        json_lines.write(
            path, (_fields(record, columns, _plain(record.target, columns)) for record in records)
        )
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        names = [name for name in (NAME, columns.text, columns.pair, columns.label) if name]
        # all quoted, so that even a row of one empty text is a row
        quoted = csv.writer(file, quoting=csv.QUOTE_ALL)
        quoted.writerow(names) if kind == ".csv" else file.write("\t".join(names) + "\n")
        for record in records:
            row = _fields(record, columns, _joined(record, columns))
            cells = [row[name] for name in names]
            if kind == ".csv":
                quoted.writerow(cells)
            elif any(mark in cell for cell in cells for mark in "\t\r\n"):
                raise UserError(
                    f"{path}: {record.name}: a .tsv cannot hold a tab or a line end; write a .csv"
                )
            else:
                file.write("\t".join(cells) + "\n")


def _fields(record: LabelledText, columns: Columns, target: Any) -> dict[str, Any]:
    fields = {NAME: record.name, columns.text: record.text}
    if columns.pair:
        fields[columns.pair] = record.pair or ""
    if columns.label:
        fields[columns.label] = target
    return fields


def _plain(target: tuple[str, ...] | float, columns: Columns) -> Any:
    """As JSON has it."""
    if isinstance(target, tuple):
        return list(target) if columns.target == "multi" else target[0]
    return target


def _joined(record: LabelledText, columns: Columns) -> str:
    if not isinstance(record.target, tuple):
        return repr(float(record.target))
    joined = columns.separator.join(record.target)
    other = tuple(filter(None, joined.split(columns.separator))) != record.target
    if columns.target == "multi" and (other or joined.startswith(("[", "(", "{"))):
        return json.dumps(record.target, ensure_ascii=False)  # a text would be read as other classes
    return joined


def _rows(path: Path, kind: str, wanted: Mapping[str, str]) -> Iterator[Row]:
    """The rows; columns that are wanted (column → setting) are there, and each once."""
    if kind == ".jsonl":
        for number, item in json_lines.read(path):
            for key, setting in wanted.items():
                json_lines.check_key(item, key, f"{path}: line {number}", setting)
            yield f"line {number}", item
        return
    texts = (decoded(path, number, line) for number, line in lines(path, Progress()))
    table = open_table(path, texts, TSV if kind == ".tsv" else CSV, wanted)
    if table is None:
        return
    for number, cells in table.rows:
        yield f"line {number}", dict(zip(table.names, cells, strict=True))


def _record(path: Path, where: str, row: Mapping[str, Any], columns: Columns) -> LabelledText:
    place = f"{path}: {where}"
    return LabelledText(
        f"{path.name}, {where}",
        json_lines.string(row, columns.text, place, columns.setting.format("text")),
        json_lines.string(row, columns.pair, place, columns.setting.format("pair")) if columns.pair else None,
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
    """The list that a text spells in JSON, as cells of tables do; any other value as it is.

    Raises:
        UserError: it spells a list as Python prints one, or looks like a list and is none.
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
    """The name of a class: texts and whole numbers are names, and so are true and false."""
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
