"""A dataset of the Hugging Face Hub, streamed: compressed JSON lines, or Parquet.

A line of OSCAR's files: {"content": "Le musée rouvre …", "warc_headers": {…}, "metadata": {…}}. Scripts of
repositories are never run. `configs/data/` has a yaml for each corpus that is known to fit.
"""

from __future__ import annotations

import gzip
import io
import itertools
import json
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, BinaryIO, cast

from bertinchamps import hub
from bertinchamps.contract import Document, Place
from bertinchamps.data.sources import readers_parquet, sources
from bertinchamps.data.sources.readers_records import MOST_KEY, Layout, Record, most_problems
from bertinchamps.errors import UserError
from bertinchamps.textfiles.limits import check_values
from bertinchamps.textfiles.lines import MOST_MB, bounded, too_long
from bertinchamps.textfiles.opening import Progress, decompressed

WAYS_OUT = """Ways out:
  your own files   data=files 'data.files=[notes/*.jsonl.zst]'  (also .json, .txt, .csv, .parquet, .gz)
  another source   data=demo  (French that this project generates: a toy, and it needs no network)
  a login          accept the terms at {page}, then run: hf auth login"""


def _problems(settings: Mapping[str, Any]) -> list[str]:
    most = settings.get("max_documents")
    wrong = most is not None and most < 1
    return [
        *([f"data.max_documents={most}: at least 1, or null for all"] if wrong else []),
        *most_problems(settings),
    ]


