"""What every result carries, and where it goes: a JSON file, a figure, a table on the terminal."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bertinchamps.launch import cores

PACKAGES = ("bertinchamps", "torch", "transformers", "tokenizers", "numpy")

Result = Mapping[str, Any]


def facts(benchmark: str, packages: Sequence[str] = PACKAGES) -> dict[str, Any]:
    """What was run, when, on what and with which versions.

    Args:
        benchmark: the module's name.
        packages: whose versions matter.
    """
    return {
        "benchmark": benchmark,
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": shlex.join(["python", "-m", f"benchmarks.{benchmark}", *sys.argv[1:]]),
        "versions": versions(packages),
        "hardware": hardware(),
    }


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Of Python and of packages."""
    return {
        "python": platform.python_version(),
        **{name: _version(name) for name in packages},
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # run from a source tree that is not installed
        return "not installed"


def hardware() -> dict[str, Any]:
    """Of this machine, asked without starting a GPU in this process."""
    return {
        "device": ", ".join(_gpus()) or "CPU",
        "processor": processor(),
        "cores": cores(),
        "platform": platform.platform(),
    }


def _gpus() -> list[str]:
    """Names and drivers of the GPUs, where the maker's tool tells them."""
    if shutil.which("nvidia-smi") is None:
        return []
    words = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    listed = subprocess.run(words, capture_output=True, text=True, check=False)
    return (
        [line.replace(", ", ", driver ") for line in listed.stdout.splitlines()]
        if not listed.returncode
        else []
    )


def processor() -> str:
    """The processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def add_options(words: argparse.ArgumentParser, output: str, figure: str) -> None:
    """The options that say where the result goes.

    Args:
        words: the command line.
        output: default name of the JSON file.
        figure: what the figure shows.
    """
    words.add_argument("--output", metavar="FILE", type=Path, default=Path(output), help="(%(default)s)")
    words.add_argument("--figure", metavar="PNG", type=Path, help=figure)


def write(result: Result, file: Path) -> None:
    """Write the JSON file; a benchmark of hours also writes what it has so far."""
    file.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def conclude(
    result: Result,
    arguments: argparse.Namespace,
    table: Callable[[Result], str],
    plot: Callable[[Result, Path], None],
) -> None:
    """Write the file and, if it was asked for, the figure; print the table.

    Args:
        result: what goes into the file, which is written first.
        arguments: with what `add_options` added.
        table: makes Markdown of the result.
        plot: draws the result into a file.
    """
    write(result, arguments.output)
    print(f"{table(result)}\n{arguments.output}")
    if arguments.figure:
        plot(result, arguments.figure)
