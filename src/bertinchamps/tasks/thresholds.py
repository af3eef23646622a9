"""Thresholds of probabilities, chosen on dev: one for each label, or one for all labels."""

from __future__ import annotations

from typing import Any

import numpy as np

FIXED, OVERALL, BY_LABEL = "fixed", "overall", "by_label"
CHOICES = (FIXED, OVERALL, BY_LABEL)  # of `selection.thresholds`
ROUNDS = 3  # over all labels, because the best threshold of a label depends on those of the others

Counts = np.ndarray[Any, np.dtype[np.int64]]


def best_places(right: Counts, every: Counts, gold: int, start: Counts) -> Counts:
    """For each label the place of its threshold in a grid, with the highest F1 over all labels.

    Coordinate ascent: one label after the other, some rounds. Of equal scores the place stays.

    Args:
        right: right predictions above each threshold, [labels, thresholds].
        every: all predictions above each threshold, likewise.
        gold: true labels.
        start: the first place of each label, [labels].
    """
    chosen, rows = start.copy(), np.arange(len(start))
    for _ in range(ROUNDS):
        for row in rows:
            found_right, found = (
                counts[rows, chosen].sum() - counts[row, chosen[row]] + counts[row]
                for counts in (right, every)
            )
            scores = 2 * found_right / np.maximum(1, found + gold)
            if scores.max() > scores[chosen[row]]:
                chosen[row] = scores.argmax()
    return chosen


def best_place(right: Counts, every: Counts, gold: int, start: int) -> int:
    """The place of the one threshold for all labels; the arguments are those of `best_places`."""
    all_right, all_found = (counts.sum(0, keepdims=True) for counts in (right, every))
    return int(best_places(all_right, all_found, gold, np.array([start]))[0])
