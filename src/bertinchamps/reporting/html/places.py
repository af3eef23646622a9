"""Paths as they may be passed on: without the names of users and without their homes."""

from __future__ import annotations

import getpass
import re
from functools import cache
from pathlib import Path
from typing import Any

HOMES = re.compile(r"/(?:home|Users|export/home)/[^/\s'\",:;\]\[()=]+|/root(?![\w.-])")
NOT_PERSONAL = ("root", "user", "runner", "data", "home", "work", "tmp")
SHORTEST_NAME = 3  # shorter ones are parts of other words


def impersonal(text: str) -> str:
    """A text whose paths begin with ~ in place of a home, with … in place of the user's name as a folder."""
    own = _own_home()
    if own is not None:
        text = text.replace(own, "~")
    text = HOMES.sub("~", text)
    name = _own_name()
    return text if name is None else re.sub(rf"(?<=/){re.escape(name)}(?=/|$|\W)", "…", text)


def impersonal_all(value: Any) -> Any:
    """The same for all texts in lists and mappings."""
    if isinstance(value, str):
        return impersonal(value)
    if isinstance(value, dict):
        return {key: impersonal_all(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [impersonal_all(each) for each in value]
    return value


@cache
def _own_home() -> str | None:
    try:
        home = str(Path.home())
    except RuntimeError:  # no home is known
        return None
    return home if len(home) > SHORTEST_NAME and home.count("/") > 1 else None


@cache
def _own_name() -> str | None:
    try:
        name = getpass.getuser()
    except (OSError, KeyError, ImportError):  # no such user, as in a container
        return None
    return None if len(name) < SHORTEST_NAME or name in NOT_PERSONAL else name
