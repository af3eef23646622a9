"""Types of target that a student can learn from teachers. N examples, C classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bertinchamps.tasks.texts.targets import Logits, Target, TargetType


class SoftTargetType(TargetType, Protocol):
    """A type of target whose `loss` takes probabilities, too."""

    def shares(self, logits: Logits) -> Logits:
        """Probabilities [N, C] of logits [N, C]."""

    def logits_of(self, shares: Logits) -> Logits:
        """Logits [N, C] that have these probabilities."""

    def certain(self, targets: Sequence[Target], classes: Sequence[str]) -> Logits:
        """Targets as probabilities, 0 and 1, [N, C]."""
