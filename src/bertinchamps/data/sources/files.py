"""The user's own files as documents: JSON lines, JSON, text, CSV, TSV, Parquet, plain or compressed."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard, cast

from bertinchamps.contract import Document, Place
from bertinchamps.data.file_hashes import content_hashes, quick_hashes
from bertinchamps.data.sources import sources
from bertinchamps.data.sources.patterns import matches, no_match
from bertinchamps.data.sources.readers import KNOWN, format_of, records
from bertinchamps.data.sources.readers_records import Layout, Record, most_problems
from bertinchamps.errors import UserError
from bertinchamps.textfiles.bad_records import ON_ERROR, TOLD, on_error_problems
from bertinchamps.textfiles.lines import MOST_MB
from bertinchamps.textfiles.opening import Progress, irregular, not_a_file
from bertinchamps.textfiles.tables import QUOTED_TSV, in_quotes

TXT_DOCUMENTS = ("file", "line")
LEFT_OUT = ("a record that cannot be read", "the rest of a file, which cannot be read")
SHOWN_PROBLEMS = 30
NOTED = 100  # records at the beginning of a file
SAMPLE_READ = 1 << 27  # bytes on disk that a sample walks through at most, unless it is itself larger


def _problems(settings: Mapping[str, Any]) -> list[str]:
    """What is wrong with settings, the files apart, in the user's key names."""
    documents = settings.get("txt_documents", TXT_DOCUMENTS[0])
    wrong = [f"data.txt_documents={documents}: one of {', '.join(TXT_DOCUMENTS)}"]
    found = most_problems(settings) + (wrong if documents not in TXT_DOCUMENTS else [])
    return found + on_error_problems(settings, "data")


