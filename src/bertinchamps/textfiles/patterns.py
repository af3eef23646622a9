"""Which paths a name of the user's stands for, which may be a pattern."""

from __future__ import annotations

import glob
from pathlib import Path


def matching(pattern: str) -> list[Path]:
    """The paths that a name stands for, sorted: itself, or what it matches with `*`, `**`, `?` and brackets."""
    plain = Path(pattern).expanduser()
    # A name that exists is taken as it is, even if it holds a bracket. Path.glob takes no absolute pattern.
    names = [str(plain)] if plain.exists() else sorted(glob.glob(str(plain), recursive=True))  # noqa: PTH207
    return [Path(name) for name in names]