@sources.register("hub", check=_problems)
class HubSource:
    """Streams the files; nothing is kept on disk, and a bounded buffer in memory.

    A part that a broken or silent connection did not give is asked for again, six times in all, as huggingface_hub
    does it (HF_HUB_DOWNLOAD_TIMEOUT is how many seconds of silence are waited for).

    Args:
        repository: dataset repository on the Hub.
        pattern: of its files; `.parquet`, or JSON lines, plain, `.gz` or `.zst`.
        text_field: the key or column that holds the text.
        max_documents: read no more than so many documents; None for all.
        max_record_mb: refuse lines and documents of more than so many millions of bytes, before they fill the memory.
    """

    def __init__(
        self,
        repository: str,
        pattern: str,
        text_field: str = "text",
        max_documents: int | None = None,
        max_record_mb: float = MOST_MB,
    ) -> None:
        self._most_mb = max_record_mb
        self._repository, self._pattern = repository, pattern
        self._parquet = pattern.endswith(".parquet")
        self._text_field, self._max_documents = text_field, max_documents
        self._commit: str | None = None
        self._found: list[str] | None = None

    def check(self) -> None:
        """Ask the Hub whether these files may be read.

        Raises:
            UserError: it cannot be reached, does not know the repository, or the corpus is gated.
        """
        self._commit = self._asked()

    def fingerprint(self, quick: bool = False) -> Mapping[str, object]:
        """Repository, its commit, and the settings."""
        del quick
        return {
            "name": "hub",
            "repository": self._repository,
            "revision": self._revision(),
            "pattern": self._pattern,
            "text_field": self._text_field,
            "max_documents": self._max_documents,
        }

    def documents(self, after: Place | None = None) -> Iterator[Document]:
        """The documents, in the order of the files: all, or those behind [file, rows of it read, rows read in all].

        Files before the place are not downloaded.

        Raises:
            UserError: no file fits the pattern, a line has no text field, or the Hub stops answering.
        """
        first, read, total = cast(list[int], after) or (0, 0, 0)
        for file in range(first, len(self._files())):
            left = None if self._max_documents is None else self._max_documents - total
            if left == 0:
                return
            skipped = read if file == first else 0
            for number, document in self._documents(file, skipped, left):
                total += 1
                if document is not None:
                    yield document._replace(place=[file, number, total])

    def shard(self, rank: int, world_size: int) -> Iterator[Document]:
        """The documents of shard `rank` of `world_size` contiguous ones of the files.

        Raises:
            UserError: as for `documents`, or there is a limit, which shards cannot keep.
        """
        if self._max_documents is not None:
            raise UserError("data.max_documents: tasks of a cluster read whole files; leave it out")
        number = len(self._files())
        for file in range(rank * number // world_size, (rank + 1) * number // world_size):
            yield from (document for _, document in self._documents(file, 0, None) if document is not None)

    def _documents(self, file: int, skipped: int, most: int | None) -> Iterator[tuple[int, Document | None]]:
        """The rows of a file without the first ones, each with its number; None where it has no text."""
        from huggingface_hub import HfFileSystem

        name = self._files()[file]
        with self._reading(), HfFileSystem().open(name, "rb") as opened:
            yield from self.rows_of(opened, name, skipped, most)

    def rows_of(
        self, file: BinaryIO, name: str, skipped: int = 0, most: int | None = None
    ) -> Iterator[tuple[int, Document | None]]:
        """The rows of an open file, as `documents` reads them, each with its number; None where it has no text.

        Args:
            file: its bytes, as the Hub has them.
            name: of it; the suffix says how it is compressed.
            skipped: rows at the beginning that are not wanted.
            most: rows behind them that are; None for all.

        Raises:
            UserError: a row has no text field, or is too large.
            Exception: whatever pyarrow and the decompressors raise for damaged bytes.
        """
        last = name.rpartition("/")[2]
        texts = self._of_parquet(file, last) if self._parquet else self._of_lines(file, name, last)
        wanted = itertools.islice(texts, skipped, None if most is None else skipped + most)
        for number, (where, read) in enumerate(wanted, start=skipped + 1):
            text = read()
            yield number, Document(text, f"{last}:{where}") if text and not text.isspace() else None

    def held_out(self) -> None:
        """None: a share of the documents is split off."""

    def sample(self, characters: int) -> Iterator[Document]:
        """The first documents; the files are in no particular order."""
        del characters  # the reader stops where it has enough
        return self.documents()

    def _files(self) -> list[str]:
        """The files that fit the pattern, in the order of their names."""
        if self._found is not None:
            return self._found
        from huggingface_hub import HfFileSystem

        pattern = f"datasets/{self._repository}@{self._revision()}/{self._pattern}"
        with self._reading():
            files = sorted(str(file) for file in HfFileSystem().glob(pattern))
        if not files:
            raise UserError(
                f"data.pattern={self._pattern}: no such files in {self._repository} (see {self._page()}/tree/main)"
            )
        self._found = files
        return files

    def _of_parquet(self, file: BinaryIO, last: str) -> Iterator[Record]:
        layout = Layout(self._text_field, "file", self._most_mb)
        opened = cast(BinaryIO, _Remembering(file))
        return readers_parquet.Rows(opened, f"{self._repository}, {last}", layout, Progress()).read()

    def _of_lines(self, file: BinaryIO, name: str, last: str) -> Iterator[Record]:
        for number, line in enumerate(bounded(decompressed(file, name), self._most_mb), start=1):
            where = f"line {number}"
            if line is None:
                raise too_long(name, where, self._most_mb, MOST_KEY)
            yield Record(where, partial(self._text, line, f"{last}:{where}"))

    @contextmanager
    def _reading(self) -> Iterator[None]:
        import pyarrow as arrow

        with hub.reporting("data.repository", self._repository, self._error):
            try:
                yield
            except (
                EOFError,
                zlib.error,
                gzip.BadGzipFile,
                arrow.ArrowException,
                UnicodeDecodeError,
                KeyError,  # and the next ones: what pyarrow raises for damaged metadata
                IndexError,
                MemoryError,
            ) as error:
                damage = type(error).__name__
                raise UserError(f"a file of {self._repository} is damaged or cut ({damage})") from error

    def _text(self, line: bytes, where: str) -> str | None:
        if line.isspace():
            return None
        check_values(line, f"{self._repository}, {where}", self._most_mb, MOST_KEY)
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            raise UserError(f"{self._repository}, {where}: not JSON") from None
        if isinstance(row, dict) and row.get(self._text_field, "") is None:
            return None
        text = row.get(self._text_field) if isinstance(row, dict) else None
        if not isinstance(text, str):
            keys = len(row) if isinstance(row, dict) else 0
            raise UserError(
                f"data.text_field={self._text_field}: {self._repository}, {where} has no such text (keys: {keys});"
                f" {self._page()} shows their names"
            )
        return text.encode(errors="replace").decode()  # JSON can spell half a surrogate pair, UTF-8 cannot

    def _revision(self) -> str:
        """The commit to read: asked for once, so that the fingerprint names what is read."""
        if self._commit is None:
            self._commit = self._asked()
        return self._commit

    def _asked(self) -> str:
        """The commit that the repository's default branch is at."""
        from huggingface_hub import HfApi

        api: Any = HfApi()
        with hub.reporting("data.repository", self._repository, self._error):
            revision = api.dataset_info(self._repository, timeout=10).sha
            api.auth_check(self._repository, repo_type="dataset")
        return str(revision)

    def _error(self, what: str) -> UserError:
        return UserError(f"the corpus {self._repository} {what}.\n" + WAYS_OUT.format(page=self._page()))

    def _page(self) -> str:
        return hub.page_of(self._repository)


class _Remembering:
    """A file that gives the same bytes again without asking the Hub: pyarrow reads a row group's column twice."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._range, self._content = file, (-1, -1), b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def read(self, size: int = -1) -> bytes:
        """So many bytes from the place on that was sought, or all."""
        wanted = (self._file.tell(), size)
        if wanted == self._range:
            self._file.seek(len(self._content), io.SEEK_CUR)
        else:
            self._range, self._content = wanted, self._file.read(size)
        return self._content
