"""Files of a folder, a zip or a tar, found by how their paths end, because a corpus is unpacked in many ways.

`train/EMEA/*.txt` finds QUAERO_FrenchMed/corpus/train/EMEA/318.txt in the official zip, in a folder that holds
this zip, in the folder `corpus` and in a folder above it.
"""

from __future__ import annotations

import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from bertinchamps.errors import UserError

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
    return sorted(name for name, _ in _found(path, patterns, archives))


def contents(path: Path, patterns: Sequence[str], archives: Sequence[str] = ()) -> dict[PurePosixPath, bytes]:
    """The files whose paths end as one of the patterns says, by path, sorted.

    Hidden files, and those that macOS adds to a zip, are passed over.

    Args:
        path: a folder, or an archive.
        patterns: ends of paths, `*` for any part of a name, as `PurePath.match` takes them.
        archives: names of archives in the folder, for the files of patterns that it has not got unpacked.

    Raises:
        UserError: a file cannot be read, or an archive is damaged.
    """
    return dict(sorted((name, read()) for name, read in _found(path, patterns, archives)))


def _found(path: Path, patterns: Sequence[str], archives: Sequence[str]) -> Iterator[Member]:
    whole = Path(os.path.abspath(path.expanduser()))  # noqa: PTH100 (resolve would rename links)
    missing = set(patterns)
    for member in _members(whole):
        if fitting := {pattern for pattern in patterns if member[0].match(pattern)}:
            missing -= fitting
            yield member
    for name in archives if whole.is_dir() else ():
        if (whole / name).is_file():
            yield from _found(whole / name, sorted(missing), ())


def _members(path: Path) -> Iterator[Member]:
    if path.is_dir():
        yield from _in_folder(path)
    elif path.is_file() and is_archive(path):
        try:
            yield from _in_zip(path) if path.name.lower().endswith(".zip") else _in_tar(path)
        except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error) as error:
            raise UserError(f"{path}: damaged or cut short ({type(error).__name__}); get it again") from None
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
        except RuntimeError:  # what zipfile raises for a password or an unknown compression
            raise UserError(f"{path}: encrypted or packed in an unknown way; unpack it first") from None


def _is_hidden(parts: Sequence[str]) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)


def _in_folder(folder: Path) -> Iterator[Member]:
    for root, folders, names in os.walk(folder):
        deep = len(Path(root).relative_to(folder).parts) >= DEPTH
        folders[:] = [] if deep else sorted(name for name in folders if not _is_hidden([name]))
        for name in sorted(names):
            if not _is_hidden([name]):
                yield PurePosixPath(root, name), lambda file=Path(root, name): _read(file)  # type: ignore[misc]


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from None


def _in_zip(path: Path) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            inner = PurePosixPath(info.filename)
            if not info.is_dir() and not _is_hidden(inner.parts):
                yield PurePosixPath(path) / inner, lambda info=info: archive.read(info)  # type: ignore[misc]


def _in_tar(path: Path) -> Iterator[Member]:
    with tarfile.open(path) as archive:
        for info in archive:
            inner = PurePosixPath(info.name.removeprefix("./"))
            file = archive.extractfile(info) if info.isfile() else None
            if file is not None and not _is_hidden(inner.parts):
                yield PurePosixPath(path) / inner, file.read
