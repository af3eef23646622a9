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
