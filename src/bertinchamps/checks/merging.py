"""What can be wrong with the settings of `merge`."""

from __future__ import annotations

from pathlib import Path

from bertinchamps.checks.rules import taken, unwritable
from bertinchamps.errors import UserError
from bertinchamps.schemas import MergeConfig
from bertinchamps.tasks.saved_model import model_folder


def problems(config: MergeConfig) -> list[str]:
    """Every mistake in a configuration, in the user's key names."""
    output = Path(config.output).expanduser()
    found = (
        [taken("output", config.output)] if output.exists() else unwritable("output", config.output, output)
    )
    try:
        model_folder(config)
    except UserError as error:
        found.append(str(error))
    return found
