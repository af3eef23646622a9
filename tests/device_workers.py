"""What processes of rows may do, for the tests of the schedule: no torch, and a file that tells who did what when."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from benchmarks.device_link import Link, Skipped
from benchmarks.device_plan import Row

A_WHILE = 0.05  # seconds of work


def note(row: Row, what: str) -> None:
    """One line into the file that the row names."""
    with Path(row.option).open("a", encoding="utf-8") as file:
        file.write(f"{time.monotonic()} {row.name} {what}\n")


def good(row: Row, settings: Any, config: Any, link: Link) -> None:
    link.compiled()
    note(row, "begins its first update")
    time.sleep(A_WHILE)
    note(row, "ends its first update")
    while True:
        link.ready(A_WHILE)
        note(row, "begins")
        time.sleep(A_WHILE)
        link.measured([{"tokens_per_second": 100.0 * row.micro_batch}], last=False)
        note(row, "ends")
        link.measured(
            [{"tokens_per_second": 100.0 * row.micro_batch, "outside_kernels": 0.25}], [{"name": "k"}]
        )


def fails(row: Row, settings: Any, config: Any, link: Link) -> None:
    raise ValueError("no such kernel")


def skips(row: Row, settings: Any, config: Any, link: Link) -> None:
    raise Skipped("needs a card")


def dies(row: Row, settings: Any, config: Any, link: Link) -> None:
    print("the last words", flush=True)
    os._exit(7)


def never_compiles(row: Row, settings: Any, config: Any, link: Link) -> None:
    time.sleep(600)


def never_ends_its_profile(row: Row, settings: Any, config: Any, link: Link) -> None:
    link.compiled()
    link.ready(A_WHILE)
    link.measured([{"tokens_per_second": 5.0}], last=False)
    time.sleep(600)


MEASUREMENTS = {
    function.__name__: function
    for function in (good, fails, skips, dies, never_compiles, never_ends_its_profile)
}
