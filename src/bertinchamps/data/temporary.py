"""Files with text of documents that are needed for a while, in a folder of the cache that outlives no process for long.

A process that is killed leaves them. The next one that needs the folder removes what it finds there, and so does
`purge`. What a living process uses is locked.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bertinchamps.data.file_hashes import cache_folder
from bertinchamps.durable import take_lock
from bertinchamps.errors import UserError

NAME = "temporary"


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A new folder that its owner alone can read; it is removed at the end.

    Raises:
        UserError: there is no place for it.
    """
    place = cache_folder() / NAME
    try:
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        place.mkdir(exist_ok=True, mode=0o700)
        for left in leftovers():
            shutil.rmtree(left)
        with _alone(place):
            folder = Path(tempfile.mkdtemp(dir=place))
            lock = os.open(folder, os.O_RDONLY)
            take_lock(lock)
    except OSError as error:
        raise UserError(
            f"{place}: nothing can be written there ({error.strerror}); $BERTINCHAMPS_CACHE names another folder"
        ) from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def leftovers() -> list[Path]:
    """Folders of processes that are gone.

    Raises:
        OSError: they cannot be looked at.
    """
    place = cache_folder() / NAME
    if not place.is_dir():
        return []
    with _alone(place):
        return [folder for folder in sorted(place.iterdir()) if folder.is_dir() and not _is_used(folder)]


def _is_used(folder: Path) -> bool:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        return not take_lock(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Wait until no other process begins a folder: one that is not locked yet looks as if nobody used it."""
    descriptor = os.open(place, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
