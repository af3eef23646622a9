"""What can be wrong with the settings of `demo_notes`."""

from __future__ import annotations

from pathlib import Path

from bertinchamps.checks.rules import broken, taken, unwritable
from bertinchamps.durable import unfinished
from bertinchamps.schemas import DemoNotesConfig
from bertinchamps.tasks.readers.demo import SHARE


def problems(config: DemoNotesConfig) -> list[str]:
    """Every mistake in a configuration, in the user's key names."""
    folder = Path(config.folder).expanduser()
    there = next((path for path in (folder, unfinished(folder)) if path.exists()), None)
    return [
        *([taken("folder", str(there))] if there else unwritable("folder", config.folder, folder)),
        *broken(
            ("notes", config.notes, config.notes >= 1, "at least 1"),
            ("annotated", config.annotated, config.annotated >= SHARE, f"at least {SHARE}, for three splits"),
            ("letters", config.letters, config.letters >= 1, "at least 1"),
        ),
    ]
