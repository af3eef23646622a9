"""Classes of the files of `remote_code`, from the directory that was just written."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from bertinchamps.exporting.remote_code import MODELING

NAME = "_exported_by_bertinchamps"


@contextmanager
def written_class(folder: Path, name: str) -> Iterator[Any]:
    """A class of the modelling file in a directory, which nothing is left of afterwards, in memory or on disk."""
    package = ModuleType(NAME)
    package.__path__ = [str(folder)]
    writes = sys.dont_write_bytecode
    sys.modules[NAME], sys.dont_write_bytecode = package, True
    try:
        importlib.invalidate_caches()
        yield getattr(importlib.import_module(f"{NAME}.{MODELING}"), name)
    finally:
        sys.dont_write_bytecode = writes
        for module in [each for each in sys.modules if each.partition(".")[0] == NAME]:
            del sys.modules[module]
