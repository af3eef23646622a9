"""Bytes and lines of a file, plain, gzip or zstandard, in constant memory. Messages never quote them."""

from __future__ import annotations

import codecs
import gzip
import io
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from bertinchamps.errors import UserError

BUFFER = 1 << 17  # bytes
CHUNK = 1 << 10  # bytes of zstandard data decompressed at once: repetitive text shrinks many thousandfold
LARGEST_WINDOW = 1 << 31  # bytes, what `zstd --long=31` asks for
MOST_MB = 64  # of one line or record, in millions of bytes: a compressed file of kilobytes may hold one of gigabytes
CONVERT = "convert it to UTF-8, for example `iconv -f {} -t UTF-8 OLD > NEW`"
KINDS = {
    stat.S_ISFIFO: "a named pipe",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
    stat.S_ISSOCK: "a socket",
    stat.S_ISDIR: "a folder",
}


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


def irregular(path: Path) -> str | None:
    """What a path names that is no file with an end; None for a file, or for nothing.

    Raises:
        OSError: it cannot be looked at.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return None
    return next((kind for is_kind, kind in KINDS.items() if is_kind(mode)), None)


def not_a_file(path: Path, kind: str) -> UserError:
    """The message for what is no file: reading it might never end."""
    return UserError(f"{path}: {kind}, not a file; write its content into a file first")


@contextmanager
def opened(path: Path, progress: Progress) -> Iterator[BinaryIO]:
    """The decompressed bytes of a file, buffered; the suffix says how it is compressed.

    Raises:
        UserError: it is no file but a pipe or a device, which need not have an end.
    """
    kind = irregular(path)
    if kind:
        raise not_a_file(path, kind)
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


def lines(
    path: Path, progress: Progress, most_mb: float = MOST_MB, key: str | None = None
) -> Iterator[tuple[int, bytes]]:
    """The lines of a file with their ends, numbered from 1, without a byte order mark.

    Args:
        path: the file.
        progress: told how far the reading is.
        most_mb: of a line, in millions of bytes.
        key: the setting that raises this, for the message.

    Raises:
        UserError: the file cannot be opened, a line is too long, or its compressed data are damaged or cut short.
    """
    number = 0
    try:
        with opened(path, progress) as stream:
            for line in bounded(stream, most_mb):
                number += 1
                if line is None:
                    raise too_long(path, f"line {number}", most_mb, key)
                yield number, line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(path, f"after line {number}", error) from error


def bounded(stream: BinaryIO, most_mb: float) -> Iterator[bytes | None]:
    """The lines of a stream; None instead of one that is longer, at which the reading ends."""
    most = int(most_mb * 1_000_000)
    while line := stream.readline(most + 1):
        if len(line) > most:
            yield None
            return
        yield line


def too_long(path: Path | str, where: str, most_mb: float, key: str | None) -> UserError:
    """The message for a record that nobody may hold in memory."""
    way = f"{key}=N reads longer ones" if key else "is it the right file?"
    return UserError(f"{path}: {where}: longer than {most_mb:g} MB; {way}")


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
    raise _not_utf8(path, f"line {number}, byte {start + 1}", line if number == 1 else b"")


def _not_utf8(path: Path, where: str, beginning: bytes) -> UserError:
    two_bytes = beginning.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return UserError(
        f"{path}: {where}: not UTF-8; {CONVERT.format('UTF-16' if two_bytes else 'WINDOWS-1252')}"
    )


def chunks(path: Path, progress: Progress) -> Iterator[str]:
    """The text of a file, piece by piece, without a byte order mark.

    Raises:
        UserError: it is not UTF-8, or see `lines`.
    """
    decoder, offset, bad, beginning = codecs.getincrementaldecoder("utf-8-sig")(), 0, -1, b""
    try:
        with opened(path, progress) as stream:
            while bad < 0:
                block = stream.read(BUFFER)
                beginning = beginning or block
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
        raise _not_utf8(path, f"byte {bad + 1}", beginning)
