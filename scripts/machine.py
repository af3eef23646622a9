"""The machine and the versions that a tally was made with, in one line."""

from __future__ import annotations

import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]  # before others: Opacus installs a package `benchmarks`, too


def machine() -> str:
    """Date, processor, cores, and versions of Python and PyTorch."""
    from benchmarks.results import processor
    from bertinchamps.launch import cores

    return (
        f"{time.strftime('%Y-%m-%d')}; {processor() or platform.machine()}, cores: {cores()}; "
        f"Python {platform.python_version()}, torch {version('torch')}"
    )
