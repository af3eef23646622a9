"""Writes the report's directory: report.html, report.md, a CSV file for each table, and the figure."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import TYPE_CHECKING

from bertinchamps.pages import render
from bertinchamps.reporting.costs import cost_table, pretraining_table
from bertinchamps.reporting.differences import difference_tables
from bertinchamps.reporting.efficiency import efficiency_table
from bertinchamps.reporting.figure import drawn_apart, plot_scores
from bertinchamps.reporting.html.page import FILE, write_page
from bertinchamps.reporting.html.several import values_of
from bertinchamps.reporting.published import published
from bertinchamps.reporting.runs import Gathered
from bertinchamps.reporting.scores import score_tables
from bertinchamps.reporting.sections import sections
from bertinchamps.reporting.tables import Table

if TYPE_CHECKING:
    from markupsafe import Markup


def write_report(gathered: Gathered, runs_dir: Path, output: Path) -> list[Path]:
    """Write the page, the tables and the figure, over those of an earlier report.

    Args:
        gathered: all runs, of which at least one is finished.
        runs_dir: the directory in which they were found.
        output: the report's directory.

    Returns:
        The pages, report.html and report.md.
    """
    output.mkdir(parents=True, exist_ok=True)
    found = sections(gathered.finetuning, published())
    if found:
        plot_scores(found, output / "scores")
    tables = [[*score_tables(section), *difference_tables(section)] for section in found]
    costs, efficiency = (cost_table(found), efficiency_table(found)) if found else (None, None)
    names = [_name(run.folder, runs_dir) for run in gathered.pretraining]
    pretraining = pretraining_table(gathered.pretraining, names) if names else None
    for table in [*(table for of_section in tables for table in of_section), costs, efficiency, pretraining]:
        if table is not None:
            table.records.to_csv(output / _file_name(table), index=False, lineterminator="\r\n")
    page = output / "report.md"
    content = render(
        "reporting/report.md.jinja",
        gathered=gathered,
        runs_dir=runs_dir,
        sections=list(zip(found, tables, strict=True)),
        costs=costs,
        efficiency=efficiency,
        pretraining=pretraining,
        published_notes=published().notes,
        text=_text,
        cell=_cell,
        code=_code,
        line=_line,
        file_name=_file_name,
        name=lambda folder: _name(folder, runs_dir),
    )
    page.write_text(content, encoding="utf-8")
    titled = [(section.title, own) for section, own in zip(found, tables, strict=True)]
    costs_of_all = [table for table in (costs, efficiency, pretraining) if table is not None]
    values = values_of(
        gathered,
        [*titled, ("Cost", costs_of_all)],
        drawn_apart(found),
        runs_dir,
    )
    write_page(output / FILE, "reporting/html/several.html.jinja", values)
    return [output / FILE, page]


def _file_name(table: Table) -> str:
    return re.sub(r"[^\w.-]+", "_", table.file_stem) + ".csv"


def _name(folder: Path, runs_dir: Path) -> str:
    return str(folder.relative_to(runs_dir))


def _text(words: str) -> Markup:
    """Words of a file or a user as plain text: a label cannot add HTML or a link to the page."""
    from markupsafe import Markup

    return Markup(html.escape(_one_line(words), quote=False).replace("[", "\\["))


def _cell(words: str) -> Markup:
    """Plain text in a cell of a table."""
    return _text(words).replace("|", "\\|")


def _code(words: object) -> Markup:
    """Code within a sentence, in which Markdown interprets nothing but the backtick."""
    return _line(str(words).replace("`", "'"))


def _line(words: str) -> Markup:
    """One line between fences, where Markdown interprets nothing."""
    from markupsafe import Markup

    return Markup(_one_line(words))


def _one_line(text: str) -> str:
    return " ".join(text.split())
