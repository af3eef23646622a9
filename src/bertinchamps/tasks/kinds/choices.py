"""Questions with one or several right answers (`kind = "multiple_choice"`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from bertinchamps.model.encoders import EncoderSource
from bertinchamps.model.heads import DownstreamModel, heads
from bertinchamps.schemas import FinetuneConfig
from bertinchamps.tasks.facts import TaskFacts
from bertinchamps.tasks.kinds import BySplit, kinds
from bertinchamps.tasks.kinds.classes import TextKind, loss_of
from bertinchamps.tasks.texts.choices import LETTERS, ChoicePredictor, Choices, answers_of
from bertinchamps.tasks.thresholds import FIXED, OVERALL


@kinds.register("multiple_choice")
class MultipleChoice(TextKind):
    """The right ones of the answers to a question.

    An example is a question, with its answers as the pair, one a line; the target are letters, a for the first answer.
    """

    name, protocol = "multiple_choice", Choices.protocol
    threshold_choices = (FIXED, OVERALL)
    record = "question"
    refuses_teachers = "a text without labels has no answers to choose from"

    def target_type(self, facts: TaskFacts) -> Choices:
        return Choices(loss_of(facts), facts.thresholds)

    def example_problems(self, splits: BySplit, labels: Sequence[str]) -> list[str]:
        """Questions without a right answer, or whose right answers are not there."""
        found = []
        for split, examples in splits.items():
            for example in examples:
                letters = LETTERS[: len(answers_of(example.pair))]
                if not example.target or not set(example.target) <= set(letters):
                    found.append(
                        f"task.{split}: {example.name}: the right answers must be among {', '.join(letters)}, the "
                        "letters of its answers in their order, which stand one a line"
                    )
        return found[:1]

    def facts(self, config: FinetuneConfig, title: str, splits: BySplit, labels: Sequence[str]) -> TaskFacts:
        """With a letter for each answer that a question has."""
        most = max(len(answers_of(example.pair)) for own in splits.values() for example in own)
        return replace(super().facts(config, title, splits, labels), labels=LETTERS[:most])

    def build_model(self, facts: TaskFacts, source: EncoderSource) -> DownstreamModel:
        return heads.build("choices", source=source)

    def build_predictor(
        self, facts: TaskFacts, tokenizer: Any, batch: int, device: torch.device
    ) -> ChoicePredictor:
        target_type, length = self.target_type(facts), facts.max_length
        return ChoicePredictor(target_type, facts.labels, tokenizer, length, batch, device, facts.temperature)
