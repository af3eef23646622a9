"""What teachers say of texts, as a student learns it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bertinchamps.contract import Entity
from bertinchamps.tasks.tagging.representations import Found


class Lessons(NamedTuple):
    """Spans with the mean probabilities of several teachers.

    Attributes:
        weight: share of the teachers' probabilities in the targets of labelled texts, from 0 to 1; the labels
            have the rest.
        labelled: for each document of train, its spans.
        unlabelled: further texts with their spans.
    """

    weight: float
    labelled: Sequence[Sequence[Found]]
    unlabelled: Sequence[tuple[str, Sequence[Found]]]


def mixed(parts: Iterable[tuple[float, Iterable[Found]]]) -> list[Found]:
    """The weighted sum of several opinions; a span that an opinion lacks has the probability 0 there.

    Args:
        parts: (weight, spans with probabilities); the weights sum to 1.
    """
    sums: defaultdict[Entity, float] = defaultdict(float)
    for weight, spans in parts:
        for entity, probability in spans:
            sums[entity] += weight * probability
    return sorted(Found(entity, probability) for entity, probability in sums.items())
