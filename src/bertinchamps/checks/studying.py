"""What can be wrong with a study's plan and folder; the settings of its fine-tunings are examined in `study.py`."""

from __future__ import annotations

from pathlib import Path

from bertinchamps.checks.rules import unusable_folder
from bertinchamps.errors import UserError
from bertinchamps.reporting.study_grid import folder_of, read_plan
from bertinchamps.schemas import StudyConfig

OURS = ("run_dir", "runs_dir", "resume")  # the study sets them


def problems(config: StudyConfig) -> list[str]:
    """Every mistake in a configuration, in the user's key names."""
    found = unusable_folder("folder", folder_of(config), "report/report.md")
    try:
        plan = read_plan(Path(config.plan).expanduser())
    except UserError as error:
        return [*found, *str(error).splitlines()]
    parts = {"settings": plan.settings, "grid": plan.grid}
    parts |= {f"where: {condition}": extra for condition, extra in plan.where.items()}
    for part, keys in parts.items():
        found += [
            f"plan={config.plan}: {part}: {key}: the study sets it; folder= says where the runs are"
            for key in OURS
            if key in keys
        ]
    twice = plan.settings.keys() & plan.grid.keys()
    found += [f"plan={config.plan}: {key}: in settings and in grid" for key in sorted(twice)]
    found += [
        f"plan={config.plan}: where: {condition}: {key}: in grid, too"
        for condition, extra in plan.where.items()
        for key in sorted(extra.keys() & plan.grid.keys())
    ]
    return found
