"""Values as JSON lines in a zstandard file with a checksum: what this package writes to read it again itself."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bertinchamps.textfiles.json_lines import line
from bertinchamps.textfiles.opening import decompressed


class PackedLines:
    """Writes values; the file gets its name when all of them are written."""

    def __init__(self, file: Path) -> None:
        import zstandard

        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file, self._unfinished = file, file.with_name(f".{file.name}.unfinished")
        checked = zstandard.ZstdCompressor(write_checksum=True)
        self._stream = zstandard.open(self._unfinished, "wt", cctx=checked, encoding="utf-8")

    def write(self, value: object) -> None:
        """Append a value."""
        self._stream.write(line(value))

    def __enter__(self) -> PackedLines:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stream.close()
        if kind is None:
            self._unfinished.replace(self._file)


def read(file: Path) -> Iterator[Any]:
    """The values of a file.

    Raises:
        EOFError or ValueError: the file is not as it was written.
    """
    with file.open("rb") as stream:
        for text in io.TextIOWrapper(decompressed(stream, ".zst"), encoding="utf-8", newline="\n"):
            yield json.loads(text)
