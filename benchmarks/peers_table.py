"""What `benchmarks.peers` shows: a table and a figure of its rows."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import figures, markdown
from benchmarks.peers_systems import SYSTEMS

OURS = "bertinchamps"
PROTOCOLS = {"strict": "strict", "nested_exact": "nested exact"}
RATES = {"precision": "P", "recall": "R", "f1": "F1"}


def table(result: Mapping[str, Any]) -> str:
    """The rows for people, in Markdown: means over seeds ± sample standard deviations."""
    columns = [f"{title} {rate}" for title in PROTOCOLS.values() for rate in RATES.values()]
    header = ("corpus", "system", "entities", *columns, "at best", "minutes of training", "minutes in all")
    rows = [_cells(row) for row in result["rows"]]
    lines = markdown.table(header, 3, rows)
    failed = [
        f"{row['corpus']}, {SYSTEMS[row['system']].title}, seed {each['seed']}: failed: {each['problem']}"
        for row in result["rows"]
        for each in row["trainings"]
        if "problem" in each
    ]
    return "\n".join([*lines, *([""] if failed else []), *failed])


def _cells(row: Mapping[str, Any]) -> list[str]:
    system, done = SYSTEMS[row["system"]], _done(row)
    found = [
        spread([100 * each["scores"][protocol][rate] for each in done])
        for protocol in PROTOCOLS
        for rate in RATES
    ]
    minutes = [spread([each[key] / 60 for each in done]) for key in ("training_seconds", "seconds")]
    highest = f"{100 * row['at_best']['nested_exact']['f1']:.1f}"
    return [row["corpus"], system.title, system.represents, *found, highest, *minutes]


def _done(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [each for each in row["trainings"] if "problem" not in each]


def spread(values: Sequence[float]) -> str:
    """Mean ± sample standard deviation, with one digit; a single value alone, "–" for none."""
    if not values:
        return "–"
    mean = f"{statistics.mean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.1f}"


def plot(result: Mapping[str, Any], file: Path) -> None:
    """Mean F1 and minutes of the rows."""
    panels = []
    for quantity, value in (
        ("F1, strict, %", lambda each: 100 * each["scores"]["strict"]["f1"]),
        ("F1, nested exact, %", lambda each: 100 * each["scores"]["nested_exact"]["f1"]),
        ("minutes in all", lambda each: each["seconds"] / 60),
    ):
        bars = [
            figures.Bar(
                f"{row['corpus']}, {row['system']}",
                statistics.mean(map(value, _done(row))),
                row["system"] == OURS,
            )
            for row in result["rows"]
            if _done(row)
        ]
        panels.append(figures.Panel(quantity, bars, "{:.1f}"))
    if panels[0].bars:
        figures.draw(panels, file)
