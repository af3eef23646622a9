"""export.json, by which an exported directory is known from a run, a checkpoint or any other folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bertinchamps.durable import read_json
from bertinchamps.errors import UserError

FILE = "export.json"


def write_marker(place: Path, form: Mapping[str, Any]) -> None:
    """Write the file.

    Args:
        place: the exported directory.
        form: name and settings of the format.
    """
    content = {"format": dict(form), "bertinchamps": package_version()}
    (place / FILE).write_text(json.dumps(content, indent=2), encoding="utf-8")


def read_marker(folder: Path) -> dict[str, Any]:
    """Name and settings of the format.

    Raises:
        UserError: the directory was not exported, or the file is damaged.
    """
    if not (folder / FILE).is_file():
        raise UserError(
            f"{folder}: is not an exported model (no {FILE}); python -m bertinchamps.export makes one"
        )
    return dict(read_json(folder / FILE, "format.name")["format"])


def package_version() -> str:
    """Of bertinchamps."""
    try:
        return version("bertinchamps")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "not installed"
