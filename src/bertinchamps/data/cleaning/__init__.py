"""Optional cleaning steps between a source and the tokenizer: what a step is, and the registry of steps.

`cleaning=[{name: length, least: 200}]` turns a step on. There are two kinds:

- a function of one text, which gives the text to go on with, or why the document is dropped, perhaps with what it
  measured;
- a `Comparing` step, which looks at each text by itself and then decides in the order of the documents.

`stages.py` cuts the configured steps into stages, `cleaner.py` applies them, `counts.py` counts what they
did, `best.py` finds the threshold of a step that keeps the best share of the documents.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from bertinchamps.registry import Registry
from bertinchamps.schemas import named


class Dropped(NamedTuple):
    """Why a document is left out."""

    reason: str


Outcome = str | Dropped


class Findings(NamedTuple):
    """What a step measured in one document.

    Attributes:
        marks: name → the numbers of the things that were met, such as the n-grams of a test set.
        numbers: name → what is added up over the documents.
    """

    marks: Mapping[str, Sequence[int]]
    numbers: Mapping[str, int]


class Measured(NamedTuple):
    """An outcome, with what the step measured."""

    outcome: Outcome
    findings: Findings


TextStep = Callable[[str], Outcome | Measured]


@runtime_checkable
class ReadingFiles(Protocol):
    """A step that reads files of its own."""

    def fingerprint(self) -> Mapping[str, object]:
        """JSON-able facts in the place of its settings, which change whenever the content of the files does."""


@runtime_checkable
class Ranking(Protocol):
    """A function of one text that keeps those with a score of `least` or more.

    Attributes:
        best: the share of the documents to keep, which becomes `least` before documents are read (`best.py`); None:
            `least` was given.
    """

    best: float | None

    def score(self, text: str) -> float:
        """How good a text is, 0 at the lowest."""


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
