"""python -m bertinchamps.study: a grid of fine-tunings as one job that can be stopped; tables and figures out."""

from __future__ import annotations

import sys

from bertinchamps import command_line

if __name__ == "__main__":
    command_line.run("study")
    sys.exit()

import os
import signal
from multiprocessing.context import ForkServerContext
from pathlib import Path
from types import FrameType

from bertinchamps.checks import finetuning
from bertinchamps.command_line.forked import begin, context_of
from bertinchamps.command_line.mistakes import mistakes
from bertinchamps.command_line.readable import readable
from bertinchamps.console import tell
from bertinchamps.errors import Stopped, UserError
from bertinchamps.reporting.page import write_report
from bertinchamps.reporting.runs import gather
from bertinchamps.reporting.study_figures import plot_study
from bertinchamps.reporting.study_grid import Cell, Plan, cells_of, folder_of, read_plan
from bertinchamps.schemas import StudyConfig
from bertinchamps.signals import handled
from bertinchamps.training.run_files import SUMMARIES

MOST_CELLS_EXAMINED = 12  # each takes 0.2 s; every run checks itself again
# What a run would spend seconds on, once for all; the second is what transformers imports when a model is opened.
IMPORTED = ("bertinchamps.finetune", "transformers.generation.utils")
LAST_LINES = 3  # of the log of a run that failed, which are printed


def study(config: StudyConfig) -> None:
    """Run each cell of the grid that is not there yet, a process each, and write tables and figures of all.

    Raises:
        Stopped: by a signal; the same command goes on.
        UserError: settings of a cell are wrong, and nothing was run; or runs failed, and the tables have the others.
    """
    plan, folder = read_plan(Path(config.plan).expanduser()), folder_of(config)
    cells = cells_of(plan)
    if problems := mistakes_of_cells(plan):
        raise UserError("\n".join(problems))
    waiting = [cell for cell in cells if not _finished(folder, cell)]
    tell(f"study      {len(cells)} runs, {len(cells) - len(waiting)} of which are there, in {folder}")
    failed, context = [], context_of(IMPORTED)
    for number, cell in enumerate(waiting, start=1):
        tell(f"{number}/{len(waiting)}".ljust(11) + " ".join(cell.words))
        if not _run(context, folder, cell):
            failed.append(cell)
    if len(failed) < len(cells):
        runs_dir = folder / "runs"
        gathered = gather(runs_dir, dev=True)
        files = plot_study(cells, gathered.finetuning, folder / "report")
        pages = write_report(gathered, runs_dir, folder / "report")
        tell(
            "\n".join(
                [
                    *(f"report     {page}" for page in pages),
                    *(f"figure     {file}" for file in files if file.suffix == ".png"),
                ]
            )
        )
    if failed:
        named = "\n".join(f"{cell.log(folder)}: {' '.join(cell.words)}" for cell in failed)
        raise UserError(f"{len(failed)} of {len(cells)} runs failed; their logs say why:\n{named}")


def mistakes_of_cells(plan: Plan) -> list[str]:
    """What is wrong with the fine-tunings of a plan, each mistake once."""
    found = [
        problem
        for cell in _examined(plan)
        for problem in mistakes("finetune", readable(cell.all_words, "finetune"), finetuning.problems)
    ]
    return list(dict.fromkeys(found))


def _examined(plan: Plan) -> list[Cell]:
    """All cells; of a large grid those that differ from the first in one value, which have each value once."""
    cells = cells_of(plan)
    if len(cells) <= MOST_CELLS_EXAMINED:
        return cells
    first = cells[0].values
    return [cell for cell in cells if sum(cell.values[key] != first[key] for key in first) <= 1]


def _finished(folder: Path, cell: Cell) -> bool:
    return (cell.run(folder) / SUMMARIES["finetune"]).is_file()


def _run(context: ForkServerContext, folder: Path, cell: Cell) -> bool:
    """Whether the fine-tuning of a cell succeeded; it goes on where it was interrupted.

    Raises:
        Stopped: a signal came, which the run got, too.
    """
    log, run = cell.log(folder), cell.run(folder)
    log.parent.mkdir(parents=True, exist_ok=True)
    process = begin(context, "finetune", [*cell.all_words, f"run_dir={run}", "resume=auto"], log)
    stopping = 0

    def forward(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        del frame
        stopping = number
        # a terminal sends Ctrl-C to both
        if process.pid and (number != signal.SIGINT or os.getpgid(process.pid) != os.getpgrp()):
            os.kill(process.pid, number)

    with handled(forward):
        process.join()
    succeeded = process.exitcode == 0
    if stopping:
        raise Stopped(f"stopped in {run}; the same command goes on", stopping)
    if not succeeded:
        last = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:]
        tell("failed     " + "\n           ".join(last))
    return succeeded
