"""Whether confidences are true: of what was predicted with 80 % confidence, four in five should be right.

Expected calibration error and reliability diagram as in Guo et al. (2017), On Calibration of Modern Neural Networks,
ICML, and their remedy: one temperature that divides all logits, chosen on dev. It changes confidences, and no ranking.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

BINS = 10  # of equal width
TEMPERATURES = tuple(2.0 ** (step / 8) for step in range(-24, 25))  # 1/8 to 8


def calibration(decisions: Iterable[tuple[float, bool]]) -> dict[str, Any]:
    """How true confidences are.

    Args:
        decisions: of each prediction its confidence, from 0 to 1, and whether it is right.

    Returns:
        decisions, their number; confidence, its mean; right, the share of right ones; ece, the expected calibration
        error: the mean distance of both in BINS bins of equal width, by the number of decisions; bins: those that are
        not empty, each with `from`, `to`, decisions, confidence and right. Only the number where there is none.
    """
    pairs = np.array([(confidence, right) for confidence, right in decisions], dtype=float).reshape(-1, 2)
    if not len(pairs):
        return {"decisions": 0}
    places = np.minimum((pairs[:, 0] * BINS).astype(int), BINS - 1)
    bins = []
    for place in np.unique(places):
        confidence, right = pairs[places == place].mean(0).tolist()
        bins.append(
            {
                "from": place / BINS,
                "to": (place + 1) / BINS,
                "decisions": int((places == place).sum()),
                "confidence": confidence,
                "right": right,
            }
        )
    confidence, right = pairs.mean(0).tolist()
    apart = sum(each["decisions"] * abs(each["confidence"] - each["right"]) for each in bins)
    return {
        "decisions": len(pairs),
        "confidence": confidence,
        "right": right,
        "ece": apart / len(pairs),
        "bins": bins,
    }


class TemperatureSearch:
    """Adds up losses of one set of logits at many temperatures, and finds the best one.

    The loss is the negative log-likelihood of what is true.
    """

    def __init__(self) -> None:
        self._losses = np.zeros(len(TEMPERATURES))

    def add(self, loss: Callable[[float], float]) -> None:
        """Add the loss of some more logits, given as a function of what divides them."""
        self._losses += [loss(temperature) for temperature in TEMPERATURES]

    def best(self) -> float:
        """The temperature of the smallest loss, by a parabola between those that were tried; 1: nothing was added."""
        if not self._losses.any():
            return 1.0
        at = int(self._losses.argmin())
        if at in (0, len(TEMPERATURES) - 1):
            return float(TEMPERATURES[at])
        before, here, after = self._losses[at - 1 : at + 2]
        bend = before - 2 * here + after
        shift = 0.5 * (before - after) / bend if bend > 0 else 0.0
        return float(TEMPERATURES[at] * 2 ** (shift / 8))
