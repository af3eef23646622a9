"""Which probability predicts a class of a text, chosen on dev. N texts, C classes, G thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bertinchamps.tasks.thresholds import OVERALL, best_place, best_places

GRID = tuple(round(0.05 * step, 2) for step in range(1, 20))  # 0.05 to 0.95: rare classes are never likely
ENOUGH = 5  # texts of dev that must have a class, for a threshold of its own

Floats = np.ndarray[Any, Any]


def best_thresholds(
    probabilities: Floats, gold: Sequence[tuple[str, ...]], classes: Sequence[str], choice: str
) -> tuple[float, ...]:
    """The thresholds with the highest micro F1: the best one for all, from which those by label go on.

    A class that fewer than ENOUGH texts have keeps the threshold for all.

    Args:
        probabilities: [N, C].
        gold: the true classes of each text; those that are not among `classes` are missed at any threshold.
        classes: in the order of the columns.
        choice: `overall` or `by_label`.
    """
    right, every, with_class = _counted(probabilities, gold, classes)
    true = sum(map(len, gold))
    same = best_place(right, every, true, GRID.index(0.5))
    chosen = np.full(len(classes), same)
    if choice != OVERALL:
        often = with_class >= ENOUGH
        # the rare classes' predictions count as well, and are the same whatever the others' thresholds are
        tables = [
            np.concatenate(
                [counts[often], np.full((1, len(GRID)), counts[~often, same].sum(), dtype=np.int64)]
            )
            for counts in (right, every)
        ]
        places = best_places(tables[0], tables[1], true, np.append(chosen[often], same))
        chosen[often] = places[:-1]
    return tuple(GRID[place] for place in chosen)


def _counted(
    probabilities: Floats, gold: Sequence[tuple[str, ...]], classes: Sequence[str]
) -> tuple[Floats, Floats, Floats]:
    """Right and all predictions above each threshold, [C, G]; and how many texts have each class, [C]."""
    index = {name: place for place, name in enumerate(classes)}
    true = np.zeros(probabilities.shape, dtype=bool)
    for row, names in enumerate(gold):
        true[row, [index[name] for name in names if name in index]] = True
    above = (probabilities > threshold for threshold in GRID)
    counts = [((found & true).sum(0), found.sum(0)) for found in above]
    right, every = (np.stack(side, axis=1).astype(np.int64) for side in zip(*counts, strict=True))
    return right, every, true.sum(0)
