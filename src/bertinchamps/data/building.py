"""Directories that take long to fill: whole under their name, resumable until then, never filled twice at once.

PARENT/NAME               whole
PARENT/.NAME.unfinished   being filled, and locked by the process that does it; or left by one that was interrupted,
                          if it holds a file PROGRESS, and then filling goes on there
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRESS = "progress.json"
DAYS_KEPT = 30  # what was interrupted and never gone on with
Tell = Callable[[str], None]


def build_once(folder: Path, fill: Callable[[Path], None], tell: Tell) -> None:
    """Fill a directory unless it exists, or wait for the process that does.

    Args:
        folder: its final name.
        fill: writes into the directory it is given, which holds PROGRESS where an earlier try got so far.
        tell: is told of waiting.
    """
    if folder.is_dir():
        return
    _remove_abandoned(folder.parent)
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    with locked(unfinished, folder, tell):
        if folder.is_dir():  # the process that held the lock has done it
            shutil.rmtree(unfinished, ignore_errors=True)
            return
        try:
            if not (unfinished / PROGRESS).exists():
                _empty(unfinished)
            fill(unfinished)
            try:
                unfinished.rename(folder)
            except OSError:
                if not folder.is_dir():  # otherwise a machine whose locks are not seen here was faster
                    raise
                shutil.rmtree(unfinished)
        finally:
            if unfinished.is_dir() and not (unfinished / PROGRESS).exists():
                shutil.rmtree(unfinished)


@contextmanager
def locked(folder: Path, final: Path, tell: Tell) -> Iterator[None]:
    """Make a directory, and hold its lock, which ends with the process at the latest.

    Args:
        folder: where work is done that leads to `final`; whoever holds the lock may remove it then.
        final: what other processes wait for.
        tell: is told of waiting.
    """
    while True:
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.mkdir(exist_ok=True, mode=0o700)
        lock = os.open(folder, os.O_RDONLY)
        try:
            if not _take(lock):
                tell(f"another process is building {final.name}; waiting for it")
                fcntl.flock(lock, fcntl.LOCK_EX)
            if _is(folder, lock) or final.is_dir():
                yield
                return
        finally:
            os.close(lock)


def _take(lock: int) -> bool:
    """Take the lock if it is free; whether it was."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is(folder: Path, lock: int) -> bool:
    """Whether the directory of this name is still the one that was opened."""
    try:
        return os.path.samestat(folder.stat(), os.fstat(lock))
    except FileNotFoundError:
        return False


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _remove_abandoned(parent: Path) -> None:
    """Remove what nobody fills any more, unless it can be gone on with and is not old."""
    for leftover in parent.glob(".*.unfinished"):
        progress = leftover / PROGRESS
        try:
            if progress.exists() and time.time() - progress.stat().st_mtime < DAYS_KEPT * 86_400:
                continue
            lock = os.open(leftover, os.O_RDONLY)
        except FileNotFoundError:  # finished or removed meanwhile
            continue
        try:
            if _take(lock):
                shutil.rmtree(leftover, ignore_errors=True)
        finally:
            os.close(lock)
