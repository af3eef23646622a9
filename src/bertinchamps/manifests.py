"""manifest.json: size and digest of each file beside it, which show whether a file was cut or altered later."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from bertinchamps.durable import digest_of
from bertinchamps.errors import UserError

MANIFEST = "manifest.json"


def write_manifest(folder: Path) -> None:
    """Write the manifest of a folder's files."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    manifest = {str(file.relative_to(folder)): _facts(file) for file in files}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2), encoding="utf-8")


def problems(folder: Path) -> list[str]:
    """What is wrong with a checkpoint, each with the file's name; empty if all files are unchanged."""
    manifest_file = folder / MANIFEST
    try:
        manifest = json.loads(manifest_file.read_text(encoding="utf-8"))
        entries = {
            str(name): (int(facts["bytes"]), str(facts["blake2b"])) for name, facts in manifest.items()
        }
    except FileNotFoundError:
        return [f"{manifest_file} is missing"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return [f"{manifest_file} is damaged"]
    found = []
    for name, (size, digest) in entries.items():
        try:
            found += _file_problems(folder / name, size, digest)
        except (OSError, ValueError):  # no disk has such a name, or the file cannot be read
            found.append(f"{manifest_file} is damaged, or a file that it names cannot be read")
    return found


def _file_problems(file: Path, size: int, digest: str) -> list[str]:
    if not file.is_file():
        return [f"{file} is missing"]
    if file.stat().st_size != size:
        return [f"{file} is cut: {file.stat().st_size} bytes instead of {size}"]
    return [] if digest_of(file) == digest else [f"{file} was altered after it was written"]


def refuse_damaged(folder: Path) -> None:
    """Compare every file of a model with the manifest; a directory of another program has none.

    What was whole, and has the sizes and times that it had then, is not read again by the same process.

    Raises:
        UserError: a file is missing, cut or altered.
    """
    found = _problems_at(folder, _stamps(folder)) if (folder / MANIFEST).is_file() else ()
    if found:
        raise UserError(
            f"{'; '.join(found)}. The model is not read: restore the file from a copy, or, if you changed it on "
            f"purpose, delete {folder / MANIFEST}"
        )


@lru_cache(maxsize=64)
def _problems_at(folder: Path, stamps: frozenset[tuple[str, int, int]]) -> tuple[str, ...]:
    """The problems of a folder whose files have these sizes and times."""
    del stamps
    return tuple(problems(folder))


def _stamps(folder: Path) -> frozenset[tuple[str, int, int]]:
    """Name, size and time of each file in a folder."""
    files = [(file, file.stat()) for file in folder.rglob("*") if file.is_file()]
    return frozenset((str(file), facts.st_size, facts.st_mtime_ns) for file, facts in files)


def _facts(file: Path) -> dict[str, Any]:
    return {"bytes": file.stat().st_size, "blake2b": digest_of(file)}
