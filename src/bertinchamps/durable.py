"""Small files that are there whole or not at all, whatever happens to the process or the machine."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


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


def flush_to_disk(path: Path) -> None:
    """Make a file, or the names in a directory, survive a crash of the machine."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
