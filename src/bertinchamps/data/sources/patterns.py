"""Which files an entry of `data.files` stands for: a file, a folder or a pattern."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

from bertinchamps.data.sources.readers import KNOWN, format_of
from bertinchamps.textfiles.patterns import matching


def matches(pattern: str) -> list[Path]:
    """The files that one entry of the list stands for, sorted."""
    found = (_inside(path) if path.is_dir() else [path] for path in matching(pattern))
    return list(itertools.chain.from_iterable(found))


def _inside(folder: Path) -> list[Path]:
    paths = (Path(root) / name for root, _, names in os.walk(folder) for name in names)
    visible = (
        path for path in paths if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    return sorted(path for path in visible if format_of(path) is not None)


def no_match(key: str, pattern: str) -> str:
    """The message for an entry that stands for no file.

    Args:
        key: of the node `data`.
        pattern: the entry.
    """
    if Path(pattern).expanduser().is_dir():
        return f"data.{key}: {pattern}: no file of a known kind in this folder; {KNOWN}"
    return f"data.{key}: {pattern}: no such file (looked from {Path.cwd()}; a pattern may hold * and **)"
