"""Messages that the checks of several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bertinchamps.durable import why_not_writable

Rule = tuple[str, Any, bool, str]  # key, value, whether it is right, remedy


def broken(*rules: Rule) -> list[str]:
    """The rules that do not hold, as messages."""
    return [f"{key}={value}: {remedy}" for key, value, right, remedy in rules if not right]


def taken(key: str, value: str) -> str:
    """The message for a path that holds something already."""
    return f"{key}={value}: is there already, and was not touched; choose another name"


def unusable_folder(key: str, folder: Path, file: str) -> list[str]:
    """Why a folder cannot be written into; nothing where it can.

    Args:
        key: of the setting that names the folder.
        folder: need not exist yet.
        file: in it, which is to be written.
    """
    if any(path.exists() and not path.is_dir() for path in (folder, *folder.parents)):
        return [f"{key}={folder}: a file is in the way; name a directory"]
    return unwritable(key, str(folder), folder / file)


def unwritable(key: str, value: str, file: Path) -> list[str]:
    """Why a setting's file cannot be written; nothing where it can.

    Args:
        key: of the setting.
        value: as the user gave it.
        file: what is to be written; its folders need not exist yet.
    """
    reason = why_not_writable(file)
    if reason is None:
        return []
    return [f"{key}={value}: cannot be written there ({reason}); name another place"]
