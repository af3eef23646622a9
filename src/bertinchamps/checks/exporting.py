"""What can be wrong with the settings of `export`."""

from __future__ import annotations

from pathlib import Path

from bertinchamps.checks.rules import taken, unwritable
from bertinchamps.errors import UserError
from bertinchamps.exporting import exporters
from bertinchamps.exporting.source import open_source
from bertinchamps.schemas import ExportConfig


def problems(config: ExportConfig) -> list[str]:
    """Every mistake in a configuration, in the user's key names."""
    output = Path(config.output).expanduser()
    found = (
        [taken("output", config.output)] if output.exists() else unwritable("output", config.output, output)
    )
    settings = dict(config.format)
    name = settings.pop("name", None)
    wrong = exporters.problems(name, settings)
    try:
        source = open_source(config)
    except UserError as error:
        return [*found, *wrong, str(error)]
    return [*found, *(wrong or exporters.build(str(name), **settings).problems(source))]
