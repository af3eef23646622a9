"""Files of a folder, a zip or a tar, found by how their paths end, because a corpus is unpacked in many ways.

`train/EMEA/*.txt` finds QUAERO_FrenchMed/corpus/train/EMEA/318.txt in the official zip, in a folder that holds
this zip, in the folder `corpus` and in a folder above it.
"""

from __future__ import annotations

import errno
import lzma
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath

from bertinchamps.errors import UserError
from bertinchamps.textfiles.limits import Room
from bertinchamps.textfiles.opening import whole
from bertinchamps.textfiles.tar_members import members
from bertinchamps.textfiles.zip_members import content as zip_content

# What the modules of archives and compressions raise for bytes that they did not write.
DAMAGES = (
    zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, struct.error, ValueError, OverflowError,
    RecursionError,
)  # fmt: skip
DAMAGED = "damaged or cut short; get it again"
ENDING = (1 << 16) + 22  # bytes at a zip's end that hold its last record: that and the longest comment
ELSEWHERE = 0xFFFF
DEPTH = 6  # folders below the one given that are looked into: a slip such as path=/ must not walk a disk
TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
ARCHIVES = (".zip", *TARS)

Member = tuple[PurePosixPath, Callable[[], bytes]]


def is_archive(path: Path) -> bool:
    """Whether the name is that of an archive that can be read without unpacking it."""
    return path.name.lower().endswith(ARCHIVES)


def listed(path: Path, patterns: Sequence[str], archives: Sequence[str] = ()) -> list[PurePosixPath]:
    """Paths of the files that `contents` would read.

    Raises:
        UserError: an archive is damaged.
    """
    return sorted(name for name, _ in _found(path, patterns, archives, Room(path)))


def contents(path: Path, patterns: Sequence[str], archives: Sequence[str] = ()) -> dict[PurePosixPath, bytes]:
    """The files whose paths end as one of the patterns says, by path, sorted.

    Hidden files, and those that macOS adds to a zip, are passed over.

    Args:
        path: a folder, or an archive.
        patterns: ends of paths, `*` for any part of a name, as `PurePath.match` takes them.
        archives: names of archives in the folder, for the files of patterns that it has not got unpacked.

    Raises:
        UserError: a file cannot be read, an archive is damaged, or all of them together are too large.
    """
    room = Room(path)
    return dict(sorted((name, read()) for name, read in _found(path, patterns, archives, room)))


def _found(path: Path, patterns: Sequence[str], archives: Sequence[str], room: Room) -> Iterator[Member]:
    place = Path(os.path.abspath(path.expanduser()))  # noqa: PTH100 (resolve would rename links)
    missing = set(patterns)
    for member in _members(place, room):
        if fitting := {pattern for pattern in patterns if member[0].match(pattern)}:
            missing -= fitting
            yield member
    for name in archives if place.is_dir() else ():
        if (place / name).is_file():
            yield from _found(place / name, sorted(missing), (), room)


def _members(path: Path, room: Room) -> Iterator[Member]:
    if path.is_dir():
        yield from _in_folder(path, room)
    elif path.is_file() and is_archive(path):
        with _told(path):
            yield from (_in_zip if path.name.lower().endswith(".zip") else _in_tar)(path, room)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Errors of an archive in words, those of finding members and those of reading one."""
    try:
        yield
        return
    except DAMAGES:
        wrong = DAMAGED
    except OSError as error:
        # without a number it is a decompressor's, and EINVAL is an offset before the file's beginning
        wrong = DAMAGED if error.errno in (None, errno.EINVAL) else f"cannot be read ({error.strerror})"
    except MemoryError:  # a compression may ask for a dictionary of gigabytes
        wrong = "takes more memory than there is: damaged, or packed unusually; get it again, or unpack it"
    except RuntimeError:  # what zipfile raises for a password or an unknown compression
        wrong = "encrypted or packed in an unknown way; unpack it first"
    raise UserError(f"{path}: {wrong}")


def _is_hidden(parts: Sequence[str]) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)


def _in_folder(folder: Path, room: Room) -> Iterator[Member]:
    for root, folders, names in os.walk(folder):
        deep = len(Path(root).relative_to(folder).parts) >= DEPTH
        folders[:] = [] if deep else sorted(name for name in folders if not _is_hidden([name]))
        for name in sorted(names):
            if not _is_hidden([name]):
                yield PurePosixPath(root, name), partial(whole, Path(root, name), room)


def _in_zip(path: Path, room: Room) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        if _entries(path) not in (len(archive.infolist()) % (ELSEWHERE + 1), ELSEWHERE):
            raise zipfile.BadZipFile("a part of its directory is missing")
        for info in archive.infolist():
            inner = PurePosixPath(info.filename)
            archive.open(info).close()  # compares its name with the one beside its content
            if not info.is_dir() and not _is_hidden(inner.parts):
                yield (
                    PurePosixPath(path) / inner,
                    _reader(path, room, info.file_size, partial(zip_content, archive, info)),
                )


def _entries(path: Path) -> int:
    """How many members a zip says that it has, modulo 65,536; ELSEWHERE where a record of zip64 says it."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - ENDING))
        ending = file.read()
    place = ending.rfind(b"PK\x05\x06")
    return int.from_bytes(ending[place + 10 : place + 12], "little")


def _in_tar(path: Path, room: Room) -> Iterator[Member]:
    for info, content in members(path, room):
        inner = PurePosixPath(info.name.removeprefix("./"))
        if content is not None and not _is_hidden(inner.parts):
            yield PurePosixPath(path) / inner, _reader(path, room, info.size, content)


def _reader(path: Path, room: Room, size: int, read: Callable[[], bytes]) -> Callable[[], bytes]:
    """Reads a member of an archive, which says before how large it is, and never gives more."""

    def content() -> bytes:
        room.take(size)
        with _told(path):
            return read()

    return content
