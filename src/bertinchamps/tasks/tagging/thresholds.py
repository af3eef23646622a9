"""Which probability makes a span an entity: for each label the best one on dev."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from bertinchamps.contract import AnnotatedText
from bertinchamps.spans import without_edges
from bertinchamps.tasks.tagging.representations import Found
from bertinchamps.tasks.thresholds import BY_LABEL, OVERALL, best_place, best_places

GRID = tuple(
    round(0.2 + 0.05 * step, 2) for step in range(9)
)  # 0.2 to 0.6: wider ones fit chance where dev is small


def best_thresholds(
    documents: Sequence[AnnotatedText],
    spans: Iterable[Iterable[Found]],
    labels: Sequence[str],
    choice: str = BY_LABEL,
) -> tuple[float, ...]:
    """For each label the threshold with the highest F1 over all labels, by coordinate ascent from 0.5.

    Args:
        documents: with the true entities.
        spans: for each document spans with probabilities, those of at least the lowest threshold.
        labels: in the order of the thresholds.
        choice: a threshold for each label (`by_label`), or the same for all (`overall`).
    """
    index = {label: place for place, label in enumerate(labels)}
    right, every = np.zeros((2, len(labels), len(GRID)), dtype=np.int64)  # spans above each threshold
    gold = 0
    for document, own in zip(documents, spans, strict=True):
        true = set(without_edges(document))
        gold += len(true)
        for entity, probability in own:
            above = np.array(GRID) < probability
            right[index[entity.label]] += above & (entity in true)
            every[index[entity.label]] += above
    half = GRID.index(0.5)
    if choice == OVERALL:
        return (GRID[best_place(right, every, gold, half)],) * len(labels)
    return tuple(GRID[place] for place in best_places(right, every, gold, np.full(len(labels), half)))
