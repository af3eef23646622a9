"""metrics.jsonl → columns of numbers for charts, few enough for a page."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

MOST_READ = 8_000  # records of updates; of more, every second, third, … is read
TRAIN = "train"
AXES = ("step", "tokens", "seconds")
NOT_DRAWN = ("kind", "progress", "flops", "evaluation_seconds")
DIGITS = 5  # that a chart can show

Columns = dict[str, list[float | None]]


def curves_of(run: Path, points: int) -> dict[str, Columns]:
    """What a run measured, by kind of record: `train`, and `held_out` or `dev`.

    Args:
        run: its directory; without a metrics.jsonl there are no curves.
        points: of each curve at the most. A point of `train` is the mean of some updates, with the lowest and the
            highest loss of them as `low` and `high`.

    Returns:
        Kind → name of a column (those of AXES first) → its values, as many in each column; None: not measured then.
    """
    records: dict[str, list[dict[str, Any]]] = {}
    for record in _records(run / "metrics.jsonl"):
        records.setdefault(str(record["kind"]), []).append(record)
    return {
        kind: _columns(own, points if kind == TRAIN else len(own))
        for kind, own in sorted(records.items(), key=lambda item: item[0] != TRAIN)
    }


def _records(file: Path) -> Iterator[dict[str, Any]]:
    """The records in order; damaged lines are left out, as are some of very many updates."""
    lines = file.read_bytes().splitlines() if file.is_file() else []
    of_update = b'{"kind": "train"'
    updates = sum(line.startswith(of_update) for line in lines)
    every, seen = math.ceil(updates / MOST_READ) or 1, 0
    for line in lines:
        if line.startswith(of_update):
            seen += 1
            if seen % every and seen != updates:
                continue
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and {"kind", *AXES} <= record.keys():
            yield record


def _columns(records: Sequence[dict[str, Any]], points: int) -> Columns:
    names = dict.fromkeys(
        name for record in (records[0], records[-1]) for name in record if name not in NOT_DRAWN
    )
    ordered = [*AXES, *(name for name in names if name not in AXES)]
    size = math.ceil(len(records) / points)
    groups = [records[start : start + size] for start in range(0, len(records), size)]
    columns: Columns = {
        name: [
            _rounded(group[-1][name]) if name in AXES else _mean(_numbers(group, name)) for group in groups
        ]
        for name in ordered
    }
    if size > 1 and "loss" in columns:
        losses = [_numbers(group, "loss") for group in groups]
        columns["low"] = [_rounded(min(own)) if own else None for own in losses]
        columns["high"] = [_rounded(max(own)) if own else None for own in losses]
    return columns


def _numbers(group: Sequence[dict[str, Any]], name: str) -> list[float]:
    values = (record.get(name) for record in group)
    return [value for value in values if isinstance(value, int | float) and math.isfinite(value)]


def _mean(values: Sequence[float]) -> float | None:
    return _rounded(math.fsum(values) / len(values)) if values else None


def _rounded(value: float) -> float:
    return value if isinstance(value, int) else float(f"{value:.{DIGITS}g}")
