"""One small reader for each file format. A record is read cheaply and turned into text only when wanted.

Messages name the file, the place and the remedy, and never quote a document.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from bertinchamps.data.sources.readers_parquet import read_parquet
from bertinchamps.data.sources.readers_records import MOST_KEY, Layout, Reader, Record, no_field
from bertinchamps.data.sources.readers_tables import read_csv, read_tsv
from bertinchamps.errors import UserError
from bertinchamps.textfiles.json_lines import HALF, is_text, parsed
from bertinchamps.textfiles.limits import MILLION, check_values
from bertinchamps.textfiles.lines import chunks, decoded, lines
from bertinchamps.textfiles.opening import Progress, suffixes

BLANKS = " \t\r\n"


def format_of(path: Path) -> str | None:
    """The format's suffix (".jsonl"), or None if the name has no known one. Parquet compresses itself."""
    suffix, packing = suffixes(path)
    return suffix if suffix in READERS and not (packing and suffix == ".parquet") else None


def records(path: Path, layout: Layout, progress: Progress) -> Iterator[Record]:
    """The records of a file whose format is known.

    Raises:
        UserError: the file or a record cannot be read.
    """
    return READERS[format_of(path) or ""](path, layout, progress)


def _item_text(path: Path, where: str, item: object, layout: Layout) -> str | None:
    """The text of a JSON value: a string, or an object with the text field; null is an empty document."""
    if isinstance(item, dict):
        if layout.text_field not in item:
            raise no_field(path, where, "field", layout, list(item))
        item, what = item[layout.text_field], f"the field {layout.text_field!r} is"
    else:
        what = "the document is"
    if item is None:
        return None
    if not isinstance(item, str):
        kind = {dict: "an object", list: "a list", bool: "a boolean"}.get(type(item), "a number")
        raise UserError(
            f"{path}: {where}: {what} {kind}, not a text; data.text_field=NAME names the text's field"
        )
    if not is_text(item):
        raise UserError(f"{path}: {where}: {HALF}")
    return item


def _json_line(path: Path, number: int, line: bytes, layout: Layout) -> str | None:
    where = f"line {number}"
    text = decoded(path, number, line)
    item = parsed(text, f"{path}: {where}", most_mb=layout.max_record_mb, key=MOST_KEY)
    return _item_text(path, where, item, layout)


def read_jsonl(path: Path, layout: Layout, progress: Progress) -> Iterator[Record]:
    """One JSON object or string a line; blank lines are skipped."""
    for number, line in lines(path, progress, layout.max_record_mb, MOST_KEY):
        if not line.isspace():
            yield Record(f"line {number}", lambda n=number, b=line: _json_line(path, n, b, layout))  # type: ignore[misc]


def read_json(path: Path, layout: Layout, progress: Progress) -> Iterator[Record]:
    """A list of objects or strings, one object, or one after the other; each is read by itself."""
    for number, item in enumerate(_json_items(path, progress, layout), start=1):
        where = f"item {number}"
        yield Record(where, lambda w=where, i=item: _item_text(path, w, i, layout))  # type: ignore[misc]


class _Window:
    """The part of a JSON file that is being read: grows until one item fits, then slides on.

    Args:
        pieces: of the file.
        most: characters of an item.
    """

    def __init__(self, pieces: Iterator[str], most: int) -> None:
        self._pieces, self._text, self._most = pieces, "", most
        self._decode = json.JSONDecoder().raw_decode

    def _grow(self) -> bool:
        wanted, fresh = max(1, len(self._text)), []  # doubling keeps the retries of a long item few
        while wanted > 0 and (piece := next(self._pieces, "")):
            fresh.append(piece)
            wanted -= len(piece)
        self._text += "".join(fresh)
        return bool(fresh)

    def peek(self) -> str:
        """The next character that is not blank, or nothing at the end."""
        self._text = self._text.lstrip(BLANKS)
        while not self._text and self._grow():
            self._text = self._text.lstrip(BLANKS)
        return self._text[:1]

    def take(self) -> str:
        """That character, and go past it."""
        character = self.peek()
        self._text = self._text[1:]
        return character

    def item(self, where: str) -> object:
        """The next value, and go past it.

        Args:
            where: file and number of the item, for messages.

        Raises:
            OverflowError: it is too long.
            UserError: it would take far more memory than its characters.
            ValueError or RecursionError: it is not JSON.
        """
        self.peek()
        while True:
            try:
                item, end = self._decode(self._text)
            except ValueError:
                if len(self._text) > self._most:
                    raise OverflowError from None
                check_values(self._text, where, self._most / MILLION, MOST_KEY)
                if not self._grow():
                    raise
            else:
                if end > self._most:
                    raise OverflowError
                self._text = self._text[end:]
                return item


def _json_items(path: Path, progress: Progress, layout: Layout) -> Iterator[object]:
    window, number = _Window(chunks(path, progress), layout.most), 1
    in_list = window.peek() == "["
    mark = "," if window.peek() else ""  # what came last: a comma announces an item
    try:
        if in_list:
            window.take()
            mark = window.take() if window.peek() == "]" else ","
        while mark == ",":
            yield window.item(f"{path}: item {number}")
            # outside of a list, objects may follow one another, a line each
            mark = window.take() if in_list else "," if window.peek() else ""
            number += mark == ","
        if mark != ("]" if in_list else "") or window.peek():
            raise ValueError
    except OverflowError:
        raise layout.too_long(path, f"item {number} (or what follows it is not valid JSON)") from None
    except (ValueError, RecursionError):
        hint = "is the list cut short?" if in_list else "a list, one object, or one object after the other"
        raise UserError(f"{path}: item {number}: not valid JSON; {hint}") from None


def read_txt(path: Path, layout: Layout, progress: Progress) -> Iterator[Record]:
    """The whole file as one document, or one document a line."""
    if layout.txt_documents == "file":
        yield Record("", lambda: _whole(path, layout, progress))
        return
    for number, line in lines(path, progress, layout.max_record_mb, MOST_KEY):
        if not line.isspace():
            yield Record(f"line {number}", lambda n=number, b=line: _line(path, n, b))  # type: ignore[misc]


def _whole(path: Path, layout: Layout, progress: Progress) -> str:
    """The text of a file that is one document."""
    found, read = list[str](), 0
    for number, line in lines(path, progress, layout.max_record_mb, MOST_KEY):
        read += len(line)
        if read > layout.most:
            raise layout.too_long(path, "one document (data.txt_documents=line makes one of each line)")
        found.append(_line(path, number, line))
    return "\n".join(found)


def _line(path: Path, number: int, line: bytes) -> str:
    return decoded(path, number, line).rstrip("\r\n")


READERS: dict[str, Reader] = {
    ".jsonl": read_jsonl,
    ".json": read_json,
    ".txt": read_txt,
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".parquet": read_parquet,
}
KNOWN = "known are .jsonl .json .txt .csv .tsv, each also with .gz or .zst, and .parquet"
