"""What can be wrong with a search's plan and folder; the settings of its trials are examined in `tune.py`."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from bertinchamps.checks.rules import unwritable
from bertinchamps.errors import UserError
from bertinchamps.reporting.search_space import read_search
from bertinchamps.schemas import TuneConfig

OURS = ("run_dir", "runs_dir", "resume", "selection.score_test")  # the search sets them


def problems(config: TuneConfig) -> list[str]:
    """Every mistake in a configuration, in the user's key names."""
    found = []
    if find_spec("optuna") is None:
        found.append("tune: needs the library optuna; pip install 'bertinchamps[tuning]'")
    if config.trials < 1:
        found.append(f"trials={config.trials}: must be at least 1")
    folder = folder_of(config)
    if any(path.exists() and not path.is_dir() for path in (folder, *folder.parents)):
        found.append(f"folder={folder}: a file is in the way; name a directory")
    else:
        found += unwritable("folder", str(folder), folder / "trials.log")
    try:
        plan = read_search(Path(config.plan).expanduser())
    except UserError as error:
        return [*found, *str(error).splitlines()]
    keys = (*plan.settings, *plan.space)
    return [*found, *(f"plan={config.plan}: {key}: the search sets it" for key in OURS if key in keys)]


def folder_of(config: TuneConfig) -> Path:
    """Where the search is."""
    return Path(config.folder).expanduser() if config.folder else Path("tuning") / Path(config.plan).stem
