"""Bytes and lines of a file, plain, gzip or zstandard, in constant memory. Messages never quote them."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from bertinchamps.errors import UserError

BUFFER = 1 << 17  # bytes
CHUNK = 1 << 10  # bytes of zstandard data decompressed at once: repetitive text shrinks many thousandfold
LARGEST_WINDOW = 1 << 31  # bytes, what `zstd --long=31` asks for
CONVERT = "convert it to UTF-8, for example `iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW`"


class Progress:
    """How far into a file its reader is, from 0 to 1, in bytes on disk. Readers set it, samplers ask."""

    def __init__(self) -> None:
        self.fraction: Callable[[], float] = lambda: 0.0


class ZstdFrames(io.RawIOBase):
    """The content of all frames of a zstandard file. A cut last frame raises EOFError.

    The library's own reader takes the end of a cut file for the end of the data.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._frame, self._begun = file, _new_frame(), False
        self._compressed, self._ready = b"", memoryview(b"")

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, target: object) -> int:
        """Fill the target with decompressed bytes; 0 at the end."""
        view = memoryview(target).cast("B")  # type: ignore[arg-type]
        while not self._ready:
            if not (self._compressed or self._refill()):
                return 0
            self._ready = memoryview(self._decompress())
        size = min(len(view), len(self._ready))
        view[:size], self._ready = self._ready[:size], self._ready[size:]
        return size

    def _refill(self) -> bool:
        self._compressed = self._file.read(CHUNK)
        if not self._compressed and self._begun:
            raise EOFError("the last frame is cut")
        return bool(self._compressed)

    def _decompress(self) -> bytes:
        import zstandard

        try:
            content: bytes = self._frame.decompress(self._compressed)
        except zstandard.ZstdError as error:
            raise EOFError("not zstandard data") from error
        self._compressed, self._begun = self._frame.unused_data, not self._frame.eof
        if self._frame.eof:
            self._frame = _new_frame()
        return content


def _new_frame() -> Any:
    import zstandard

    return zstandard.ZstdDecompressor(max_window_size=LARGEST_WINDOW).decompressobj()


@contextmanager
def opened(path: Path, progress: Progress) -> Iterator[BinaryIO]:
    """The decompressed bytes of a file, buffered; the suffix says how it is compressed."""
    with path.open("rb", buffering=0) as file:
        size = max(1, path.stat().st_size)
        progress.fraction = lambda: 1.0 if file.closed else file.tell() / size
        yield decompressed(cast(BinaryIO, file), path.name)


def decompressed(file: BinaryIO, name: str) -> BinaryIO:
    """The content of an open file, buffered; its name's suffix says how it is compressed."""
    raw = cast(io.RawIOBase, file)
    if name.lower().endswith(".gz"):
        raw = cast(io.RawIOBase, gzip.GzipFile(fileobj=file))
    elif name.lower().endswith(".zst"):
        raw = ZstdFrames(file)
    return cast(BinaryIO, io.BufferedReader(raw, BUFFER))


def unreadable(path: Path, after: str, error: Exception) -> UserError:
    """The message for a file that the disk or the decompressor gave up on."""
    if isinstance(error, OSError) and error.strerror:
        return UserError(f"{path}: cannot be read ({error.strerror})")
    return UserError(
        f"{path}: {after}: the compressed data are damaged or cut short; copy or compress the file again"
    )


def lines(path: Path, progress: Progress) -> Iterator[tuple[int, bytes]]:
    """The lines of a file with their ends, numbered from 1, without a byte order mark.

    Raises:
        UserError: the file cannot be opened, or its compressed data are damaged or cut short.
    """
    number = 0
    try:
        with opened(path, progress) as stream:
            for line in stream:
                number += 1
                yield number, line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(path, f"after line {number}", error) from error


def decoded(path: Path, number: int, line: bytes) -> str:
    """One line as text.

    Raises:
        UserError: it is not UTF-8.
    """
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        start = error.start
    # raised outside of the handler: the chained error would carry the line
    raise UserError(f"{path}: line {number}, byte {start + 1}: not UTF-8; {CONVERT}")


def chunks(path: Path, progress: Progress) -> Iterator[str]:
    """The text of a file, piece by piece, without a byte order mark.

    Raises:
        UserError: it is not UTF-8, or see `lines`.
    """
    decoder, offset, bad = codecs.getincrementaldecoder("utf-8-sig")(), 0, -1
    try:
        with opened(path, progress) as stream:
            while bad < 0:
                block = stream.read(BUFFER)
                kept = len(decoder.getstate()[0])  # bytes of a character that the last block cut
                try:
                    yield decoder.decode(block, final=not block)
                except UnicodeDecodeError as error:
                    bad = offset - kept + error.start
                offset += len(block)
                if not block:
                    break
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(path, f"after byte {offset}", error) from error
    if bad >= 0:
        raise UserError(f"{path}: byte {bad + 1}: not UTF-8; {CONVERT}")
