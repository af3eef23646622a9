"""Questions with one or several right answers. A question is a text; its answers are the pair, one a line.

The answers are called a, b, c, … in their order. Each is read beside the question.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
import torch

from bertinchamps.metrics.multiple_choice import multiple_choice_scores, multiple_choice_tally
from bertinchamps.metrics.tallies import Tally
from bertinchamps.model.heads.choices import NO_ANSWER
from bertinchamps.tasks.texts.predictor import FIRST, Encoded, TextPredictor
from bertinchamps.tasks.texts.targets import Logits, MultiLabel, Target
from bertinchamps.tasks.texts.thresholds import GRID

LETTERS = tuple(string.ascii_lowercase)


def answers_of(pair: str | None) -> list[str]:
    """The answers of a question, given as its pair."""
    return (pair or "").split("\n")


class Choices(MultiLabel):
    """The answers above the threshold, and in any case the likeliest one."""

    protocol = "multiple_choice"

    def decoded(self, logits: Logits, classes: Sequence[str]) -> list[Target]:
        """The letters of the answers above the threshold, or of the likeliest answer where there is none."""
        names, chosen = np.array(classes), logits > self.least
        chosen[np.arange(len(logits)), logits.argmax(1)] = True
        return [tuple(names[row].tolist()) for row in chosen]

    def probabilities(self, logits: Logits, classes: Sequence[str]) -> list[dict[str, float]]:
        """By sigmoid, of the answers that a question has."""
        every = zip(super().probabilities(logits, classes), logits > NO_ANSWER, strict=True)
        return [
            {name: share for (name, share), there in zip(shares.items(), given, strict=True) if there}
            for shares, given in every
        ]

    def scores(self, gold: Sequence[Target], predicted: Sequence[Target]) -> dict[str, Any]:
        """Exact match and Hamming score."""
        return multiple_choice_scores(cast(Any, gold), cast(Any, predicted))

    def more_scores(
        self, gold: Sequence[Target], logits: Logits, classes: Sequence[str]
    ) -> dict[str, dict[str, Any]]:
        """None."""
        return {}

    def tallies(self, gold: Sequence[Target], logits: Logits, classes: Sequence[str]) -> dict[str, Tally]:
        """Of the answers given."""
        return {
            self.protocol: multiple_choice_tally(cast(Any, gold), cast(Any, self.decoded(logits, classes)))
        }

    def thresholds(
        self, gold: Sequence[Target], logits: Logits, classes: Sequence[str], choice: str
    ) -> tuple[float, ...]:
        """The one with the best Hamming score, for all answers; of equal ones that nearest to 0.5."""
        del choice  # letters have no thresholds of their own
        scored = [
            (
                self.scores(gold, Choices(thresholds=(each,)).decoded(logits, classes))["hamming"],
                -abs(each - 0.5),
                each,
            )
            for each in GRID
        ]
        return (max(scored)[2],) * len(classes)


class ChoicePredictor(TextPredictor):
    """Scores each answer beside its question; `classes` are letters."""

    def __init__(
        self,
        target_type: Choices,
        classes: Sequence[str],
        tokenizer: Any,
        longest: int,
        batch: int,
        device: torch.device,
        temperature: float = 1.0,
    ) -> None:
        super().__init__(target_type, classes, tokenizer, longest, batch, device, FIRST, temperature)
        self.row_columns = len(classes)

    def _encoded(self, texts: Sequence[tuple[str, str | None]]) -> Iterator[Encoded]:
        answers = [answers_of(pair) for _, pair in texts]
        pairs = [(text, answer) for (text, _), own in zip(texts, answers, strict=True) for answer in own]
        rows = iter(list(super()._encoded(pairs)))
        for own in answers:
            found = [next(rows) for _ in own]
            read = found[
                : len(self.classes)
            ]  # a question of new text may have more answers than those of train
            types = None if read[0].types is None else tuple(row.types[0] for row in read if row.types)
            left_out = len(found) - len(read) + sum(row.left_out > 0 for row in read)
            yield Encoded(tuple(row.rows[0] for row in read), types, left_out)
