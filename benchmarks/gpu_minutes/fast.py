"""The stage `fast`: rates, variants and peers, which `benchmarks.device` measures."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Any

from benchmarks import device
from benchmarks.gpu_minutes import files
from benchmarks.gpu_minutes.place import Place
from benchmarks.gpu_minutes.processes import Command

SECONDS_TO_CONCLUDE = 5.0  # of the limit, which the benchmark does not plan with


@dataclass
class Fast:
    """Measures.

    Args:
        place: where things are.
    """

    place: Place
    name: str = "fast"
    seconds: float = 150.0
    takes_what_is_left: bool = False
    grace: float = 2.0
    ask: signal.Signals = signal.SIGTERM

    def commands(self, seconds: float) -> list[Command]:
        words = [
            f"--seconds={max(1.0, seconds - SECONDS_TO_CONCLUDE):.0f}",
            f"--output={self.place.out / 'fast.json'}",
        ]
        rehearsed = ["--rehearse"] if self.place.rehearsal else []
        return [
            Command(
                self.place.module("benchmarks.device", [*words, *rehearsed]), self.place.logs / "fast.log"
            )
        ]

    def result(self) -> dict[str, Any]:
        """What the benchmark wrote, which it does after every row."""
        return files.read_json(self.place.out / "fast.json")


def short(result: dict[str, Any]) -> str:
    """One line: the fastest of our plain updates."""
    updates = [
        row for row in result.get("rows", []) if row.get("kind") == "update" and row.get("tokens_per_second")
    ]
    if not updates:
        return ""
    best = max(updates, key=lambda row: float(row["tokens_per_second"]))
    return f"{best['name']}: {files.rate(best)}"


def section(result: dict[str, Any]) -> list[str]:
    """Markdown: the benchmark's own tables."""
    if not result.get("rows"):
        return ["No row was reached."]
    return device.table(result).splitlines()
