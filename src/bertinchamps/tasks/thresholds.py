"""Thresholds of probabilities, chosen on dev: one for each label, or one for all labels."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bertinchamps.schemas import SelectionConfig
from bertinchamps.tasks.facts import TaskFacts

FIXED, OVERALL, BY_LABEL = "fixed", "overall", "by_label"
CHOICES = (FIXED, OVERALL, BY_LABEL)  # of `selection.thresholds`
ROUNDS = 3  # over all labels, because the best threshold of a label depends on those of the others
# For recall, and for precision.
LEVELS = (
    0.5, 0.4, 0.3, 0.25, 0.2, 0.15, 0.1, 0.07, 0.05, 0.03, 0.02, 0.01, 0.005, 0.002, 0.001,
)  # fmt: skip
HIGH_LEVELS = (
    0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99, 0.995, 0.998, 0.999,
)  # fmt: skip

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


@dataclass(frozen=True)
class Settled:
    """What a task has decided on dev for its final weights.

    Attributes:
        facts: of the model, with the decision.
        wanted: where a recall or a precision was wanted: its name as `score`, `wanted`, what was `reached` on dev, and
            the `threshold`; otherwise empty.
    """

    facts: TaskFacts
    wanted: dict[str, Any] = field(default_factory=dict)


def for_wanted(choice: SelectionConfig, score: Callable[[float], float]) -> tuple[float, dict[str, Any]]:
    """The threshold that reaches the wanted recall or precision, and what `Settled.wanted` says of it.

    Args:
        choice: with `recall` or `precision`.
        score: the recall or the precision on dev at a threshold.
    """
    name = "recall" if choice.recall is not None else "precision"
    wanted = float(getattr(choice, name))
    level = (threshold_for_recall if name == "recall" else threshold_for_precision)(wanted, score)
    return level, {"score": name, "wanted": wanted, "reached": score(level), "threshold": level}


def threshold_for_recall(wanted: float, recall: Callable[[float], float]) -> float:
    """The highest of LEVELS that reaches a recall; the lowest where none does.

    Args:
        wanted: the recall to reach.
        recall: the recall at a threshold; it falls as thresholds rise.
    """
    return LEVELS[min(bisect_left(LEVELS, True, key=lambda level: recall(level) >= wanted), len(LEVELS) - 1)]


def threshold_for_precision(wanted: float, precision: Callable[[float], float]) -> float:
    """The lowest of HIGH_LEVELS that reaches a precision; where none does, the one with the highest precision.

    Args:
        wanted: the precision to reach.
        precision: the precision at a threshold, 0 where nothing is found; it mostly rises with thresholds.
    """
    found: dict[float, float] = {}
    for level in HIGH_LEVELS:
        found[level] = precision(level)
        if found[level] >= wanted:
            return level
    return max(HIGH_LEVELS, key=lambda level: found[level])
