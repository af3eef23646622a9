"""The content of members of a zip, unpacked in pieces: zipfile unpacks bzip2 and LZMA without any bound.

zipfile reads four kilobytes of packed bytes, unpacks all that they stand for, and then cuts it to the size that the
directory claims: a zip of 159 bytes, whose member claims ten, takes 60 MB for a moment.
"""

from __future__ import annotations

import bz2
import lzma
import zipfile
import zlib
from collections.abc import Callable
from copy import copy
from typing import IO, Protocol

BLOCK = 1 << 17  # bytes, packed and unpacked, at once
LZMA_HEADER = 4  # bytes before the properties: a version, and how long the properties are
LZMA_PROPERTIES = 5  # bytes
LZMA_UNKNOWN = b"\xff" * 8  # how a .lzma file says that its size stands nowhere


class Unpacker(Protocol):
    """What bz2 and lzma have."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Stored:
    eof, needs_input = False, True

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return data


class _Deflated:
    def __init__(self) -> None:
        self._inner = zlib.decompressobj(-zlib.MAX_WBITS)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


def _lzma(packed: IO[bytes], most: int) -> Unpacker:
    """Of a member that begins as a zip has it, and goes on as a .lzma file does behind its header."""
    header = packed.read(LZMA_HEADER)
    properties = packed.read(LZMA_PROPERTIES)
    if header[2:] != bytes([LZMA_PROPERTIES, 0]) or len(properties) < LZMA_PROPERTIES:
        raise zipfile.BadZipFile("no properties of LZMA")
    # a dictionary of gigabytes may be asked for, but nothing in it is further back than the content is long
    dictionary = min(int.from_bytes(properties[1:], "little"), most)
    unpacker = lzma.LZMADecompressor(lzma.FORMAT_ALONE)
    unpacker.decompress(properties[:1] + dictionary.to_bytes(4, "little") + LZMA_UNKNOWN)
    return unpacker


# By the method of a zip: makes one of the packed bytes and the size that the directory claims.
UNPACKERS: dict[int, Callable[[IO[bytes], int], Unpacker]] = {
    zipfile.ZIP_STORED: lambda packed, most: _Stored(),
    zipfile.ZIP_DEFLATED: lambda packed, most: _Deflated(),
    zipfile.ZIP_BZIP2: lambda packed, most: bz2.BZ2Decompressor(),
    zipfile.ZIP_LZMA: _lzma,
}


def content(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Unpack a member, of which no more than its directory's size and a piece are ever in memory.

    Raises:
        zipfile.BadZipFile: it does not have the size or the checksum that the directory says.
        RuntimeError: it is encrypted, or packed in a way that zipfile does not know.
        Exception: whatever zlib, bz2 and lzma raise for damaged bytes.
    """
    pieces, size, checksum = [], 0, 0
    with archive.open(_packed(info)) as packed:
        if info.compress_type not in UNPACKERS:
            raise NotImplementedError(f"compression type {info.compress_type}")
        unpacker, ended = UNPACKERS[info.compress_type](packed, info.file_size), False
        while not (unpacker.eof or ended):
            given = packed.read(BLOCK) if unpacker.needs_input else b""
            piece = unpacker.decompress(given, BLOCK)
            ended = not (given or piece)
            size, checksum = size + len(piece), zlib.crc32(piece, checksum)
            if size > info.file_size:
                break
            pieces.append(piece)
    if (size, checksum) != (info.file_size, info.CRC):
        raise zipfile.BadZipFile("another size or checksum than its directory has")
    return b"".join(pieces)


def _packed(info: zipfile.ZipInfo) -> zipfile.ZipInfo:
    """The member as one that is not packed, so that zipfile gives its bytes as they are, and compares no checksum."""
    stored = copy(info)
    stored.compress_type, stored.file_size = zipfile.ZIP_STORED, info.compress_size
    del stored.CRC
    return stored
