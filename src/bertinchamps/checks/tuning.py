"""What can be wrong with a search's plan and folder; the settings of its trials are examined in `tune.py`."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from bertinchamps.checks.rules import unusable_folder
from bertinchamps.errors import UserError
from bertinchamps.reporting.search_space import JOURNAL, differing, folder_of, read_search, searches_of
from bertinchamps.schemas import TuneConfig

OURS = ("run_dir", "runs_dir", "resume", "selection.score_test")  # the search sets them


def problems(config: TuneConfig) -> list[str]:
    """Every mistake in a configuration, in the user's key names."""
    found = []
    if find_spec("optuna") is None:
        found.append("tune: needs the library optuna; pip install 'bertinchamps[tuning]'")
    if config.trials < 1:
        found.append(f"trials={config.trials}: must be at least 1")
    found += unusable_folder("folder", folder_of(config), JOURNAL)
    try:
        plan = read_search(Path(config.plan).expanduser())
        others = {place: differing(own, place) for own, place in searches_of(plan, folder_of(config))}
    except UserError as error:
        return [*found, *str(error).splitlines()]
    found += [
        f"folder={place}: the trials there are of another plan, and trials of two plans do not compare "
        f"({', '.join(other)}); give the plan as it was, or another folder="
        for place, other in others.items()
        if other
    ]
    keys = (*plan.settings, *plan.space, *plan.each)
    return [*found, *(f"plan={config.plan}: {key}: the search sets it" for key in OURS if key in keys)]
