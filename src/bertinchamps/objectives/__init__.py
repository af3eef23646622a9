"""Pretraining objectives: one file each, found by name (`objective=NAME`)."""

from __future__ import annotations

from bertinchamps.contract import Task
from bertinchamps.registry import Registry

objectives: Registry[Task] = Registry("objective", "objective", package=__name__)

__all__ = ["objectives"]
