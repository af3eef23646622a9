"""What stands on the page of several runs: their curves in one chart each, and the tables of the report."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bertinchamps.reporting.html.curves import curves_of
from bertinchamps.reporting.html.places import impersonal, impersonal_all
from bertinchamps.reporting.html.scores import Grid
from bertinchamps.reporting.runs import FinetuningRun, Gathered, PretrainingRun
from bertinchamps.reporting.tables import Table

POINTS = 300  # of a curve
MOST_DRAWN = 24  # runs with curves, the latest ones


def values_of(
    gathered: Gathered,
    tables: Sequence[tuple[str, Sequence[Table]]],
    figures: Sequence[bytes],
    beginning: Path,
) -> dict[str, Any]:
    """The values of the template `several.html.jinja`.

    Args:
        gathered: the runs.
        tables: title of each section → its tables.
        figures: of the scores, as SVG.
        beginning: the directory with all runs, which their names leave out.
    """
    runs: list[PretrainingRun | FinetuningRun] = [*gathered.pretraining, *gathered.finetuning]
    folders = [run.folder for run in runs]
    drawn = sorted(folders, key=_changed, reverse=True)[:MOST_DRAWN]
    return {
        "title": f"{len(folders)} runs",
        "counts": (len(gathered.finetuning), len(gathered.pretraining), len(gathered.left_out)),
        "data": {
            "runs": [
                {"name": name_of(folder, beginning), "curves": curves_of(folder, POINTS)}
                for folder in sorted(drawn)
            ]
        },
        "not_drawn": len(folders) - len(drawn),
        "tables": [(title, [_grid(table) for table in own]) for title, own in tables],
        "figures": [base64.b64encode(figure).decode() for figure in figures],
        "left_out": [(name_of(run.folder, beginning), impersonal(run.reason)) for run in gathered.left_out],
        "commands": [(name_of(run.folder, beginning), impersonal(run.command)) for run in runs],
    }


def name_of(folder: Path, beginning: Path) -> str:
    """A run's name beside others."""
    return impersonal(str(folder.relative_to(beginning))) if folder.is_relative_to(beginning) else folder.name


def _grid(table: Table) -> Grid:
    rows = [[str(cell) for cell in row] for row in table.shown.itertuples(index=False, name=None)]
    return Grid(
        table.title, [str(column) for column in table.shown.columns], impersonal_all(rows), notes=table.notes
    )


def _changed(folder: Path) -> float:
    file = folder / "metrics.jsonl"
    return file.stat().st_mtime if file.is_file() else 0.0
