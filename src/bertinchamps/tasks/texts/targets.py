"""What is predicted of a text: one class, any number of classes, or a number. N examples, C classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bertinchamps.metrics.classes import class_scores
from bertinchamps.metrics.multi_label import multi_label_scores
from bertinchamps.metrics.regression import regression_scores
from bertinchamps.tasks.formats import tables

Logits = np.ndarray[Any, Any]
Target = tuple[str, ...] | float
PREDICTED, PROBABILITY, PROBABILITIES = "predicted", "probability", "probabilities"


class Prediction(NamedTuple):
    """A model's prediction for a text: a class, a list of classes or a number, and the probability of each class."""

    target: str | list[str] | float
    probabilities: Mapping[str, float]


class TargetType(Protocol):
    """One type of target.

    Attributes:
        problem_type: the name in the config of a transformers model, by which pipelines decode logits.
        protocol: the entry of `metrics.protocols` that scores predictions.
        columns: the columns that a table of predictions has beside the user's columns.
    """

    problem_type: str
    protocol: str
    columns: tuple[str, ...]

    def encoded(self, targets: Sequence[Target], classes: Sequence[str]) -> Tensor:
        """Targets in the form that `loss` takes: [N] or [N, C]."""

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Summed over examples; logits are [N, C], float32."""

    def decoded(self, logits: Logits, classes: Sequence[str]) -> Sequence[Target]:
        """The predicted targets of logits [N, C]."""

    def probabilities(self, logits: Logits, classes: Sequence[str]) -> list[dict[str, float]]:
        """Class → probability, for each example; empty for regression."""

    def scores(self, gold: Sequence[Target], predicted: Sequence[Target]) -> dict[str, Any]:
        """The scores of the protocol."""

    def plain(self, target: Target) -> str | list[str] | float:
        """A target as a JSON value."""

    def cells(self, prediction: Prediction) -> list[str]:
        """A prediction as the cells of `columns`."""


class SingleLabel:
    """Exactly one class: softmax and cross-entropy."""

    problem_type = "single_label_classification"
    protocol = "classes"
    columns: tuple[str, ...] = (PREDICTED, PROBABILITY)

    def encoded(self, targets: Sequence[Target], classes: Sequence[str]) -> Tensor:
        """Class indices, [N]."""
        index = {name: position for position, name in enumerate(classes)}
        return torch.tensor([index[cast(tuple[str, ...], target)[0]] for target in targets])

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy."""
        return F.cross_entropy(logits, targets, reduction="sum")

    def decoded(self, logits: Logits, classes: Sequence[str]) -> list[Target]:
        """The class with the highest logit."""
        return [(classes[index],) for index in logits.argmax(1)]

    def probabilities(self, logits: Logits, classes: Sequence[str]) -> list[dict[str, float]]:
        """By softmax."""
        return _rounded(torch.from_numpy(logits).softmax(1), classes)

    def scores(self, gold: Sequence[Target], predicted: Sequence[Target]) -> dict[str, Any]:
        """Accuracy, macro F1, one row a class."""
        return class_scores(
            *([cast(tuple[str, ...], each)[0] for each in side] for side in (gold, predicted))
        )

    def plain(self, target: Target) -> str:
        """The class."""
        return cast(tuple[str, ...], target)[0]

    def cells(self, prediction: Prediction) -> list[str]:
        """The class and its probability."""
        name = cast(str, prediction.target)
        return [name, tables.cell(prediction.probabilities[name])]


class MultiLabel:
    """Any number of classes: a sigmoid each, and binary cross-entropy averaged over classes."""

    problem_type = "multi_label_classification"
    protocol = "multi_label"
    columns: tuple[str, ...] = (PREDICTED, PROBABILITIES)

    def encoded(self, targets: Sequence[Target], classes: Sequence[str]) -> Tensor:
        """0 and 1, [N, C]."""
        index = {name: position for position, name in enumerate(classes)}
        chosen = torch.zeros(len(targets), len(classes))
        for row, target in enumerate(targets):
            chosen[row, [index[name] for name in cast(tuple[str, ...], target)]] = 1.0
        return chosen

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Binary cross-entropy, averaged over classes."""
        return F.binary_cross_entropy_with_logits(logits, targets, reduction="sum") / logits.shape[1]

    def decoded(self, logits: Logits, classes: Sequence[str]) -> list[Target]:
        """The classes whose logit is above 0."""
        return [tuple(np.array(classes)[row > 0].tolist()) for row in logits]

    def probabilities(self, logits: Logits, classes: Sequence[str]) -> list[dict[str, float]]:
        """By sigmoid."""
        return _rounded(torch.from_numpy(logits).sigmoid(), classes)

    def scores(self, gold: Sequence[Target], predicted: Sequence[Target]) -> dict[str, Any]:
        """Micro and macro F1, one row a class."""
        return multi_label_scores(cast(Any, gold), cast(Any, predicted))

    def plain(self, target: Target) -> list[str]:
        """The classes."""
        return list(cast(tuple[str, ...], target))

    def cells(self, prediction: Prediction) -> list[str]:
        """The classes, and the probability of each class as JSON."""
        names = tuple(cast(list[str], prediction.target))
        return [tables.joined(names), tables.cell(dict(prediction.probabilities))]


class Regression:
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

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Squared error."""
        return F.mse_loss(logits[:, 0], targets, reduction="sum")

    def decoded(self, logits: Logits, classes: Sequence[str]) -> list[Target]:
        """The numbers in their own unit."""
        return [float(value) * self._deviation + self._mean for value in logits[:, 0]]

    def probabilities(self, logits: Logits, classes: Sequence[str]) -> list[dict[str, float]]:
        """None."""
        return [{} for _ in logits]

    def scores(self, gold: Sequence[Target], predicted: Sequence[Target]) -> dict[str, Any]:
        """Correlations and errors."""
        return regression_scores(cast(Any, gold), cast(Any, predicted))

    def plain(self, target: Target) -> float:
        """The number."""
        return cast(float, target)

    def cells(self, prediction: Prediction) -> list[str]:
        """The number."""
        return [tables.cell(prediction.target)]


def _rounded(probabilities: Tensor, classes: Sequence[str]) -> list[dict[str, float]]:
    return [
        {name: round(share, 6) for name, share in zip(classes, row, strict=True)}
        for row in probabilities.tolist()
    ]
