"""What is minimised while classes of texts are learnt (`loss=`). N examples, C classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from bertinchamps.registry import Registry

PLAIN = "plain"


class Loss(Protocol):
    """A loss of classes.

    Attributes:
        counts_train: whether it depends on how many texts of train have each class.
    """

    counts_train: bool

    def learn(self, texts: Tensor, examples: int, single: bool) -> None:
        """Take what the loss needs of train.

        Args:
            texts: of each class, how many texts of train have it, [C].
            examples: texts of train.
            single: whether each text has one class.
        """

    def single(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Summed over examples, of one class a text: logits [N, C], class indices [N]; plain takes shares, too."""

    def multi(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Summed over examples and classes, of any number of classes a text: logits and targets [N, C]."""


losses: Registry[Loss] = Registry("loss", "loss")


@losses.register(PLAIN)
class Plain:
    """Cross-entropy, and binary cross-entropy."""

    counts_train = False

    def learn(self, texts: Tensor, examples: int, single: bool) -> None:
        """Nothing."""

    def single(self, logits: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(logits, targets, reduction="sum")

    def multi(self, logits: Tensor, targets: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits, targets, reduction="sum")


def _balanced_problems(settings: Mapping[str, Any]) -> list[str]:
    most = settings.get("most", 1.0)
    return [] if most >= 1 else [f"loss.most={most}: must be at least 1, the weight of a class without any"]


@losses.register("balanced", check=_balanced_problems)
class Balanced:
    """Classes weigh the more the rarer they are in train.

    With one class a text, its weight is examples / (C · texts of its class), as scikit-learn's "balanced", so that the
    mean weight of train's texts is 1. With several, a text that has a class weighs (texts without it) / (texts with
    it), so that both sides of each class weigh the same.

    Args:
        most: the largest weight.
    """

    counts_train = True

    def __init__(self, most: float = 20.0) -> None:
        self._most = most
        self._weights: Tensor | None = None

    def learn(self, texts: Tensor, examples: int, single: bool) -> None:
        counts = texts.double().clamp(min=1)
        weights = examples / (len(counts) * counts) if single else (examples - counts) / counts
        self._weights = weights.clamp(max=self._most).float()

    def single(self, logits: Tensor, targets: Tensor) -> Tensor:
        # without a mean: the engine divides by the number of examples
        return F.cross_entropy(logits, targets, weight=self._on(logits), reduction="sum")

    def multi(self, logits: Tensor, targets: Tensor) -> Tensor:
        weights = self._on(logits)
        return F.binary_cross_entropy_with_logits(logits, targets, pos_weight=weights, reduction="sum")

    def _on(self, logits: Tensor) -> Tensor | None:
        return None if self._weights is None else self._weights.to(logits.device)


def _focal_problems(settings: Mapping[str, Any]) -> list[str]:
    gamma = settings.get("gamma", 0.0)
    return [] if gamma >= 0 else [f"loss.gamma={gamma}: must be at least 0, which is loss=plain"]


@losses.register("focal", check=_focal_problems)
class Focal:
    """Focal loss (Lin et al., 2017): (1 - p)^gamma times the cross-entropy, p the probability of what is right.

    Args:
        gamma: how little counts what is right already.
    """

    counts_train = False

    def __init__(self, gamma: float = 2.0) -> None:
        self._gamma = gamma

    def learn(self, texts: Tensor, examples: int, single: bool) -> None:
        """Nothing."""

    def single(self, logits: Tensor, targets: Tensor) -> Tensor:
        return self._focused(F.cross_entropy(logits, targets, reduction="none"))

    def multi(self, logits: Tensor, targets: Tensor) -> Tensor:
        return self._focused(F.binary_cross_entropy_with_logits(logits, targets, reduction="none"))

    def _focused(self, cross_entropy: Tensor) -> Tensor:
        wrong = -torch.expm1(-cross_entropy)  # 1 - p
        return (wrong.clamp(min=1e-12) ** self._gamma * cross_entropy).sum()  # no infinite slope at 0
