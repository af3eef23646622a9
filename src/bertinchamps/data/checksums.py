"""Checksums of a file of tokens: no byte is trained on that differs from the byte written.

    train.bin    tokens
    train.sums   CRC-32 of each PIECE bytes of it, little-endian

The manifest holds a digest of the sums. Blocks are read in random order, so a piece is small, and is checked when a
process first reads from it. A check takes a millisecond in two megabytes, and a corpus of any size opens at once.
"""

from __future__ import annotations

import contextlib
import hashlib
import zlib
from array import array
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bertinchamps.durable import flush_to_disk
from bertinchamps.errors import UserError

PIECE = 1 << 14  # bytes
READ_AT_ONCE = 1 << 20  # bytes
Bytes = NDArray[np.uint8]


class Sums:
    """The checksums of a file that grows.

    Args:
        pieces: checksums of the file's pieces; the last piece may be incomplete.
        size: of the file, in bytes.
    """

    def __init__(self, pieces: Iterable[int] = (), size: int = 0) -> None:
        self.size = size
        self._pieces = array("I", pieces)

    def add(self, content: bytes | memoryview) -> None:
        """Count what is appended to the file."""
        view = memoryview(content).cast("B")
        while view:
            begun = self.size % PIECE
            part, view = view[: PIECE - begun], view[PIECE - begun :]
            if begun:
                self._pieces[-1] = zlib.crc32(part, self._pieces[-1])
            else:
                self._pieces.append(zlib.crc32(part))
            self.size += len(part)

    def values(self) -> NDArray[np.uint32]:
        """The checksum of each piece."""
        return np.array(self._pieces, dtype="<u4")

    def digest(self) -> str:
        """A digest of all checksums, and so of the file."""
        return _digest(self.values())

    def write(self, file: Path) -> str:
        """Write the checksums onto the disk; returns their digest."""
        file.write_bytes(self.values().tobytes())
        flush_to_disk(file)
        return self.digest()


def sums_of(file: Path, size: int | None = None) -> Sums:
    """The checksums of a file, or of its first `size` bytes."""
    sums = Sums()
    left = file.stat().st_size if size is None else size
    with file.open("rb") as stream:
        while chunk := stream.read(min(READ_AT_ONCE, left)):
            sums.add(chunk)
            left -= len(chunk)
    return sums


def sums_file(file: Path) -> Path:
    """Where the checksums of a file of tokens are."""
    return file.with_suffix(".sums")


def open_sums(file: Path, digest: str) -> NDArray[np.uint32] | None:
    """The checksums of a file of tokens, made anew where they are missing or damaged; None if the file is another.

    Args:
        file: the tokens.
        digest: of the checksums, as the manifest has it.
    """
    try:
        values = np.frombuffer(sums_file(file).read_bytes(), dtype="<u4")
        if _digest(values) == digest:
            return values
    except (OSError, ValueError):  # missing, or cut within a number
        pass
    anew = sums_of(file)
    if anew.digest() != digest:
        return None
    with contextlib.suppress(
        OSError
    ):  # a cache that cannot be written to: the checksums are made again next time
        anew.write(sums_file(file))
        sums_file(file).chmod(0o600)
    return anew.values()


def _digest(values: NDArray[np.uint32]) -> str:
    return hashlib.blake2b(values.tobytes(), digest_size=16).hexdigest()


class Checked:
    """Compares the pieces of a file with their checksums, each once.

    Args:
        file: for messages.
        content: bytes of the file, as a memory map.
        sums: of the file's pieces.
    """

    def __init__(self, file: Path, content: Bytes, sums: NDArray[np.uint32]) -> None:
        self._file, self._content, self._sums = file, content, sums
        self._unchecked = np.ones(len(sums), dtype=bool)
        self._left = len(sums)

    def check(self, starts: NDArray[np.int64], width: int) -> None:
        """Check the pieces in which some stretches lie.

        Args:
            starts: first byte of each stretch, [N].
            width: bytes of a stretch.

        Raises:
            UserError: a piece is not as it was written.
        """
        if not self._left:
            return
        first, last = starts // PIECE, (starts + width - 1) // PIECE
        spread = np.arange(int((last - first).max(initial=0)) + 1)
        pieces = np.unique(np.minimum(first[:, None] + spread, last[:, None]))
        for piece in pieces[self._unchecked[pieces]].tolist():
            self._check(piece)

    def check_all(self) -> None:
        """Check all pieces.

        Raises:
            UserError: a piece is not as it was written.
        """
        for piece in np.flatnonzero(self._unchecked).tolist():
            self._check(piece)

    def _check(self, piece: int) -> None:
        start = piece * PIECE
        content = self._content[start : start + PIECE]
        if zlib.crc32(content.data) != self._sums[piece]:
            raise damaged(
                self._file, f"bytes {start:,} to {start + len(content) - 1:,} are not those that were written"
            )
        self._unchecked[piece] = False
        self._left -= 1


def damaged(file: Path, what: str) -> UserError:
    """The message for a file of the cache that the disk, or somebody, altered."""
    return UserError(f"{file}: {what}; delete {file.parent} to build it anew")
