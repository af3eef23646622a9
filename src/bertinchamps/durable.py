"""Small files that are there whole or not at all, whatever happens to the process or the machine."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bertinchamps.errors import UserError


def write_file(file: Path, text: str) -> None:
    """Write a file beside its place, onto the disk, and move it to its name.

    Raises:
        OSError: the disk is full, or the file cannot be written for another reason.
    """
    unfinished = file.with_name(f".{file.name}.unfinished")
    unfinished.write_text(text, encoding="utf-8")
    flush_to_disk(unfinished)
    unfinished.replace(file)


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Write JSON, indented for people, as `write_file` does."""
    write_file(file, json.dumps(content, indent=2, ensure_ascii=False))


def read_json(file: Path, *keys: str) -> dict[str, Any]:
    """A JSON object that this program wrote.

    Args:
        file: its path.
        keys: that it must have; "spent.steps" is one inside another.

    Raises:
        UserError: it is missing or damaged.
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


def flush_to_disk(path: Path) -> None:
    """Make a file, or the names in a directory, survive a crash of the machine."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
