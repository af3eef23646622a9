"""Content hashes of the user's files, cached, since hashing a large corpus takes minutes.

A hash is reused only for the same path with the same size, times and inode. The cache is one JSON
file; if it is lost or damaged, files are hashed again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bertinchamps.errors import UserError
from bertinchamps.textfiles.texts import Entry, files_of

CHUNK = 1 << 20  # bytes
WHOLE = 1 << 32  # bytes of files that are hashed as a whole where it has to be quick: some ten seconds, once
PIECES, LEAST_PIECES = 8192, 64  # of larger ones: of all files, and of each
PIECE = 4096  # bytes
NAME = "file_hashes.json"


def cache_folder() -> Path:
    """`$BERTINCHAMPS_CACHE`, or `~/.cache/bertinchamps`. It may not exist yet."""
    chosen = os.environ.get("BERTINCHAMPS_CACHE")
    return Path(chosen).expanduser() if chosen else Path("~/.cache/bertinchamps").expanduser()


def fingerprints_of(entries: Iterable[str]) -> list[dict[str, object]]:
    """For each entry (`textfiles/texts.py`) what changes when its content does, JSON-able and without its place.

    Raises:
        UserError: a file cannot be read.
    """
    return [{"part": Entry.of(entry).part, "blake2b": content_hashes(files_of(entry))} for entry in entries]


def content_hashes(paths: Sequence[Path], folder: Path | None = None) -> list[str]:
    """The blake2b of each file's bytes, as 32 hexadecimal digits, from the cache where the file is unchanged.

    Args:
        paths: files, in the order of the answer.
        folder: where the cache is; `cache_folder()` by default.

    Raises:
        UserError: a file cannot be read.
    """
    cache = (cache_folder() if folder is None else folder) / NAME
    known, fresh, answer = _load(cache), {}, []
    for path in paths:
        key, state = str(path.absolute()), _state(path)
        entry = known.get(key)
        if not (isinstance(entry, list) and entry[:-1] == state and isinstance(entry[-1], str)):
            entry = [*state, _hash(path)]
            if _state(path) == state:  # a file that is being written is hashed again next time
                fresh[key] = entry
        answer.append(str(entry[-1]))
    if fresh:
        _save(cache, _load(cache) | fresh)  # loaded again: another run may have added its own meanwhile
    return answer


def quick_hashes(paths: Sequence[Path], folder: Path | None = None) -> list[str]:
    """Hashes of each file's content: of all of it, or, of files that take long to read, of samples.

    Files of up to WHOLE bytes together are hashed as a whole. Of larger ones the beginning, the end, and pieces in
    between are, so that an altered stretch as long as the way from one piece to the next is noticed.

    Args:
        paths: files, in the order of the answer.
        folder: as of `content_hashes`.

    Raises:
        UserError: a file cannot be read.
    """
    if sum(_state(path)[0] for path in paths) <= WHOLE:
        return content_hashes(paths, folder)
    pieces = max(LEAST_PIECES, PIECES // len(paths))
    return [_hash_of_pieces(path, pieces) for path in paths]


def _hash_of_pieces(path: Path, pieces: int) -> str:
    digest = hashlib.blake2b(digest_size=16)
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            digest.update(file.read(CHUNK))
            for number in range(1, pieces):
                file.seek(number * size // pieces)
                digest.update(file.read(PIECE))
            file.seek(max(0, size - CHUNK))
            digest.update(file.read(CHUNK))
            return digest.hexdigest()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error


def _state(path: Path) -> list[int]:
    try:
        facts = path.stat()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    return [facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino]


def _hash(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    return digest.hexdigest()


def _load(cache: Path) -> dict[str, Any]:
    try:
        loaded = json.loads(cache.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return loaded if isinstance(loaded, dict) else {}


def _save(cache: Path, entries: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # a read-only or full disk: the hashes are computed again next time
        cache.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, name = tempfile.mkstemp(dir=cache.parent, prefix=NAME)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(entries, file)
            Path(name).replace(cache)
        except OSError:
            Path(name).unlink()
            raise
