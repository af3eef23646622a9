"""What decides which pairs of entities are candidates, and how they are shown to the model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bertinchamps.contract import RelatedText


@dataclass(frozen=True)
class PairSettings:
    """The settings of pairs; all but `argument_types` are keys of the task.

    Attributes:
        window: the most words between two arguments; None: both are in one sentence.
        negatives: pairs without a relation that are learnt, for each pair with one; None: all.
        typed_markers: whether the markers of an argument say its type.
        ner: a model that finds the entities of end-to-end scores; None: no such scores.
        argument_types: the types of head and tail of the relations of train; other pairs are no candidates.
    """

    window: int | None = None
    negatives: float | None = None
    typed_markers: bool = True
    ner: str | None = None
    argument_types: tuple[tuple[str, str], ...] = ()

    @property
    def marked_types(self) -> tuple[str, ...]:
        """The types that have markers of their own."""
        return (
            tuple(sorted({each for pair in self.argument_types for each in pair}))
            if self.typed_markers
            else ()
        )

    def as_details(self) -> dict[str, Any]:
        """As JSON has it, for task.json."""
        return {**asdict(self), "argument_types": [list(pair) for pair in self.argument_types]}


KEYS = ("window", "negatives", "typed_markers", "ner")


def of_task(task: Mapping[str, Any], train: Iterable[RelatedText]) -> PairSettings:
    """The settings of a task, with the argument types of the relations of train."""
    types = {
        (document.entities[head].label, document.entities[tail].label)
        for document in train
        for _, head, tail in document.relations
    }
    given = {key: task[key] for key in KEYS if key in task}
    return PairSettings(**given, argument_types=tuple(sorted(types)))


def of_details(details: Mapping[str, Any]) -> PairSettings:
    """The settings that `as_details` wrote."""
    return PairSettings(**{**details, "argument_types": tuple((h, t) for h, t in details["argument_types"])})
