"""Scores of the answers to a question, each read beside the question.

Shapes: B questions, A answers, R pairs of a question and an answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from bertinchamps.model.encoders import EncoderSource
from bertinchamps.model.heads import Graph, heads
from bertinchamps.model.heads.classes import TextClassifier

NO_ANSWER = -30.0  # logit of an answer that the question does not have: no loss, and a probability of 0


@heads.register("choices")
class ChoiceScorer(TextClassifier):
    """A sequence classifier of transformers with one class, "right", for pairs of a question and an answer."""

    def __init__(self, source: EncoderSource) -> None:
        super().__init__(source, ("right",), "multi_label_classification")

    def forward(self, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:  # [B, A]
        """Logits of each answer; `rows` [B, A] has the pairs' indices, -1 where a question has no such answer."""
        return self.through(self.graph, inputs)

    @staticmethod
    def through(graph: Graph, *given: Any) -> torch.Tensor:  # [B, A]
        """The scores of the pairs, in the places of their answers."""
        inputs = dict(given[0])
        rows = inputs.pop("rows")
        scores = graph(inputs)[:, 0].float()  # [R]
        return scores[rows.clamp(min=0)].masked_fill(rows < 0, NO_ANSWER)
