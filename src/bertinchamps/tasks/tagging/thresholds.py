"""Which probability makes a span an entity: for each label the best one on dev, or one that finds enough on dev."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from bertinchamps.contract import AnnotatedText
from bertinchamps.spans import without_edges
from bertinchamps.tasks.tagging.representations import Found

GRID = tuple(
    round(0.2 + 0.05 * step, 2) for step in range(9)
)  # 0.2 to 0.6: wider ones fit chance where dev is small
LEVELS = (
    0.5,
    0.4,
    0.3,
    0.25,
    0.2,
    0.15,
    0.1,
    0.07,
    0.05,
    0.03,
    0.02,
    0.01,
    0.005,
    0.002,
    0.001,
)  # for recall
ROUNDS = 3  # over all labels, because the best threshold of a label depends on those of the others


def best_thresholds(
    documents: Sequence[AnnotatedText], spans: Iterable[Iterable[Found]], labels: Sequence[str]
) -> tuple[float, ...]:
    """For each label the threshold with the highest F1 over all labels, by coordinate ascent from 0.5.

    Args:
        documents: with the true entities.
        spans: for each document spans with probabilities, those of at least the lowest threshold.
        labels: in the order of the thresholds.
    """
    index = {label: place for place, label in enumerate(labels)}
    found = np.zeros((2, len(labels), len(GRID)), dtype=np.int64)  # right and all spans above each threshold
    gold = 0
    for document, own in zip(documents, spans, strict=True):
        true = set(without_edges(document))
        gold += len(true)
        for entity, probability in own:
            above = np.array(GRID) < probability
            found[0, index[entity.label]] += above & (entity in true)
            found[1, index[entity.label]] += above
    chosen = np.full(len(labels), GRID.index(0.5))
    rows = np.arange(len(labels))
    for _ in range(ROUNDS):
        for row in rows:
            right, every = (
                found[:, rows, chosen].sum(1)[:, None] - found[:, row, chosen[row], None] + found[:, row]
            )
            scores = 2 * right / np.maximum(1, every + gold)
            if scores.max() > scores[chosen[row]]:
                chosen[row] = scores.argmax()
    return tuple(GRID[place] for place in chosen)


def threshold_for_recall(wanted: float, recall: Callable[[float], float]) -> float:
    """The highest of LEVELS that reaches a recall; the lowest where none does.

    Args:
        wanted: the recall to reach.
        recall: the recall at a threshold; it falls as thresholds rise.
    """
    return LEVELS[min(bisect_left(LEVELS, True, key=lambda level: recall(level) >= wanted), len(LEVELS) - 1)]
