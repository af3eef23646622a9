"""How an exported model is used, for its card: what an exporter says of its result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True)
class Use:
    """What another program needs to know.

    Attributes:
        library: the Hub's name of the library that opens the directory.
        task: the Hub's name of what the model does (`pipeline_tag`).
        code: Python that opens and uses it; MODEL stands for the directory or the name on the Hub.
        notes: sentences on what the model does not do.
        tags: further ones.
    """

    library: str
    task: str
    code: str
    notes: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


@runtime_checkable
class SaysUse(Protocol):
    """An exporter that knows, after `export`, how the result is used."""

    def use(self) -> Use:
        """Of the model that was exported last."""