@sources.register("files", check=_problems)
class FilesSource:
    """Documents of the user's files, in the order given; those of a pattern or folder are sorted by path.

    A file is read as a stream, so memory holds one document (of a `.txt`, that is the file). Empty
    documents, and JSON or Parquet nulls, are skipped.

    Args:
        files: files, folders (all files of a known kind in them, recursively, but no hidden ones) or
            patterns (`*`, `**`); absolute, with `~`, or relative to the working directory.
        text_field: the key or column that holds the text.
        txt_documents: `file` or `line`, what one document of a `.txt` is.
        held_out_files: like `files`, set aside for evaluation.
        max_record_mb: refuse lines and documents of more than so many millions of bytes, before they fill the memory.
        on_error: what a record that cannot be read does: `stop`, or `skip`, which leaves it out and counts it. Where
            the reader cannot go on behind it, the rest of its file is left out.

    Everything about the files waits for `check`.
    """

    def __init__(
        self,
        files: Sequence[str] | str = (),
        text_field: str = "text",
        txt_documents: str = "file",
        held_out_files: Sequence[str] | str = (),
        max_record_mb: float = MOST_MB,
        on_error: str = ON_ERROR[0],
    ) -> None:
        self._skips = on_error == "skip"
        self._left_out, self._told = [0, 0], list[str]()  # as LEFT_OUT, by the last reading
        self._patterns = {"files": _as_list(files), "held_out_files": _as_list(held_out_files)}
        self._layout = Layout(text_field, txt_documents, max_record_mb)
        self._paths: dict[str, list[Path]] | None = None

    def check(self) -> None:
        """Look for every file and read the beginning of each.

        Raises:
            UserError: all that is wrong with patterns and files, a line each.
        """
        found, problems = self._find()
        for key, paths in found.items():
            first = [self._first(path, problems) for path in paths]
            if first and not any(first) and not problems:
                problems.append(f"data.{key}: no document in {len(first)} file(s): all are empty")
        if problems:
            raise _all(problems)

    def notes(self) -> list[str]:
        """Files whose first texts are in quotes that perhaps enclose them."""
        found = []
        for path in (
            path for key in self._patterns for path in self._files(key) if format_of(path) == ".tsv"
        ):
            first = list(itertools.islice(records(path, self._layout, Progress()), NOTED))
            quoted = sum(in_quotes(record.text() or "") for record in first)
            if quoted:
                found.append(
                    f"{path}: {quoted} of the first {len(first)} texts in quotes, which are kept: {QUOTED_TSV}"
                )
        return found

    def fingerprint(self, quick: bool = False) -> Mapping[str, object]:
        """Names, sizes and content hashes of the files (no folders: a copy elsewhere is the same corpus).

        Quick ones are hashes of samples where the files take long to read (`quick_hashes`).
        """
        text_field, txt_documents, _ = self._layout
        facts: dict[str, object] = {"name": "files", "text_field": text_field, "txt_documents": txt_documents}
        facts |= {"on_error": "skip"} if self._skips else {}
        hashes = quick_hashes if quick else content_hashes
        for key in self._patterns:
            paths = self._files(key)
            facts[key] = [
                {"file": _name(path), "bytes": path.stat().st_size, "blake2b": digest}
                for path, digest in zip(paths, hashes(paths), strict=True)
            ]
        return facts

    def documents(self, after: Place | None = None) -> Iterator[Document]:
        """All documents, or those behind [file, records of it that were read, counts of what was left out].

        Files before the place are not opened, records before it not parsed.

        Raises:
            UserError: a file or record cannot be read, or there is no document at all.
        """
        return self._documents("files", cast(list[int], after))

    def report(self) -> Mapping[str, object]:
        """What the last reading left out."""
        counts = {reason: count for reason, count in zip(LEFT_OUT, self._left_out, strict=True) if count}
        return {"dropped": counts, "unreadable": self._told} if counts else {}

    def shard(self, rank: int, world_size: int) -> Iterator[Document]:
        """The documents of shard `rank` of `world_size` contiguous ones of the files, about as large as the others."""
        sizes = [path.stat().st_size for path in self._files("files")]
        total, before = max(1, sum(sizes)), 0
        for file, size in enumerate(sizes):
            middle = before + size / 2
            if min(world_size - 1, int(world_size * middle / total)) == rank:
                yield from self._read("files", file)
            before += size

    def held_out(self) -> Iterator[Document] | None:
        """The documents of `held_out_files`, or None if there are none."""
        return self._documents("held_out_files") if self._patterns["held_out_files"] else None

    def sample(self, characters: int) -> Iterator[Document]:
        """Documents spread evenly over all files, by their size on disk.

        A document is taken whenever the sample lags behind the share of the bytes walked through. Of
        a corpus beyond SAMPLE_READ only the beginning of each file is walked through.
        """
        paths = self._files("files")
        sizes = [path.stat().st_size for path in paths]
        total = max(1, sum(sizes))
        depth = min(1.0, max(SAMPLE_READ, 4 * characters) / total)
        before = taken = 0
        for path, size in zip(paths, sizes, strict=True):
            if taken <= characters * (before + size) / total:
                progress = Progress()
                for _, record in self._readable(path, progress):
                    inside = progress.fraction() / depth
                    if inside > 1:
                        break
                    if taken <= characters * (before + inside * size) / total and _has_text(
                        text := self._text(path, record)
                    ):
                        taken += len(text)
                        yield _document(text, path, record.where)
            before += size

    def _documents(self, key: str, after: list[int] | None = None) -> Iterator[Document]:
        some = after is not None
        first, read, *left_out = after or (0, 0)
        self._left_out, self._told = left_out or [0, 0], []
        for file in range(first, len(self._files(key))):
            for document in self._read(key, file, read if file == first else 0):
                some = True
                yield document
        if not some:
            raise UserError(f"data.{key}: no document in {len(self._files(key))} file(s): all are empty")

    def _read(self, key: str, file: int, skipped: int = 0) -> Iterator[Document]:
        """The documents of one file, without so many of its records."""
        path = self._files(key)[file]
        for number, record in itertools.islice(self._readable(path, Progress()), skipped, None):
            text = self._text(path, record)
            if _has_text(text):
                place = [file, number, *(self._left_out if self._skips else ())]
                yield _document(text, path, record.where)._replace(place=place)

    def _readable(self, path: Path, progress: Progress) -> Iterator[tuple[int, Record]]:
        """The records of a file, counted from 1, up to where the reader cannot go on.

        Raises:
            UserError: there, unless it is to be left out and something before it could be read.
        """
        number = 0
        try:
            for record in records(path, self._layout, progress):
                number += 1
                yield number, record
        except UserError as error:
            if not (self._skips and number):
                raise
            self._leave_out(1, path, error)

    def _text(self, path: Path, record: Record) -> str | None:
        """The text of a record; None where it cannot be read and is to be left out."""
        try:
            return record.text()
        except UserError as error:
            if not self._skips:
                raise
            self._leave_out(0, path, error)
            return None

    def _leave_out(self, kind: int, path: Path, error: UserError) -> None:
        self._left_out[kind] += 1
        if len(self._told) < TOLD:  # without folders: a manifest may travel
            self._told.append(str(error).replace(str(path), _name(path)))

    def _files(self, key: str) -> list[Path]:
        if self._paths is None:  # listed once, so that the fingerprint names what is read
            self._paths, problems = self._find()
            if problems:
                self._paths = None
                raise _all(problems)
        return self._paths[key]

    def _find(self) -> tuple[dict[str, list[Path]], list[str]]:
        """The files of each key without repetitions, and what is wrong with the patterns."""
        found: dict[str, dict[str, Path]] = {}  # key → real path → the path as it was given
        problems = []
        if not self._patterns["files"]:
            problems.append("data.files: no file is given; for example 'data.files=[notes/*.jsonl.zst]'")
        seen: dict[str, str] = {}  # real path → key
        for key, patterns in self._patterns.items():
            found[key] = {}
            for pattern in patterns:
                given = matches(pattern)
                if not given:
                    problems.append(no_match(key, pattern))
                for path in given:
                    identity = os.path.realpath(path)
                    owner = seen.setdefault(identity, key)
                    if owner != key:
                        problems.append(
                            f"{path}: both in data.files and in data.held_out_files; leave it in one"
                        )
                    elif format_of(path) is None:
                        problems.append(f"data.{key}: {path}: unknown kind of file; {KNOWN}")
                    elif kind := irregular(path):
                        problems.append(f"data.{key}: {not_a_file(path, kind)}")
                    else:
                        found[key].setdefault(identity, path)
        return {key: list(paths.values()) for key, paths in found.items()}, problems

    def _first(self, path: Path, problems: list[str]) -> bool:
        """Whether the file has a document; what is wrong before the first one is added to the problems."""
        layout = self._layout._replace(txt_documents="line")  # of a long .txt, a line is enough to see
        try:
            texts = (self._text(path, record) for record in records(path, layout, Progress()))
            return any(_has_text(text) for text in texts)
        except UserError as error:
            problems.append(str(error))
            return False


def _all(problems: list[str]) -> UserError:
    more = [f"… and {len(problems) - SHOWN_PROBLEMS} more"] if len(problems) > SHOWN_PROBLEMS else []
    return UserError("\n".join(problems[:SHOWN_PROBLEMS] + more))


def _as_list(patterns: Sequence[str] | str) -> list[str]:
    return [patterns] if isinstance(patterns, str) else [str(pattern) for pattern in patterns]


def _has_text(text: str | None) -> TypeGuard[str]:
    return bool(text) and not str(text).isspace()


def _document(text: str, path: Path, where: str) -> Document:
    return Document(text, f"{_name(path)}:{where}" if where else _name(path))


def _name(path: Path) -> str:
    """Its name as text, which it need not be on a disk."""
    return os.fsencode(path.name).decode(errors="replace")
