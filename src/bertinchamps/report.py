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
from bertinchamps.reporting.runs import gather
from bertinchamps.schemas import ReportConfig


def report(config: ReportConfig) -> None:
    """Gather the runs of one configuration, and write their report."""
    runs_dir = Path(config.runs_dir).expanduser()
    gathered = gather(runs_dir)
    page = write_report(gathered, runs_dir, Path(config.output).expanduser())
    tell(f"runs       {len(gathered.finetuning)} fine-tuning, {len(gathered.pretraining)} pretraining")
    for folder, reason in gathered.left_out:
        tell(f"left out   {folder}: {reason}")
    tell(f"report     {page}")
