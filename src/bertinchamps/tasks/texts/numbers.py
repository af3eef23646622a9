"""What is predicted of a text: a number. N examples, C = 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bertinchamps.metrics.regression import regression_scores
from bertinchamps.metrics.tallies import NumberTally, Tally
from bertinchamps.tasks.formats import tables
from bertinchamps.tasks.texts.targets import PREDICTED, Logits, Prediction, Target, WithoutThresholds


class Regression(WithoutThresholds):
    """A number: squared error of standardised numbers.

    Args:
        mean: of train's targets.
        deviation: standard deviation of train's targets.
    """

    problem_type = "regression"
    protocol = "regression"
    columns: tuple[str, ...] = (PREDICTED,)

    def __init__(self, mean: float, deviation: float) -> None:
        self._mean, self._deviation = mean, deviation

    def encoded(self, targets: Sequence[Target], classes: Sequence[str]) -> Tensor:
        """Standardised, [N]."""
        numbers = np.array(targets, dtype=np.float64)  # float32 has no digits left for years or amounts
        return torch.from_numpy((numbers - self._mean) / self._deviation).float()

    def learn(self, targets: Sequence[Target], classes: Sequence[str]) -> None:
        """Nothing."""

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Squared error."""
        return F.mse_loss(logits[:, 0], targets, reduction="sum")

    def unlikelihood(self, logits: Tensor, targets: Tensor) -> float:
        """None: numbers have no confidence."""
        return 0.0

    def decoded(self, logits: Logits, classes: Sequence[str]) -> list[Target]:
        """The numbers in their own unit."""
        return [float(value) * self._deviation + self._mean for value in logits[:, 0]]

    def probabilities(self, logits: Logits, classes: Sequence[str]) -> list[dict[str, float]]:
        """None."""
        return [{} for _ in logits]

    def scores(self, gold: Sequence[Target], predicted: Sequence[Target]) -> dict[str, Any]:
        """Correlations and errors."""
        return regression_scores(cast(Any, gold), cast(Any, predicted))

    def tallies(self, gold: Sequence[Target], logits: Logits, classes: Sequence[str]) -> dict[str, Tally]:
        """Of the numbers in their own unit."""
        sides = (gold, self.decoded(logits, classes))
        return {self.protocol: NumberTally(*(np.array(side, dtype=np.float64) for side in sides))}

    def plain(self, target: Target) -> float:
        """The number."""
        return cast(float, target)

    def cells(self, prediction: Prediction) -> list[str]:
        """The number."""
        return [tables.cell(prediction.target)]
