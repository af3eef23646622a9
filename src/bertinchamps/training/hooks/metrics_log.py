"""RUN/metrics.jsonl: what a run measured, a JSON object a line."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bertinchamps.durable import write_file
from bertinchamps.training.clock import Spent
from bertinchamps.training.trackers import Tracker

NOT_SCORES = ("kind", "step", "tokens", "seconds", "flops", "evaluation_seconds")  # of an evaluation's record


class MetricsLog:
    """RUN/metrics.jsonl: one JSON object a line, numbers only; survives being killed at any moment.

    Where the disk is full, records are kept in memory until there is room again: training goes on.

    Args:
        file: its path.
        step: of the checkpoint of a resumed run; later records are dropped, because those updates are done again.
        tracker: receives the same values.
        warn: prints which records cannot be written or read.
    """

    def __init__(self, file: Path, step: int, tracker: Tracker, warn: Callable[[str], None]) -> None:
        self._file, self._tracker, self._warn = file, tracker, warn
        self._unwritten: list[str] = []
        self._kept: list[dict[str, Any]] = []
        if step:
            records, damaged = _read_records(file)
            self._kept = [record for record in records if record["step"] <= step]
            if damaged:
                aside = file.with_name(f"{file.name}.damaged")
                shutil.copyfile(file, aside)
                warn(f"{file}: {damaged} damaged lines were left out; the file as it was is {aside.name}")
        write_file(file, "".join(json.dumps(record) + "\n" for record in self._kept))

    def write(self, kind: str, spent: Spent, values: dict[str, float]) -> None:
        """Append a record of a kind ("train" or "held_out") with the budget spent so far."""
        record = {
            "kind": kind,
            "step": spent.steps,
            "tokens": spent.tokens,
            "seconds": round(spent.seconds, 3),
        }
        record |= {"flops": spent.flops, **values}
        self._unwritten.append(json.dumps(record) + "\n")
        self._append()
        self._tracker.log(spent.steps, {f"{kind}/{name}": value for name, value in values.items()})

    def _append(self) -> None:
        size = self._file.stat().st_size if self._file.exists() else 0
        try:
            with self._file.open("a", encoding="utf-8") as stream:
                stream.writelines(self._unwritten)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.truncate(self._file, size)  # half a line would spoil the next one
            if len(self._unwritten) == 1:
                self._warn(
                    f"{self._file}: cannot be written ({error.strerror or error}); training goes on, and records "
                    "are kept in memory until there is room"
                )
        else:
            self._unwritten.clear()

    def scores_at(self, kind: str, step: int) -> dict[str, float] | None:
        """The scores that were logged for this step before the run was resumed, or None."""
        for record in reversed(self._kept):
            if record["kind"] == kind and record["step"] == step:
                return {name: value for name, value in record.items() if name not in NOT_SCORES}
        return None

    def evaluation_seconds(self, kind: str) -> Iterator[float]:
        """The seconds of each evaluation that was logged before the run was resumed."""
        for record in self._kept:
            if record["kind"] == kind and "evaluation_seconds" in record:
                yield float(record["evaluation_seconds"])


def read_metrics(file: Path) -> list[dict[str, Any]]:
    """The records of a metrics.jsonl; damaged lines, such as a last one that a kill cut short, are left out."""
    return _read_records(file)[0]


def _read_records(file: Path) -> tuple[list[dict[str, Any]], int]:
    """The records, and how many lines before the last one are damaged."""
    lines = file.read_bytes().split(b"\n") if file.exists() else []
    records, damaged = [], 0
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            records.append({"kind": str(record["kind"]), "step": int(record["step"])} | record)
        except (ValueError, KeyError, TypeError):
            damaged += bool(line) and number < len(lines)
    return records, damaged
