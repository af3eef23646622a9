"""Whether confidences are true: of what was predicted with 80 % confidence, four in five should be right.

Expected calibration error and reliability diagram as in Guo et al. (2017), On Calibration of Modern Neural Networks,
ICML, and their remedy: one temperature that divides all logits, chosen on dev. It changes confidences, and no ranking.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

BINS = 10  # of equal width
POWERS = (-3.0, 3.0)  # of 2: the temperatures that are tried
NEVER = 1e-9  # the smallest probability whose logarithm is taken


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


def unlikelihood(decisions: Iterable[tuple[float, bool]]) -> float:
    """Minus the logarithm of the likelihood that confidences give to what is right and what is not."""
    shares = (
        min(max(confidence, NEVER), 1 - NEVER) if right else 1 - confidence for confidence, right in decisions
    )
    return -math.fsum(math.log(max(share, NEVER)) for share in shares)


def best_temperature(loss: Callable[[float], float]) -> float:
    """The temperature with the smallest loss, between 1/8 and 8; 1 where no temperature changes the loss.

    Args:
        loss: minus the logarithm of the likelihood of what is true, with logits divided by a temperature; it is called
            about a dozen times.
    """
    from scipy.optimize import minimize_scalar  # type: ignore[import-untyped]

    found = minimize_scalar(
        lambda power: loss(2.0**power), bounds=POWERS, method="bounded", options={"xatol": 0.01}
    )
    return float(2.0**found.x) if found.fun < loss(1.0) else 1.0
