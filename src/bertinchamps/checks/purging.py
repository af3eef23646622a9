"""What can be wrong with the settings of `purge`."""

from __future__ import annotations

from pathlib import Path

from bertinchamps.schemas import PurgeConfig

KEPT = ("model", "record")


def problems(config: PurgeConfig) -> list[str]:
    """Every mistake in a configuration, in the user's key names."""
    found = [f"keep={config.keep}: must be one of {', '.join(KEPT)}"] if config.keep not in KEPT else []
    if not config.runs:
        found.append("runs: none given; name directories of runs, such as runs/mine")
    for run in config.runs:
        folder = Path(run).expanduser()
        if not folder.is_dir():
            found.append(f"runs: {run}: no such directory")
        elif not all((folder / name).is_file() for name in ("run.json", "config.yaml")):
            found.append(
                f"runs: {run}: no run (it has no run.json or no config.yaml), so nothing in it is touched"
            )
    return found
