"""The members of a tar, one after another: tarfile reads headers of any size, and keeps all of them."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, Self, cast

from bertinchamps.textfiles.limits import Room

MOST_HEADER = 1 << 20  # bytes of all that stands before a member's content: names, comments, a list of holes
MOST_FIELDS = 1000  # that headers give to all members behind them
BLOCK = 1 << 20  # bytes
COMPRESSIONS: dict[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
}

Content = Callable[[], bytes]


def members(path: Path, room: Room) -> Iterator[tuple[tarfile.TarInfo, Content | None]]:
    """Each member, with what reads its content until the next one is asked for; None for what is no file.

    Args:
        path: the tar, plain, or compressed by gzip, bzip2 or xz.
        room: counts the headers. Whoever reads contents counts these.

    Raises:
        tarfile.TarError: a header is damaged, missing or too large.
        UserError: there is no room for the headers.
        Exception: whatever the decompressors raise for damaged bytes.
    """
    with _opened(path) as stream:
        file = _Counted(stream, room)
        with file.header():
            archive = tarfile.open(fileobj=cast(IO[bytes], file), mode="r:", tarinfo=_WholeHeader)  # noqa: SIM115
        while (info := _next(archive, file)) is not None:
            inner = archive.extractfile(info) if info.isfile() else None
            yield info, partial(_content, inner) if inner else None
        while stream.read(BLOCK):  # the checksum of a compressed one is at its end
            pass


def _opened(path: Path) -> IO[bytes]:
    """The unpacked bytes of a file, packed or not as its first bytes say."""
    with path.open("rb") as file:
        beginning = file.read(max(map(len, COMPRESSIONS)))
    found = (unpacking for mark, unpacking in COMPRESSIONS.items() if beginning.startswith(mark))
    return cast(IO[bytes], next(found, partial(Path.open, mode="rb"))(path))


def _next(archive: tarfile.TarFile, file: _Counted) -> tarfile.TarInfo | None:
    with file.header():
        info = archive.next()
    archive.members.clear()  # type: ignore[attr-defined]  # each has all that its header told
    if len(archive.pax_headers) > MOST_FIELDS:
        raise tarfile.ReadError("too many fields for all members")
    if info is not None and info.size < 0:
        raise tarfile.ReadError("a negative size")
    return info


def _content(file: IO[bytes]) -> bytes:
    """All of a member, which may be less than its header says: so it is read in pieces."""
    return b"".join(iter(partial(file.read, BLOCK), b""))


class _Counted:
    """An unpacked tar, of which a header may read no more than MOST_HEADER bytes.

    Args:
        stream: its bytes.
        room: counts what headers read.
    """

    def __init__(self, stream: IO[bytes], room: Room) -> None:
        self._stream, self._room = stream, room
        self._left: int | None = None  # bytes that the header may still read; None: no header is being read
        self.seek, self.tell = stream.seek, stream.tell

    @contextmanager
    def header(self) -> Iterator[None]:
        """Whatever is read within is that of one header."""
        self._left = MOST_HEADER
        yield
        self._left = None

    def read(self, size: int = -1) -> bytes:
        """So many bytes, or all."""
        if self._left is not None:
            if not 0 <= size <= self._left:
                raise tarfile.ReadError(f"a header of more than {MOST_HEADER} bytes")
            self._left -= size
            self._room.take(size)
        return self._stream.read(size)

    def seekable(self) -> bool:
        """Always."""
        return True


class _WholeHeader(tarfile.TarInfo):
    """A header that is damaged or missing is an error: tarfile takes it for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """The header in a block. Raises tarfile.ReadError, unless the block is an end or whole."""
        try:
            header = super().frombuf(buf, encoding, errors)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # zeros: the end
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError("damaged header, or none") from error
        if header.size < 0:  # the next header would be one that was read before
            raise tarfile.ReadError("a negative size")
        return header
