"""The plain texts of files of any kind that tasks read, without labels. An entry is PATH, or PATH::PART.

    test.csv, test.jsonl::abstract,title   columns of a table, or keys of JSON lines; `text` by default
    QUAERO.zip::test/EMEA/*.txt            files of a folder or archive, by the ends of their paths; `*.txt` by default
    test.bio, test.tsv::2                  words of CoNLL columns, by the number of their column; 1 by default
    notes.txt                              the whole file

PATH may be a pattern with `*` and `**`, which stands for all that it matches, sorted. Files may be `.gz` or `.zst`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from bertinchamps.errors import UserError
from bertinchamps.textfiles import json_lines
from bertinchamps.textfiles.archives import contents, is_archive, listed
from bertinchamps.textfiles.conll_rows import PART_OF_WORDS, is_count, sentences
from bertinchamps.textfiles.limits import Room
from bertinchamps.textfiles.lines import chunks
from bertinchamps.textfiles.names import field_names
from bertinchamps.textfiles.opening import Progress, suffixes
from bertinchamps.textfiles.patterns import matching
from bertinchamps.textfiles.tables import CSV, TSV, TableLines, open_table

SEPARATOR = "::"
TEXT, TEXT_FILES = "text", "*.txt"  # the parts that are read by default
TABLES, JSON_LINES, TEXTS = (".csv", ".tsv"), (".jsonl",), (".txt",)
COLUMNS = (".conll", ".conllu", ".iob", ".iob2", ".bio", ".bioes")
KNOWN = (
    "a folder or archive of .txt files, .txt, .csv, .tsv, .jsonl, or CoNLL columns "
    f"({', '.join(COLUMNS)}); files may be .gz or .zst"
)


class Entry(NamedTuple):
    """What an entry of a list of files names.

    Attributes:
        path: a file, an archive or a folder, or a pattern of such.
        part: what of it is read; empty for the default.
    """

    path: Path
    part: str

    @classmethod
    def of(cls, entry: str) -> Entry:
        """The entry of a text such as `test.csv::abstract`."""
        path, _, part = entry.partition(SEPARATOR)
        return cls(Path(path).expanduser(), part)

    @property
    def places(self) -> list[Path]:
        """The files, archives and folders that the path stands for; itself, if there are none."""
        return matching(str(self.path)) or [self.path]

    @property
    def name(self) -> str:
        """The entry without the folders above its path."""
        return self.path.name + (SEPARATOR + self.part if self.part else "")


def files_of(entry: str) -> list[Path]:
    """The files on disk that an entry is read from: archives, files, or the files of folders, sorted.

    Raises:
        UserError: there is no such file, its kind is unknown, or the pattern matches nothing.
    """
    named = Entry.of(entry)
    return [file for place in named.places for file in _files_at(place, named.part)]


def _files_at(path: Path, part: str) -> list[Path]:
    if not path.exists():
        raise UserError(
            f"{path}: no such file or folder (looked from {Path.cwd()}; a pattern may hold * and **)"
        )
    if path.is_dir() or is_archive(path):
        found = listed(path, [part or TEXT_FILES])
        if not found:
            raise UserError(
                f"{path}: no file in it matches {part or TEXT_FILES}; name a pattern with "
                f"{path.name}{SEPARATOR}PATTERN"
            )
        return [Path(name) for name in found] if path.is_dir() else [path]
    if suffixes(path)[0] not in (*TABLES, *JSON_LINES, *TEXTS, *COLUMNS):
        raise UserError(f"{path}: unknown kind of file; known are {KNOWN}")
    return [path]


def entry_problems(key: str, entries: Iterable[str]) -> list[str]:
    """Why entries of a setting cannot be read, as messages."""
    found = []
    for entry in entries:
        try:
            files_of(entry)
        except UserError as error:
            found.append(f"{key}: {error}")
    return found


def texts_of(entry: str, whole: bool = False) -> Iterator[str]:
    """The texts of an entry, in the order of the files and rows.

    Args:
        entry: names files.
        whole: the caller keeps all of them, so that they may not be too many.

    Raises:
        UserError: see `files_of`; or a file cannot be read, is too large, or lacks the column or key.
    """
    named, room = Entry.of(entry), Room(entry)
    for place in named.places:
        for text in _texts_at(place, named.part):
            if whole:
                room.take(len(text))
            yield text


def _texts_at(path: Path, part: str) -> Iterator[str]:
    if path.is_dir() or (path.is_file() and is_archive(path)):
        found = contents(path, [part or TEXT_FILES])
        for name, content in found.items():
            yield _plain(name, content)
        if found:
            return
    _files_at(path, part)
    suffix = suffixes(path)[0]
    if suffix in COLUMNS or part.isdigit():
        yield from _sentences(path, int(part) if part.isdigit() else None)
    elif suffix in TABLES:
        yield from _cells(path, (part or TEXT).split(","))
    elif suffix in JSON_LINES:
        yield from _values(path, (part or TEXT).split(","))
    else:
        yield "".join(chunks(path, Progress(), Room(path)))


def _plain(name: PurePosixPath, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        byte = error.start + 1
    raise UserError(f"{name}: byte {byte}: not UTF-8 text; a folder or archive is read as text files")


def _sentences(path: Path, column: int | None) -> Iterator[str]:
    """The words of each sentence, with blanks between them."""
    found = sentences(path, lambda cell: True)
    counted = is_count(found)
    place = (column or (2 if counted else 1)) - 1
    for sentence in found:
        rows = [row for row in sentence if not (counted and PART_OF_WORDS.fullmatch(row.columns[0]))]
        for row in rows:
            if place >= len(row.columns):
                raise UserError(f"{path}: line {row.line}: has no column {place + 1}")
        yield " ".join(row.columns[place] for row in rows)


def _cells(path: Path, columns: list[str]) -> Iterator[str]:
    dialect = TSV if suffixes(path)[0] == ".tsv" else CSV
    wanted = dict.fromkeys(columns, f"{path.name}{SEPARATOR}")
    table = open_table(path, TableLines(path), dialect, wanted)
    places = [table.names.index(column) for column in columns] if table else []
    for _, row in table.rows if table else ():
        yield from (row[place] for place in places)


def _values(path: Path, keys: list[str]) -> Iterator[str]:
    for number, item in json_lines.read(path):
        for key in keys:
            value = item.get(key)
            if not isinstance(value, str):
                raise UserError(
                    f"{path}: line {number}: no text under the key {key!r} (found: {field_names(list(item), key)});"
                    f" name another with {path.name}{SEPARATOR}KEY"
                )
            if not json_lines.is_text(value):
                raise UserError(f"{path}: line {number}: the key {key!r} {json_lines.HALF}")
            yield value
