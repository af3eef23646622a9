"""python -m bertinchamps.report: finished runs in, the paper's tables out, published figures beside ours."""

from __future__ import annotations

import sys

from bertinchamps import command_line

if __name__ == "__main__":
    command_line.run("report")
    sys.exit()

from pathlib import Path

from bertinchamps.console import tell
from bertinchamps.reporting.page import write_report
from bertinchamps.reporting.runs import above, gather
from bertinchamps.schemas import ReportConfig


def report(config: ReportConfig) -> None:
    """Gather the runs of one configuration, and write their report."""
    chosen = [Path(run).expanduser() for run in config.runs]
    runs_dir = Path(config.runs_dir).expanduser() if not chosen else above(chosen)
    gathered = gather(*(chosen or [runs_dir]))
    pages = write_report(gathered, runs_dir, Path(config.output).expanduser())
    tell(f"runs       {len(gathered.finetuning)} fine-tuning, {len(gathered.pretraining)} pretraining")
    for folder, reason in gathered.left_out:
        tell(f"left out   {folder}: {reason}")
    for page in pages:
        tell(f"report     {page}")
