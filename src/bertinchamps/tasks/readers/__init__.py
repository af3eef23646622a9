"""Readers: where the examples of a task come from. One file each, found by name (`task=NAME`).

A reader gives plain records (`contract.AnnotatedText`, `contract.LabelledText`); a kind (`tasks/kinds/`) turns them
into what the engine trains and scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from bertinchamps.contract import AnnotatedText, LabelledText
from bertinchamps.registry import Registry

Splits = Mapping[str, list[AnnotatedText]] | Mapping[str, list[LabelledText]]


class Reader(Protocol):
    """Where a task's examples come from.

    Attributes:
        kind: the entry of `tasks.kinds` that says what is predicted.
        remarks: what has to be said beside any score on these data; known after `read`.
    """

    kind: str
    remarks: tuple[str, ...]

    def check(self) -> None:
        """Raise UserError within seconds if the data are missing: what, where they can be had, which key."""

    def read(self) -> Splits:
        """The examples by split, in a stable order: "train" and "test", and "dev" where the data have one.

        Raises:
            UserError: a file does not hold what it should; the message names the file and the line.
        """


readers: Registry[Reader] = Registry("task", "task", package=__name__)

__all__ = ["Reader", "Splits", "readers"]
