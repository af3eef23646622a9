"""Writes the report's directory: report.md, a CSV file for each table, and the figure."""

from __future__ import annotations

import csv
import html
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from bertinchamps.reporting.costs import cost_table, pretraining_table
from bertinchamps.reporting.figure import plot_scores
from bertinchamps.reporting.published import published
from bertinchamps.reporting.runs import FinetuningRun, Gathered, PretrainingRun
from bertinchamps.reporting.scores import score_tables
from bertinchamps.reporting.sections import Section, sections
from bertinchamps.reporting.tables import Table


def write_report(gathered: Gathered, runs_dir: Path, output: Path) -> Path:
    """Write everything, over what an earlier report left.

    Args:
        gathered: all runs, of which at least one is finished.
        runs_dir: where they were found.
        output: the report's directory.

    Returns:
        The page, report.md.
    """
    output.mkdir(parents=True, exist_ok=True)
    found = sections(gathered.finetuning, published())
    lines = _introduction(gathered, runs_dir)
    if found:
        plot_scores(found, output / "scores")
        lines += ["![Test scores: each seed, mean and standard deviation](scores.png)", ""]
    for section in found:
        lines += _section_lines(section, output)
    if found:
        lines += ["## Cost", "", *_table_lines(cost_table(found), output)]
    if gathered.pretraining:
        names = [_name(run.folder, runs_dir) for run in gathered.pretraining]
        lines += ["## Pretraining", "", *_table_lines(pretraining_table(gathered.pretraining, names), output)]
    if gathered.left_out:
        lines += ["## Left out", ""]
        lines += [f"- `{_name(folder, runs_dir)}`: {reason}" for folder, reason in gathered.left_out] + [""]
    if found:
        lines += ["## Published figures", "", *(f"- {note}" for note in published().notes), ""]
    lines += _command_lines([*gathered.pretraining, *gathered.finetuning], runs_dir)
    page = output / "report.md"
    page.write_text("\n".join(lines), encoding="utf-8")
    return page


def _introduction(gathered: Gathered, runs_dir: Path) -> list[str]:
    return [
        "# Report",
        "",
        f"{len(gathered.finetuning)} fine-tuning runs and {len(gathered.pretraining)} pretraining runs below "
        f"`{runs_dir}`; {len(gathered.left_out)} left out.",
        "",
        "Scores are those of the test split. Several seeds give mean ± sample standard deviation, one seed gives its "
        "score. Each protocol has tables of its own: numbers of different tables do not compare. The CSV files hold "
        "unrounded shares of 1, the dev split among them.",
        "",
    ]


def _section_lines(section: Section, output: Path) -> Iterator[str]:
    yield from (f"## {_shown(section.title)}", "")
    for note in section.notes:
        yield from (_shown(note), "")
    for table in score_tables(section):
        yield from _table_lines(table, output)


def _table_lines(table: Table, output: Path) -> Iterator[str]:
    """The table as Markdown; its CSV file is written on the way."""
    file = output / (re.sub(r"[^\w.-]+", "_", table.file_stem) + ".csv")
    _write_csv(table, file)
    yield from (f"### {_shown(table.title)}", "")
    for row in (table.header, ["---"] * len(table.header), *table.rows):
        yield "| " + " | ".join(_shown(cell).replace("|", "\\|") for cell in row) + " |"
    yield ""
    for note in table.notes:
        yield from (_shown(note), "")
    yield from (f"[{file.name}]({file.name})", "")


def _write_csv(table: Table, file: Path) -> None:
    columns = list(dict.fromkeys(column for record in table.records for column in record))
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        writer.writerows(table.records)


def _command_lines(runs: Sequence[FinetuningRun | PretrainingRun], runs_dir: Path) -> list[str]:
    lines = ["## Commands", "", "```bash"]
    for run in runs:
        lines += [f"# {_name(run.folder, runs_dir)}", _one_line(run.command)]
    return [*lines, "```", ""]


def _name(folder: Path, runs_dir: Path) -> str:
    return str(folder.relative_to(runs_dir))


def _shown(text: str) -> str:
    """What a file or a user named, as text: no HTML and no link of Markdown, whatever a label holds."""
    return html.escape(_one_line(text), quote=False).replace("[", "\\[")


def _one_line(text: str) -> str:
    return " ".join(text.split())
