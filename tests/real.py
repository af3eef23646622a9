"""Where the real data are, for tests marked `real_data`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def real(name: str) -> Path:
    """A folder of the real data; the test is skipped where it is absent."""
    default = Path(__file__).parents[1] / ".." / "shared" / "data"
    folder = Path(os.environ.get("BERTINCHAMPS_DATA", default)) / name
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} is absent (set BERTINCHAMPS_DATA)")
    return folder
