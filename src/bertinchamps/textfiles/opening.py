"""The bytes of a file, plain, gzip or zstandard, in constant memory. Messages never quote them."""

from __future__ import annotations

import gzip
import io
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from bertinchamps.errors import UserError
from bertinchamps.textfiles.limits import Room

BUFFER = 1 << 17  # bytes
CHUNK = 1 << 10  # bytes of zstandard data decompressed at once: repetitive text shrinks many thousandfold
LARGEST_WINDOW = 1 << 31  # bytes, what `zstd --long=31` asks for
COMPRESSIONS = (".gz", ".zst")
KINDS = {
    stat.S_ISFIFO: "a named pipe",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
    stat.S_ISSOCK: "a socket",
    stat.S_ISDIR: "a folder",
}


def suffixes(path: Path) -> tuple[str, str]:
    """The suffix of what a file holds (".jsonl"), and that of its compression, each in lower case or empty."""
    packing = _packing(path)
    return Path(unpacked_name(path)).suffix, packing


def unpacked_name(path: Path) -> str:
    """The name of a file in lower case, without the suffix of its compression."""
    return path.name.lower().removesuffix(_packing(path))


def _packing(path: Path) -> str:
    return next((packing for packing in COMPRESSIONS if path.name.lower().endswith(packing)), "")


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


def whole(path: Path, room: Room | None = None) -> bytes:
    """The content of a file, as it is.

    Args:
        path: the file.
        room: for all files that the caller keeps; None: for this one alone.

    Raises:
        UserError: it cannot be read, is too large, or is a pipe, a device or a socket.
    """
    try:
        kind = irregular(path)
        if kind is None:
            with path.open("rb") as file:
                return within(file, room or Room(path))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    raise not_a_file(path, kind)


def unpacked(path: Path) -> bytes:
    """The decompressed content of a file.

    Raises:
        UserError: it cannot be read, is too large, is damaged, or is a pipe, a device or a socket.
    """
    try:
        with opened(path) as file:
            return within(file, Room(path))
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(path, "within it", error) from None


def within(file: BinaryIO, room: Room) -> bytes:
    """All that an open file holds. Raises UserError where there is no room for it."""
    pieces = []
    while piece := file.read(BUFFER):
        room.take(len(piece))
        pieces.append(piece)
    return b"".join(pieces)


@contextmanager
def opened(path: Path, progress: Progress | None = None) -> Iterator[BinaryIO]:
    """The decompressed bytes of a file, buffered; the suffix says how the file is compressed.

    Args:
        path: the file.
        progress: updated with how far the reading is.

    Raises:
        UserError: the path names no file but a pipe or a device, which need not have an end.
    """
    kind = irregular(path)
    if kind:
        raise not_a_file(path, kind)
    with path.open("rb", buffering=0) as file:
        size = max(1, path.stat().st_size)
        if progress is not None:
            progress.fraction = lambda: 1.0 if file.closed else file.tell() / size
        yield decompressed(cast(BinaryIO, file), path.name)


def decompressed(file: BinaryIO, name: str) -> BinaryIO:
    """The content of an open file, buffered; the suffix of the name says how the file is compressed."""
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
