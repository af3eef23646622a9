"""What can be wrong with the settings of `report`."""

from __future__ import annotations

from pathlib import Path

from bertinchamps.checks.rules import unwritable
from bertinchamps.schemas import ReportConfig


def problems(config: ReportConfig) -> list[str]:
    """Every mistake in a configuration, in the user's key names."""
    found = [
        f"runs: {run}: no such directory; name runs, or directories that hold some"
        for run in config.runs
        if not Path(run).expanduser().is_dir()
    ]
    if not config.runs and not Path(config.runs_dir).expanduser().is_dir():
        found.append(f"runs_dir={config.runs_dir}: no such directory; name the one that holds the runs")
    output = Path(config.output).expanduser()
    if any(path.exists() and not path.is_dir() for path in (output, *output.parents)):
        found.append(f"output={config.output}: a file is in the way; name a directory")
    else:
        found += unwritable("output", config.output, output / "report.md")
    return found
