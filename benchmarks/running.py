"""How a benchmark runs: its command line, whose turn it is, processes of their own, and what goes wrong."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from benchmarks import results
from bertinchamps.errors import UserError

LONGEST_LINE = 200  # characters of an error, in a table

Entry = TypeVar("Entry")


class ProcessFailed(Exception):
    """A process of a benchmark ended with an error; the message is what it wrote."""


def parser(benchmark: str, description: str | None) -> argparse.ArgumentParser:
    """A command line without options yet.

    Args:
        benchmark: the module's name.
        description: its docstring.
    """
    return argparse.ArgumentParser(
        prog=f"python -m benchmarks.{benchmark}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def rotated(entries: Sequence[Entry], turns: int) -> list[Entry]:
    """The entries in another order each turn, so that none always follows the same one."""
    first = turns % max(1, len(entries))
    return [*entries[first:], *entries[:first]]


def measured_apart(benchmark: str, option: str) -> dict[str, Any]:
    """What the benchmark prints last, as JSON, when its command is given one more option, in a process of its own.

    Raises:
        ProcessFailed: it did.
    """
    words = [sys.executable, "-m", f"benchmarks.{benchmark}", *sys.argv[1:], option]
    ran = subprocess.run(words, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise ProcessFailed(ran.stderr)
    measured: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return measured


def last_line(errors: str) -> str:
    """Of what a process wrote: in Python, the error."""
    return (errors.strip().splitlines() or ["no output"])[-1][:LONGEST_LINE]


def run(
    benchmark: str,
    arguments: argparse.Namespace,
    measure: Callable[[Path], dict[str, Any]],
    table: Callable[[results.Result], str],
    plot: Callable[[results.Result, Path], None],
) -> None:
    """Measure and conclude; a mistake of the user's ends in a message.

    Args:
        benchmark: the module's name.
        arguments: with what `results.add_options` added.
        measure: is given a folder for what is made on the way.
        table: makes Markdown of the result.
        plot: draws the result into a file.
    """
    try:
        with tempfile.TemporaryDirectory() as folder:
            result = measure(Path(folder))
    except UserError as error:
        sys.exit(f"benchmarks.{benchmark}: {error}")
    results.conclude(result, arguments, table, plot)
