"""How unsure a model is of the classes of a text, from 0 to 1, so that the texts to annotate next can be chosen."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

from bertinchamps.errors import UserError

Shares = Mapping[str, float]  # class → probability


def of_one_class(shares: Shares) -> float:
    """The entropy of the classes, of which one is right, divided by the highest one that there can be."""
    return sum(map(_surprise, shares.values())) / math.log(max(2, len(shares)))


def of_each_class(shares: Shares) -> float:
    """The mean entropy of the classes, each of which is right or not, in bits."""
    terms = [_surprise(share) + _surprise(1 - share) for share in shares.values()]
    return sum(terms) / (math.log(2) * max(1, len(terms)))


def _surprise(share: float) -> float:
    """A share's part of an entropy, in nats."""
    return -share * math.log(share) if share > 0 else 0.0


# By `TargetType.problem_type`; a number has no probabilities.
DOUBTS: dict[str, Callable[[Shares], float]] = {
    "single_label_classification": of_one_class,
    "multi_label_classification": of_each_class,
}


def doubts(problem_type: str, texts: Iterable[Shares]) -> list[float]:
    """The doubt of each text, from its probabilities.

    Raises:
        UserError: the model predicts a number.
    """
    if problem_type not in DOUBTS:
        raise UserError("the model predicts a number, which has no probability: give method=diversity")
    return [DOUBTS[problem_type](shares) for shares in texts]
