"""A dataset of the Hugging Face Hub, streamed: compressed JSON lines, or Parquet.

A line of OSCAR's files: {"content": "Le musée rouvre …", "warc_headers": {…}, "metadata": {…}}. Scripts of
repositories are never run. `configs/data/` has a yaml for each corpus that is known to fit.
"""

from __future__ import annotations

import gzip
import itertools
import json
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

from bertinchamps import hub
from bertinchamps.contract import Document, Place
from bertinchamps.data.sources import readers_parquet, sources
from bertinchamps.data.sources.readers_records import MOST_KEY, most_problems
from bertinchamps.errors import UserError
from bertinchamps.textfiles.lines import MOST_MB, bounded, too_long
from bertinchamps.textfiles.opening import decompressed

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
        name = self._files()[file]
        rows = itertools.islice(self._rows(name), skipped, None if most is None else skipped + most)
        for number, row in enumerate(rows, start=skipped + 1):
            where = f"{name.rpartition('/')[2]}:{'row' if self._parquet else 'line'} {number}"
            text = self._text(row, where)
            yield number, Document(text, where) if text and not text.isspace() else None

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

    def _rows(self, name: str) -> Iterator[Any]:
        """Rows of Parquet with nothing but the text, if they have one; lines of JSON as bytes."""
        from huggingface_hub import HfFileSystem

        with self._reading(), HfFileSystem().open(name, "rb") as file:
            if not self._parquet:
                for number, line in enumerate(bounded(decompressed(file, name), self._most_mb), start=1):
                    if line is None:
                        raise too_long(name, f"line {number}", self._most_mb, MOST_KEY)
                    yield line
                return
            import pyarrow.parquet as parquet

            table = parquet.ParquetFile(file)
            names = table.schema_arrow.names
            columns = [self._text_field] if self._text_field in names else names
            for batch in table.iter_batches(readers_parquet.BATCH, columns=columns):
                yield from batch.to_pylist()

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
            ) as error:
                damage = type(error).__name__
                raise UserError(f"a file of {self._repository} is damaged or cut ({damage})") from error

    def _text(self, row: Any, where: str) -> str | None:
        if isinstance(row, bytes):
            if row.isspace():
                return None
            try:
                row = json.loads(row)
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
        if len(text) > self._most_mb * 1_000_000:
            raise too_long(self._repository, where, self._most_mb, MOST_KEY)
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
