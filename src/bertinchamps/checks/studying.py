"""What can be wrong with a study: its plan, its folder, and the settings of every fine-tuning in its grid."""

from __future__ import annotations

from pathlib import Path

from bertinchamps.checks import finetuning
from bertinchamps.checks.rules import unwritable
from bertinchamps.command_line.mistakes import mistakes
from bertinchamps.command_line.readable import readable
from bertinchamps.errors import UserError
from bertinchamps.reporting.study_grid import Cell, Plan, cells_of, folder_of, read_plan, words_of
from bertinchamps.schemas import StudyConfig

OURS = ("run_dir", "runs_dir", "resume")  # the study sets them
MOST_CELLS_CHECKED = 64  # each takes tens of milliseconds; every run checks itself again


def problems(config: StudyConfig) -> list[str]:
    """Every mistake in a configuration, in the user's key names."""
    folder = folder_of(config)
    if any(path.exists() and not path.is_dir() for path in (folder, *folder.parents)):
        found = [f"folder={folder}: a file is in the way; name a directory"]
    else:
        found = unwritable("folder", str(folder), folder / "report" / "report.md")
    try:
        plan = read_plan(Path(config.plan).expanduser())
    except UserError as error:
        return [*found, *str(error).splitlines()]
    for part, keys in (("settings", plan.settings), ("grid", plan.grid)):
        found += [
            f"plan={config.plan}: {part}: {key}: the study sets it; folder= says where the runs are"
            for key in OURS
            if key in keys
        ]
    twice = plan.settings.keys() & plan.grid.keys()
    found += [f"plan={config.plan}: {key}: in settings and in grid" for key in sorted(twice)]
    return found or _mistakes_of_cells(plan)


def _mistakes_of_cells(plan: Plan) -> list[str]:
    settings = words_of(plan.settings)
    found = [
        f"finetune: {problem}"
        for cell in _checked(plan)
        for problem in mistakes(
            "finetune", readable([*settings, *cell.words], "finetune"), finetuning.problems
        )
    ]
    return list(dict.fromkeys(found))


def _checked(plan: Plan) -> list[Cell]:
    """All cells; of a large grid those that differ from the first in one value, which have each value once."""
    cells = cells_of(plan)
    if len(cells) <= MOST_CELLS_CHECKED:
        return cells
    first = cells[0].values
    return [cell for cell in cells if sum(cell.values[key] != first[key] for key in first) <= 1]
