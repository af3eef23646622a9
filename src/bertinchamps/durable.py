"""Files that exist whole or not at all, whatever happens to the process or the machine."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from bertinchamps.errors import UserError

SEAL = "digest"


def write_file(file: Path, text: str) -> None:
    """Write a file beside its place, onto the disk, and move it to its name.

    Raises:
        OSError: the disk is full, or the file cannot be written for another reason; no part of it is left.
    """
    place = file.with_name(f".{file.name}.unfinished")
    try:
        place.write_text(text, encoding="utf-8")
        flush_to_disk(place)
        place.replace(file)
    except OSError:
        place.unlink(missing_ok=True)
        raise
    flush_names(file.parent)


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Write JSON, indented for people, as `write_file` does."""
    write_file(file, json.dumps(content, indent=2, ensure_ascii=False))


def read_json(file: Path, *keys: str) -> dict[str, Any]:
    """A JSON object that this program wrote.

    Args:
        file: the path.
        keys: that the object must have; "spent.steps" is a key in a nested object.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        content: dict[str, Any] = json.loads(file.read_bytes())
        for key in keys:
            node: Any = content
            for part in key.split("."):
                node = node[part]
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from error
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise UserError(
            f"{file}: damaged, not as it was written ({type(error).__name__}); restore it from a copy, or start a new "
            "run"
        ) from error
    return content


def write_sealed(file: Path, content: Mapping[str, Any]) -> None:
    """Write JSON with a digest of itself, as `write_file` does."""
    # numbers that are keys are read as text, which sorts otherwise
    as_read: dict[str, Any] = json.loads(json.dumps(content))
    write_json(file, {**as_read, SEAL: _seal(as_read)})


def read_sealed(file: Path) -> dict[str, Any]:
    """What `write_sealed` wrote, with its digest.

    Raises:
        OSError: the file cannot be read.
        ValueError: the content does not have this digest.
    """
    try:
        content = json.loads(file.read_bytes())
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(content, dict) or content.get(SEAL) != _seal(content):
        raise ValueError("not as it was written")
    return content


def _seal(content: Mapping[str, Any]) -> str:
    sealed = {key: value for key, value in content.items() if key != SEAL}
    return hashlib.blake2b(json.dumps(sealed, sort_keys=True).encode(), digest_size=16).hexdigest()


def digest_of(file: Path) -> str:
    """The blake2b of a file's content, as 32 hexadecimal digits.

    Raises:
        OSError: the file cannot be read.
    """
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def why_not_writable(place: Path) -> str | None:
    """Why no file can be made at a path, whose folders need not exist yet; None if a file can be made."""
    try:
        folder = next(parent for parent in place.absolute().parents if parent.exists())
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return str(error.strerror)


@contextmanager
def progressive(path: Path, folder: bool, leftover: str = "refuse") -> Iterator[Path]:
    """NAME.unfinished, to be written bit by bit; it is renamed to NAME at the end.

    After an interruption or an error NAME.unfinished stays, unless it is empty. While it is written, it is locked.

    Args:
        path: the final path, where nothing is, or an empty folder.
        folder: a folder, not a file.
        leftover: what becomes of a NAME.unfinished that nobody is writing any more: "refuse" it, "replace" it, or
            "keep" it and write on.

    Raises:
        FileExistsError: NAME.unfinished is being written or refused, or NAME appeared in the meantime.
        OSError: the path cannot be written.
    """
    place = unfinished(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = _taken_over(place, leftover)
    if lock is None:
        place.mkdir() if folder else place.open("x").close()
        lock = _locked(place)
    try:
        yield place
    except BaseException:
        with suppress(OSError):
            if folder:
                place.rmdir()  # if it is empty
            elif not place.stat().st_size:
                place.unlink()
        raise
    finally:
        os.close(lock)
    flush_tree(place)
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        raise FileExistsError(errno.EEXIST, "it appeared in the meantime", str(path))
    place.replace(path)
    flush_names(path.parent)


def _taken_over(place: Path, leftover: str) -> int | None:
    """The lock of what an earlier process left and this one writes on; None where there is nothing (any more)."""
    if leftover == "refuse" or not place.exists():
        return None
    lock = _locked(place)
    if leftover == "keep":
        return lock
    os.close(lock)
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    return None


def _locked(place: Path) -> int:
    """A descriptor that holds the lock of a file or folder. Raises FileExistsError where another process has it."""
    descriptor = os.open(place, os.O_RDONLY)
    if not take_lock(descriptor):
        os.close(descriptor)
        raise FileExistsError(errno.EEXIST, "another process is writing it", str(place))
    return descriptor


def take_lock(opened: int | IO[str]) -> bool:
    """Take the lock of an opened file or folder if it is free; returns whether it was. It ends when that is closed."""
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_being_written(place: Path) -> bool:
    """Whether a process writes a NAME.unfinished now."""
    if not place.exists():
        return False
    try:
        os.close(_locked(place))
    except FileExistsError:
        return True
    return False


def unfinished(path: Path) -> Path:
    """The path of a file or folder while `progressive` writes it."""
    return path.with_name(f"{path.name}.unfinished")


def flush_to_disk(path: Path) -> None:
    """Make the content of a file survive a crash of the machine."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_names(folder: Path) -> None:
    """Make the names in a folder survive a crash of the machine, where we may read the folder and its disk can."""
    try:
        flush_to_disk(folder)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EINVAL, errno.ENOTSUP):
            raise


def flush_tree(path: Path) -> None:
    """Make a file, or a folder with all that is in it, survive a crash of the machine."""
    if not path.is_dir():
        flush_to_disk(path)
        return
    for inner in path.rglob("*"):
        (flush_names if inner.is_dir() else flush_to_disk)(inner)
    flush_names(path)
