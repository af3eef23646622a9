"""Smaller and faster models from a finished one. One file a step, found by the names in `steps=`.

A step reads the directory of a model and writes another one, which is a model of the same use: `predict` opens it, and
so does the next step. `material.py` has what steps may read beside the model: its examples and texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from bertinchamps.compressing.material import Material
from bertinchamps.registry import Registry


@dataclass(frozen=True)
class Done:
    """What a step did.

    Attributes:
        facts: JSON-able, for compress.json and the card: what was chosen, and from what.
        lines: for the user.
        engine: what computes the predictions of the model from now on (`runtime.engine` of predict); None: as before.
    """

    facts: Mapping[str, Any]
    lines: list[str] = field(default_factory=list)
    engine: str | None = None


class Step(Protocol):
    """One step; its settings are arguments of `__init__`."""

    def problems(self, material: Material) -> list[str]:
        """Why this model cannot be changed so, or which package is missing, without reading any text."""

    def apply(self, folder: Path, material: Material, place: Path) -> Done:
        """Write the changed model.

        Args:
            folder: of the model, as the step before left it; it is not changed.
            material: what there is beside the model.
            place: an empty directory, which gets the whole new model: configuration, weights, tokenizer, task.json.

        Raises:
            UserError: the model cannot be changed so.
        """


steps: Registry[Step] = Registry("step", "steps", package=__name__)

__all__ = ["Done", "Material", "Step", "steps"]
