"""Readers: where the examples of a task come from. One file each, found by name (`task=NAME`).

A reader gives plain records (`AnnotatedText`, `LabelledText` or `RelatedText` of `contract.py`), from which a kind
(`tasks/kinds/`) builds the task that is trained and scored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from bertinchamps.contract import AnnotatedText, LabelledText, RelatedText
from bertinchamps.registry import Registry
from bertinchamps.textfiles.bad_records import BadRecords

Splits = (
    Mapping[str, list[AnnotatedText]] | Mapping[str, list[LabelledText]] | Mapping[str, list[RelatedText]]
)


class Reader(Protocol):
    """Where a task's examples come from.

    Attributes:
        kind: the entry of `tasks.kinds`.
        remarks: caveats that belong beside every score on these data; known after `read`.
    """

    kind: str
    remarks: tuple[str, ...]

    def check(self) -> None:
        """Raise UserError within seconds if the data are missing, with the data's source and the key to set."""

    def read(self) -> Splits:
        """The examples by split, in a stable order: "train" and "test", and "dev" where the data have one.

        Raises:
            UserError: a file is malformed; the message names the file and the line.
        """


@runtime_checkable
class Combined(Protocol):
    """A reader of the examples of several tasks, on which one model is trained. Each task is scored by itself as well.

    Attributes:
        subtasks: title of such a task, as in results.json → beginning of the names that its examples have here. The
            rest of a name is the name in the task alone.
    """

    subtasks: Mapping[str, str]


@runtime_checkable
class LeavesOut(Protocol):
    """A reader with the setting `on_error`, which may leave out what cannot be read.

    Attributes:
        bad: split → its records that cannot be read; known after `read`.
    """

    bad: Mapping[str, BadRecords]


readers: Registry[Reader] = Registry("task", "task", package=__name__)

__all__ = ["Combined", "LeavesOut", "Reader", "Splits", "readers"]
