"""What of an exported directory may be sent: its own files, unchanged but for the card, and nothing beside them."""

from __future__ import annotations

import json
from pathlib import Path

from bertinchamps.exporting.card import FILE as CARD
from bertinchamps.exporting.marker import read_marker
from bertinchamps.manifests import MANIFEST, problems

SHOWN = 5


def sendable(folder: Path) -> tuple[list[Path], list[str]]:
    """The files of an export, and why they cannot be sent, in the user's key names.

    Args:
        folder: that `export` wrote.

    Raises:
        UserError: it is something else, such as a run, a checkpoint, or predictions.
    """
    read_marker(folder)
    found = [problem for problem in problems(folder) if not problem.startswith(str(folder / CARD))]
    if found:
        return [], [f"model={folder}: {'; '.join(found)}; export the model again"]
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    own = {folder / name for name in manifest} | {folder / CARD}
    there = {file for file in folder.rglob("*") if file.is_symlink() or not file.is_dir()}
    others = sorted(str(file.relative_to(folder)) for file in there - own - {folder / MANIFEST})
    others += sorted(str(file.relative_to(folder)) for file in own & there if file.is_symlink())
    if others:
        more = ", …" if len(others) > SHOWN else ""
        return [], [
            f"model={folder}: {', '.join(others[:SHOWN])}{more}: not written by export, and nothing of the "
            "kind is sent; move it elsewhere"
        ]
    return sorted(own & there), []
