"""What is predicted of a text: one class or any number of classes; a number is in numbers.py. N examples, C classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, Self, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bertinchamps.metrics.classes import class_scores, class_tally
from bertinchamps.metrics.multi_label import multi_label_scores, multi_label_tally
from bertinchamps.metrics.precision_at_k import PLACES, precision_at_k, precision_at_k_tally
from bertinchamps.metrics.tallies import Tally
from bertinchamps.tasks.formats import tables
from bertinchamps.tasks.texts.losses import Loss, Plain
from bertinchamps.tasks.texts.thresholds import best_thresholds

Logits = np.ndarray[Any, Any]
Target = tuple[str, ...] | float
PREDICTED, PROBABILITY, PROBABILITIES = "predicted", "probability", "probabilities"
MOST_RANKED = max(PLACES)  # classes of a text that are ranked
LEAST = 1e-7  # probability that has a logarithm, and whose rest has one in float32


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

    def learn(self, targets: Sequence[Target], classes: Sequence[str]) -> None:
        """Take what the loss needs of train's targets, such as weights of classes."""

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Summed over examples; logits are [N, C], float32."""

    def unlikelihood(self, logits: Tensor, targets: Tensor) -> float:
        """Minus the logarithm of the likelihood of targets as `encoded` gives them, whatever the loss; 0: no such."""

    def decoded(self, logits: Logits, classes: Sequence[str]) -> Sequence[Target]:
        """The predicted targets of logits [N, C]."""

    def probabilities(self, logits: Logits, classes: Sequence[str]) -> list[dict[str, float]]:
        """Class → probability, for each example; empty for regression."""

    def scores(self, gold: Sequence[Target], predicted: Sequence[Target]) -> dict[str, Any]:
        """The scores of the protocol."""

    def more_scores(
        self, gold: Sequence[Target], logits: Logits, classes: Sequence[str]
    ) -> dict[str, dict[str, Any]]:
        """The scores of further protocols, by protocol."""

    def tallies(self, gold: Sequence[Target], logits: Logits, classes: Sequence[str]) -> Mapping[str, Tally]:
        """What the scores of all these protocols are computed from, text by text, by protocol."""

    def thresholds(
        self, gold: Sequence[Target], logits: Logits, classes: Sequence[str], choice: str
    ) -> tuple[float, ...]:
        """The probability above which each class is predicted, chosen for these texts; none: it has no thresholds."""

    def decides_at(self, thresholds: Sequence[float]) -> TargetType:
        """This type of target with thresholds."""

    def plain(self, target: Target) -> str | list[str] | float:
        """A target as a JSON value."""

    def cells(self, prediction: Prediction) -> list[str]:
        """A prediction as the cells of `columns`."""


class WithoutThresholds:
    """What types of target have in common of which nothing is chosen on dev."""

    def more_scores(
        self, gold: Sequence[Target], logits: Logits, classes: Sequence[str]
    ) -> dict[str, dict[str, Any]]:
        """None."""
        return {}

    def thresholds(
        self, gold: Sequence[Target], logits: Logits, classes: Sequence[str], choice: str
    ) -> tuple[float, ...]:
        """None."""
        return ()

    def decides_at(self, thresholds: Sequence[float]) -> Self:
        """This type."""
        return self


class SingleLabel(WithoutThresholds):
    """Exactly one class: softmax and cross-entropy.

    Args:
        loss: what is minimised.
    """

    problem_type = "single_label_classification"
    protocol = "classes"
    columns: tuple[str, ...] = (PREDICTED, PROBABILITY)

    def __init__(self, loss: Loss | None = None) -> None:
        self._loss: Loss = loss or Plain()

    def encoded(self, targets: Sequence[Target], classes: Sequence[str]) -> Tensor:
        """Class indices, [N]."""
        index = {name: position for position, name in enumerate(classes)}
        return torch.tensor([index[cast(tuple[str, ...], target)[0]] for target in targets])

    def learn(self, targets: Sequence[Target], classes: Sequence[str]) -> None:
        """Weights of classes, where the loss has any."""
        self._loss.learn(_texts_with(targets, classes), len(targets), single=True)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy, of classes or of their probabilities [N, C]; or what stands for it, of classes."""
        return self._loss.single(logits, targets)

    def unlikelihood(self, logits: Tensor, targets: Tensor) -> float:
        """Of one class."""
        return float(Plain().single(logits, targets))

    def decoded(self, logits: Logits, classes: Sequence[str]) -> list[Target]:
        """The class with the highest logit."""
        return [(classes[index],) for index in logits.argmax(1)]

    def probabilities(self, logits: Logits, classes: Sequence[str]) -> list[dict[str, float]]:
        """By softmax."""
        return _rounded(self.shares(logits), classes)

    def shares(self, logits: Logits) -> Logits:
        """By softmax: they sum to 1."""
        return torch.from_numpy(logits).softmax(1).numpy()

    def logits_of(self, shares: Logits) -> Logits:
        """Logarithms."""
        return np.log(np.maximum(shares, LEAST))

    def certain(self, targets: Sequence[Target], classes: Sequence[str]) -> Logits:
        """1 for the class."""
        return F.one_hot(self.encoded(targets, classes), len(classes)).float().numpy()

    def scores(self, gold: Sequence[Target], predicted: Sequence[Target]) -> dict[str, Any]:
        """Accuracy, macro F1, one row a class."""
        return class_scores(
            *([cast(tuple[str, ...], each)[0] for each in side] for side in (gold, predicted))
        )

    def tallies(self, gold: Sequence[Target], logits: Logits, classes: Sequence[str]) -> dict[str, Tally]:
        """Of the predicted classes."""
        sides = (gold, self.decoded(logits, classes))
        return {self.protocol: class_tally(*([cast(Any, each)[0] for each in side] for side in sides))}

    def plain(self, target: Target) -> str:
        """The class."""
        return cast(tuple[str, ...], target)[0]

    def cells(self, prediction: Prediction) -> list[str]:
        """The class and its probability."""
        name = cast(str, prediction.target)
        return [name, tables.cell(prediction.probabilities[name])]


