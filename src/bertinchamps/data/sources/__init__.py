"""Sources of documents: one file each, found by name (`data=NAME`)."""

from __future__ import annotations

from bertinchamps.contract import Source
from bertinchamps.registry import Registry

sources: Registry[Source] = Registry("data source", "data", package=__name__)

__all__ = ["sources"]
