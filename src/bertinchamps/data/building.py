"""Directories that take long to fill: whole under their name, resumable until then, never filled twice at once.

PARENT/NAME               whole
PARENT/.NAME.lock         locked by the process that fills it
PARENT/.NAME.unfinished   being filled, or left by a process that was interrupted; with a file PROGRESS in it, filling
                          is resumed
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bertinchamps.console import Tell
from bertinchamps.durable import flush_names, flush_tree, take_lock
from bertinchamps.errors import UserError

PROGRESS, MANIFEST = "progress.json", "manifest.json"
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
DAYS_KEPT = 30  # of a directory that was interrupted and never resumed


def build_once(folder: Path, fill: Callable[[Path], None], tell: Tell) -> None:
    """Fill a directory unless it exists; if another process is filling it, wait for that process.

    Args:
        folder: the final name of the directory.
        fill: writes into the directory that it is given; a file PROGRESS is in there if an earlier try wrote it.
        tell: reports waiting.

    Raises:
        UserError: the directory cannot be written: the disk is full, or the place is not ours.
    """
    if folder.is_dir():
        return
    with reporting(folder.parent):
        _remove_abandoned(folder.parent)
        build(folder, fill, tell)


def build(folder: Path, fill: Callable[[Path], None], tell: Tell) -> None:
    """Fill a directory that did not exist, or wait for the process that fills it; nothing beside it is looked at.

    Args:
        folder: the final name of the directory.
        fill: as of `build_once`.
        tell: reports waiting.
    """
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    with locked(folder, tell):
        if folder.is_dir():  # the process that held the lock has done it
            return
        try:
            if not (unfinished / PROGRESS).exists():
                shutil.rmtree(unfinished, ignore_errors=True)
                unfinished.mkdir(mode=0o700)
            fill(unfinished)
            keep_private(unfinished)
            flush_tree(unfinished)
            try:
                unfinished.rename(folder)
                flush_names(folder.parent)
            except OSError:
                if not folder.is_dir():  # otherwise a machine whose locks are not seen here was faster
                    raise
                shutil.rmtree(unfinished)
        finally:
            if unfinished.is_dir() and not (unfinished / PROGRESS).exists():
                shutil.rmtree(unfinished)


def keep_private(folder: Path) -> None:
    """Leave files to their owner, whatever becomes of the folder that hides them now."""
    for path in folder.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)


@contextmanager
def reporting(place: Path) -> Iterator[None]:
    """Report to the user why something in a place of the cache cannot be written.

    Raises:
        UserError: instead of the OSError. Errors of files elsewhere, which a source may meet, stay what they are.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM and not str(error.filename or "").startswith(str(place)):
            raise
        way = "blocks.cache_dir= names another place"
        if error.errno in NO_ROOM:
            way = f"make room and give the same command again, which goes on with what is done; or {way}"
        raise UserError(f"{place}: cannot be written to ({error.strerror}); {way}") from error


@contextmanager
def locked(name: Path, tell: Tell) -> Iterator[None]:
    """Hold the lock of something that is being built; the lock ends with the process at the latest.

    A file, because NFS tells other machines of locks of files, not of directories.

    Args:
        name: of what is being built; the lock is a hidden file beside it.
        tell: reports waiting.
    """
    file = _lock_of(name)
    while True:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if not take_lock(lock):
                tell(f"another process is building {name.name}; waiting for it")
                fcntl.flock(lock, fcntl.LOCK_EX)
            if _is(file, lock):
                try:
                    yield
                finally:
                    file.unlink(missing_ok=True)
                return
        finally:
            os.close(lock)


def _lock_of(name: Path) -> Path:
    return name.with_name(f".{name.name}.lock")


def _is(file: Path, lock: int) -> bool:
    """Whether the file of this name is still the one that was opened."""
    try:
        return os.path.samestat(file.stat(), os.fstat(lock))
    except FileNotFoundError:
        return False


def _remove_abandoned(parent: Path) -> None:
    """Remove directories that no process fills any more, unless they can be resumed and are not old."""
    oldest = time.time() - DAYS_KEPT * 86_400
    for leftover in [*parent.glob(".*.unfinished"), *parent.glob(".*.cluster-*")]:
        name = leftover.with_name(leftover.name[1:].rpartition(".")[0])
        try:
            progress = leftover / PROGRESS
            whole = leftover if ".cluster-" in leftover.name else progress if progress.exists() else None
            if whole is not None and whole.stat().st_mtime > oldest:
                continue
            lock = os.open(_lock_of(name), os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:  # finished or removed meanwhile, or another user's
            continue
        try:
            if take_lock(lock) and _is(_lock_of(name), lock):
                shutil.rmtree(leftover, ignore_errors=True)
                _lock_of(name).unlink(missing_ok=True)
        finally:
            os.close(lock)