class MultiLabel:
    """Any number of classes: a sigmoid each, and binary cross-entropy averaged over classes.

    Args:
        loss: what is minimised.
        thresholds: for each class, the probability above which it is predicted; none: 0.5 for all.
    """

    problem_type = "multi_label_classification"
    protocol = "multi_label"
    columns: tuple[str, ...] = (PREDICTED, PROBABILITIES)

    def __init__(self, loss: Loss | None = None, thresholds: Sequence[float] = ()) -> None:
        self._loss: Loss = loss or Plain()
        shares = np.array(thresholds)
        self.least = np.log(shares / (1 - shares)) if len(shares) else np.zeros(1)  # logits, [C] or [1]

    def encoded(self, targets: Sequence[Target], classes: Sequence[str]) -> Tensor:
        """0 and 1, [N, C]."""
        index = {name: position for position, name in enumerate(classes)}
        chosen = torch.zeros(len(targets), len(classes))
        for row, target in enumerate(targets):
            chosen[row, [index[name] for name in cast(tuple[str, ...], target)]] = 1.0
        return chosen

    def learn(self, targets: Sequence[Target], classes: Sequence[str]) -> None:
        """Weights of classes, where the loss has any."""
        self._loss.learn(_texts_with(targets, classes), len(targets), single=False)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Binary cross-entropy of classes or of their probabilities, or what stands for it, averaged over classes."""
        return self._loss.multi(logits, targets) / logits.shape[1]

    def unlikelihood(self, logits: Tensor, targets: Tensor) -> float:
        """Of the classes that are predicted above one half: the others are too many, and surely absent."""
        found = logits > 0
        return float(Plain().multi(logits[found], targets[found]))

    def decoded(self, logits: Logits, classes: Sequence[str]) -> list[Target]:
        """The classes above their thresholds."""
        names = np.array(classes)
        return [tuple(names[row > self.least].tolist()) for row in logits]

    def probabilities(self, logits: Logits, classes: Sequence[str]) -> list[dict[str, float]]:
        """By sigmoid."""
        return _rounded(self.shares(logits), classes)

    def shares(self, logits: Logits) -> Logits:
        """By sigmoid: each between 0 and 1."""
        return torch.from_numpy(logits).sigmoid().numpy()

    def logits_of(self, shares: Logits) -> Logits:
        """Logarithms of the odds."""
        inside = np.clip(shares, LEAST, 1 - LEAST)
        odds: Logits = np.log(inside) - np.log1p(-inside)
        return odds

    def certain(self, targets: Sequence[Target], classes: Sequence[str]) -> Logits:
        """1 for each class."""
        return self.encoded(targets, classes).numpy()

    def scores(self, gold: Sequence[Target], predicted: Sequence[Target]) -> dict[str, Any]:
        """Micro and macro F1, one row a class."""
        return multi_label_scores(cast(Any, gold), cast(Any, predicted))

    def more_scores(
        self, gold: Sequence[Target], logits: Logits, classes: Sequence[str]
    ) -> dict[str, dict[str, Any]]:
        """Precision at k."""
        return {"precision_at_k": precision_at_k(cast(Any, gold), self._ranked(logits, classes))}

    def _ranked(self, logits: Logits, classes: Sequence[str]) -> list[list[str]]:
        """The likeliest classes of each text in their order."""
        order = np.argsort(-logits, axis=1, kind="stable")[:, :MOST_RANKED]
        return np.array(classes)[order].tolist()  # type: ignore[no-any-return]

    def tallies(self, gold: Sequence[Target], logits: Logits, classes: Sequence[str]) -> dict[str, Tally]:
        """Of the predicted and of the ranked classes."""
        ranked = self._ranked(logits, classes)
        return {
            self.protocol: multi_label_tally(cast(Any, gold), cast(Any, self.decoded(logits, classes))),
            "precision_at_k": precision_at_k_tally(cast(Any, gold), ranked),
        }

    def thresholds(
        self, gold: Sequence[Target], logits: Logits, classes: Sequence[str], choice: str
    ) -> tuple[float, ...]:
        """Those with the highest micro F1."""
        return best_thresholds(self.shares(logits), cast(Any, gold), classes, choice)

    def decides_at(self, thresholds: Sequence[float]) -> Self:
        """The same loss, with thresholds."""
        return type(self)(self._loss, thresholds)

    def plain(self, target: Target) -> list[str]:
        """The classes."""
        return list(cast(tuple[str, ...], target))

    def cells(self, prediction: Prediction) -> list[str]:
        """The classes, and the probability of each class as JSON."""
        names = tuple(cast(list[str], prediction.target))
        return [tables.joined(names), tables.cell(dict(prediction.probabilities))]


def _texts_with(targets: Sequence[Target], classes: Sequence[str]) -> Tensor:
    """How many of the targets have each class, [C]."""
    counts = Counter(name for target in targets for name in cast(tuple[str, ...], target))
    return torch.tensor([counts[name] for name in classes])


def _rounded(probabilities: Logits, classes: Sequence[str]) -> list[dict[str, float]]:
    return [
        {name: round(share, 6) for name, share in zip(classes, row, strict=True)}
        for row in probabilities.tolist()
    ]
