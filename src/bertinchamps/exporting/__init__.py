"""Models in the files of other programs. One file a format, found by `format=`.

An exporter reads a `Source`, a model that finetune or pretrain made, and fills a directory that another program opens.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from bertinchamps.exporting.source import Source
from bertinchamps.registry import Registry


class Exporter(Protocol):
    """One format; its settings are arguments of `__init__`. A `SaysUse` has its use on the model card."""

    def problems(self, source: Source) -> list[str]:
        """Why this model cannot have this format, or which package is missing, in the user's key names."""

    def export(self, source: Source, place: Path) -> list[str]:
        """Fill a directory, which exists and is empty.

        Returns:
            Lines for the user: what was compared with the original and how it came out, and how to open the result.

        Raises:
            UserError: the exported model does not do what the original does.
        """


exporters: Registry[Exporter] = Registry("format", "format", package=__name__)

__all__ = ["Exporter", "Source", "exporters"]
