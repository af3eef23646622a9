"""The lines and the text of a file, plain, gzip or zstandard, in constant memory. Messages never quote them."""

from __future__ import annotations

import codecs
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from bertinchamps.errors import UserError
from bertinchamps.textfiles.limits import Room, limits, remedy
from bertinchamps.textfiles.limits import key as limit_key
from bertinchamps.textfiles.opening import BUFFER, Progress, opened, unreadable

MOST_MB = 64  # of one line or record, in millions of bytes, where nobody says otherwise
CONVERT = "convert it to UTF-8, for example `iconv -f {} -t UTF-8 OLD > NEW`"


def lines(
    path: Path,
    progress: Progress | None = None,
    most_mb: float | None = None,
    key: str | None = None,
    room: Room | None = None,
) -> Iterator[tuple[int, bytes]]:
    """The lines of a file with their ends, numbered from 1, without a byte order mark.

    Args:
        path: the file.
        progress: updated with how far the reading is.
        most_mb: of a line, in millions of bytes; None: as `limits` has it.
        key: the setting that raises this, for the message.
        room: for all lines together, of whoever keeps them.

    Raises:
        UserError: the file cannot be opened, a line is too long, there is no room for all of them, or its compressed
            data are damaged or cut short.
    """
    most_mb, key = bound_of(most_mb, key)
    number = 0
    try:
        with opened(path, progress) as stream:
            for line in bounded(stream, most_mb):
                number += 1
                if line is None:
                    raise too_long(path, f"line {number}", most_mb, key)
                if room is not None:
                    room.take(len(line))
                yield number, line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(path, f"after line {number}", error) from error


def bound_of(most_mb: float | None, key: str | None) -> tuple[float, str | None]:
    """Millions of bytes that a line or a row may have, and the setting that raises them: those given, or `limits`."""
    return (limits().record_mb, limit_key("record_mb")) if most_mb is None else (most_mb, key)


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
    return UserError(f"{path}: {where}: longer than {most_mb:g} MB; {remedy(key, 'longer')}")


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
    raise not_utf8(path, f"line {number}, byte {start + 1}", line if number == 1 else b"")


def not_utf8(path: Path, where: str, beginning: bytes = b"") -> UserError:
    """The message for bytes that are no text; `beginning` is that of the file."""
    two_bytes = beginning.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return UserError(
        f"{path}: {where}: not UTF-8; {CONVERT.format('UTF-16' if two_bytes else 'WINDOWS-1252')}"
    )


def chunks(path: Path, progress: Progress, room: Room | None = None) -> Iterator[str]:
    """The text of a file, piece by piece, without a byte order mark.

    Args:
        path: the file.
        progress: updated with how far the reading is.
        room: for all pieces together, of whoever keeps them.

    Raises:
        UserError: it is not UTF-8, or see `lines`.
    """
    decoder, offset, bad, beginning = codecs.getincrementaldecoder("utf-8-sig")(), 0, -1, b""
    try:
        with opened(path, progress) as stream:
            while bad < 0:
                block = stream.read(BUFFER)
                if room is not None:
                    room.take(len(block))
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
        raise not_utf8(path, f"byte {bad + 1}", beginning)
