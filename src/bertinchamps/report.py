"""python -m bertinchamps.report: finished runs in, the paper's tables out, published figures beside ours."""

from __future__ import annotations

from pathlib import Path

from bertinchamps import command_line
from bertinchamps.console import tell
from bertinchamps.schemas import ReportConfig


def report(config: ReportConfig) -> None:
    """Gather the runs of one configuration, and write their report."""
    from bertinchamps.reporting.page import write_report
    from bertinchamps.reporting.runs import gather

    runs_dir = Path(config.runs_dir).expanduser()
    gathered = gather(runs_dir)
    page = write_report(gathered, runs_dir, Path(config.output).expanduser())
    tell(f"runs       {len(gathered.finetuning)} fine-tuning, {len(gathered.pretraining)} pretraining")
    for folder, reason in gathered.left_out:
        tell(f"left out   {folder}: {reason}")
    tell(f"report     {page}")


def problems(config: ReportConfig) -> list[str]:
    """Every mistake in a configuration, in the user's key names."""
    found = []
    if not Path(config.runs_dir).expanduser().is_dir():
        found.append(f"runs_dir={config.runs_dir}: no such directory; name the one that holds the runs")
    output = Path(config.output).expanduser()
    if any(path.exists() and not path.is_dir() for path in (output, *output.parents)):
        found.append(f"output={config.output}: a file is in the way; name a directory")
    return found


def main() -> None:
    """Entry point of `python -m bertinchamps.report`."""
    command_line.run("report", report, problems)


if __name__ == "__main__":
    main()
