"""Entities ↔ targets and logits of a head: each representation has a file here, found by name (`head=NAME`).

Entities that a representation cannot hold are counted by reason, never dropped in silence.
B windows, W words of the longest window, C tags, L labels.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from torch import Tensor

from bertinchamps.contract import Entity
from bertinchamps.registry import Registry
from bertinchamps.spans import EntitiesByOffset
from bertinchamps.tasks.lessons import Opinion
from bertinchamps.tasks.tagging.windows import Window, Words

IGNORED = -100
OUTSIDE = "O"


class Found(NamedTuple):
    """A predicted entity and its confidence, from 0 to 1."""

    entity: Entity
    confidence: float


class Kept(NamedTuple):
    """Entities that a representation can hold, and counts of the others by reason."""

    entities: list[Entity]
    lost: Counter[str]


class Representation(Protocol):
    """One way to encode entities as a head's targets, and to decode entities from the head's logits.

    Attributes:
        labels: types of entities.
        classes: of the logits' last axis.
        metric: the dev score that selects the weights.
    """

    labels: tuple[str, ...]
    classes: tuple[str, ...]
    metric: str

    def kept(self, entities: Sequence[Entity], windows: Sequence[Window]) -> Kept:
        """Which entities of a document its windows can hold."""

    def targets(self, entities: Sequence[Entity], window: Window) -> np.ndarray[Any, Any]:
        """The targets of a window, in a form that `padded` collates."""

    def padded(self, targets: Sequence[np.ndarray[Any, Any]], words: int) -> Tensor:
        """Targets of some windows as one tensor, padded to `words` words."""

    def count(self, targets: np.ndarray[Any, Any]) -> int:
        """Over how many terms the loss of a window is summed."""

    def loss(self, logits: Tensor, targets: Tensor, words: Tensor) -> Tensor:
        """Summed loss of logits; `words` [B] is the number of words of each window."""

    def reduced_logits(self, logits: np.ndarray[Any, Any], window: Window) -> np.ndarray[Any, Any]:
        """The part of a window's logits that `entities` needs: a copy, as small as possible."""

    def tempered(self, answer: np.ndarray[Any, Any], temperature: float) -> np.ndarray[Any, Any]:
        """What `reduced_logits` gave, with logits divided by a temperature."""

    def entities(self, windows: Sequence[Window], answers: Sequence[np.ndarray[Any, Any]]) -> list[Found]:
        """The entities of one document, from the `answer` of each of its windows in order."""

    def doubts(self, logits: Tensor, words: Tensor) -> Tensor:
        """How unsure the model is of each word, in nats, [B, W], from logits; `words` [B] as for `loss`."""

    def opinion(self, windows: Sequence[Window], answers: Sequence[np.ndarray[Any, Any]]) -> Opinion:
        """What a model says of one document: probabilities that do not depend on its tokenizer."""

    def certain(self, entities: Sequence[Entity], windows: Sequence[Window]) -> Opinion:
        """The entities of one document, among those that `kept` gives, as the opinion of somebody who is sure."""

    def mixed(self, parts: Iterable[tuple[float, Opinion]]) -> Opinion:
        """The weighted sum of several opinions of one document, given as (weight, opinion); the weights sum to 1."""

    def soft_targets(self, opinion: Opinion, windows: Sequence[Window]) -> list[np.ndarray[Any, Any]]:
        """As `targets`, of an opinion of one document: for each of its windows in order."""

    def decided(self, opinion: Opinion, windows: Sequence[Window]) -> list[Found]:
        """The entities of one document by an opinion, as `entities` decides by logits."""


@runtime_checkable
class SpanRepresentation(Representation, Protocol):
    """A representation of spans with probabilities: each label can have a threshold, an argument of its builder."""

    def spans(self, windows: Sequence[Window], answers: Sequence[np.ndarray[Any, Any]]) -> list[Found]:
        """Spans of one document with their probabilities, from the `answer` of each of its windows."""


representations: Registry[Representation] = Registry("head", "head", package=__package__)


def word_tags(words: Words, entities: EntitiesByOffset) -> list[str]:
    """IOB2 tags of words, for entities that do not overlap."""
    tags = [OUTSIDE] * len(words)
    for entity in entities.touching(words[0][0], words[-1][1]) if words else ():
        first = bisect_left(words, entity.start, key=lambda word: word[0])
        last = bisect_right(words, entity.end, key=lambda word: word[1])
        for index in range(first, last):
            tags[index] = f"{'I' if index > first else 'B'}-{entity.label}"
    return tags


def aligned(entities: Sequence[Entity], windows: Sequence[Window], lost: Counter[str]) -> Kept:
    """The entities that begin and end with words of one sentence."""
    begins = {start: window.sentence for window in windows for start, _ in window.words}
    ends = {end: window.sentence for window in windows for _, end in window.words}
    kept = []
    for entity in entities:
        if entity.start not in begins or entity.end not in ends:
            lost["does not begin and end with a word"] += 1
        elif begins[entity.start] != ends[entity.end]:
            lost["reaches over the end of a sentence"] += 1
        else:
            kept.append(entity)
    return Kept(kept, lost)
