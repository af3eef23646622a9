"""Optional cleaning steps between a source and the tokenizer: what a step is, and the registry of steps.

`cleaning=[{name: length, least: 200}]` turns a step on. There are two kinds:

- a function of one text, which gives the text to go on with, or why the document is dropped;
- a `Comparing` step, which looks at each text by itself and then decides in the order of the documents.

`stages.py` cuts the configured steps into stages, `cleaner.py` applies them, `counts.py` counts what they did.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from bertinchamps.registry import Registry
from bertinchamps.schemas import named


class Dropped(NamedTuple):
    """Why a document is left out."""

    reason: str


Outcome = str | Dropped
TextStep = Callable[[str], Outcome]


@runtime_checkable
class Comparing(Protocol):
    """A step that compares documents with those before them."""

    def look(self, text: str) -> Any:
        """What has to be known of a text to decide; a pure function, which other processes call."""

    def decide(self, looks: Sequence[Any]) -> list[Any]:
        """A decision for each document, in order, given all those decided on before."""

    def apply(self, text: str, decision: Any) -> Outcome:
        """What becomes of the text; a pure function."""

    def save(self, folder: Path) -> None:
        """Write down all that was seen."""

    def load(self, folder: Path) -> None:
        """Go on from what was saved."""


Step = TextStep | Comparing
steps: Registry[Step] = Registry("cleaning step", "cleaning", package=__name__)


def cleaning_problems(nodes: object) -> list[str]:
    """Mistakes in the cleaning steps, in the user's key names."""
    if not isinstance(nodes, list) or not all(isinstance(node, dict) for node in nodes):
        return ["cleaning: a list of steps, such as [{name: length, least: 200}, {name: french}]"]
    return [problem for node in nodes for problem in steps.problems(*named(node))]
