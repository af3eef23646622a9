"""Classes and numbers of whole texts or pairs (`kind = "single_label"`, `"multi_label"`, `"regression"`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bertinchamps.metrics.protocols import PROTOCOLS
from bertinchamps.model.encoders import EncoderSource
from bertinchamps.model.heads import DownstreamModel, heads
from bertinchamps.schemas import FinetuneBatchConfig, FinetuneConfig
from bertinchamps.tasks.facts import TaskFacts
from bertinchamps.tasks.inputs import Input, Inputs
from bertinchamps.tasks.kinds import BySplit, kinds
from bertinchamps.tasks.lessons import Lessons
from bertinchamps.tasks.texts.classification import TextClassification
from bertinchamps.tasks.texts.losses import PLAIN, Loss, losses
from bertinchamps.tasks.texts.numbers import Regression
from bertinchamps.tasks.texts.predictor import TextPredictor, Windows
from bertinchamps.tasks.texts.targets import (
    PREDICTED,
    PROBABILITIES,
    MultiLabel,
    Prediction,
    SingleLabel,
    TargetType,
)
from bertinchamps.tasks.thresholds import CHOICES, FIXED
from bertinchamps.textfiles import json_lines

CUT, WINDOWS = "cut", "windows"  # of `long_texts.read`


class TextKind:
    """What the kinds of whole texts share; a subclass gives the type of target.

    Attributes:
        protocol: the entry of `metrics.protocols` that scores predictions.
    """

    name: str
    protocol: str
    losses = tuple(losses.names())
    threshold_choices: tuple[str, ...] = (FIXED,)
    has_heads = False
    formats = ("jsonl", "csv", "tsv")
    reads_words = False
    reads_entities = False
    keeps_text = True
    wants: tuple[str, ...] = ()
    record = "text"
    mixes_records: str | None = None
    refuses_teachers: str | None = "its type of target does not say how probabilities are learnt"

    @property
    def metrics(self) -> tuple[str, ...]:
        """Dev scores that may select the weights."""
        return PROTOCOLS[self.protocol].choosing

    def target_type(self, facts: TaskFacts) -> TargetType:
        """The type of target."""
        raise NotImplementedError

    def example_problems(self, splits: BySplit, labels: Sequence[str]) -> list[str]:
        return []

    def facts(self, config: FinetuneConfig, title: str, splits: BySplit, labels: Sequence[str]) -> TaskFacts:
        return TaskFacts(
            title,
            self.name,
            None,
            tuple(labels),
            config.max_length,
            pairs=splits["train"][0].pair is not None,
            threshold_choice=config.selection.thresholds,
            loss=config.loss,
            long_texts=asdict(config.long_texts) if config.long_texts.read == WINDOWS else {},
        )

    def build_model(self, facts: TaskFacts, source: EncoderSource) -> DownstreamModel:
        if facts.long_texts:
            pool, at_once = facts.long_texts["pool"], facts.long_texts["at_once"]
            return heads.build("windows", source=source, classes=facts.labels, pool=pool, at_once=at_once)
        problem = self.target_type(facts).problem_type
        return heads.build("classes", source=source, classes=facts.labels, problem=problem)

    def build_predictor(
        self, facts: TaskFacts, tokenizer: Any, batch: int, device: torch.device
    ) -> TextPredictor:
        target_type, long_texts = self.target_type(facts), facts.long_texts
        windows = Windows(long_texts["overlap"], long_texts["most"]) if long_texts else None
        return TextPredictor(
            target_type, facts.labels, tokenizer, facts.max_length, batch, device, windows, facts.temperature
        )

    def build_task(
        self,
        splits: BySplit,
        predictor: TextPredictor,
        batch: FinetuneBatchConfig,
        seed: int,
        lessons: Lessons | None = None,
    ) -> TextClassification:
        return TextClassification(splits, predictor, batch, seed, lessons)

    def write_split(
        self, folder: Path, task: TextClassification, split: str, predicted: np.ndarray[Any, Any]
    ) -> None:
        """Write SPLIT.jsonl: id, prediction, gold target and probabilities of each example."""
        json_lines.write(folder / f"{split}.jsonl", _lines(task, split, predicted))

    def columns(self, facts: TaskFacts) -> tuple[str, ...]:
        return self.target_type(facts).columns

    def output_keys(self, inputs: Inputs) -> set[str]:
        return {PREDICTED, PROBABILITIES}

    def rows(self, facts: TaskFacts, prediction: Prediction, beside: list[str]) -> Iterator[list[str]]:
        """One row."""
        yield [*beside, *self.target_type(facts).cells(prediction)]

    def as_object(
        self, facts: TaskFacts, given: Input, prediction: Prediction, inputs: Inputs
    ) -> dict[str, Any]:
        """The user's fields, the prediction, and the probabilities of classes."""
        shares = {PROBABILITIES: dict(prediction.probabilities)} if prediction.probabilities else {}
        return {**dict(given.fields), PREDICTED: prediction.target, **shares}


@kinds.register("single_label")
class OneClass(TextKind):
    """Exactly one class a text."""

    name, protocol = "single_label", SingleLabel.protocol
    refuses_teachers = None

    def target_type(self, facts: TaskFacts) -> SingleLabel:
        return SingleLabel(loss_of(facts))

    def example_problems(self, splits: BySplit, labels: Sequence[str]) -> list[str]:
        if len(labels) > 1:
            return []
        return [f"task: only one class, {len(splits['train'])} times; is task.label the right column?"]


@kinds.register("multi_label")
class ManyClasses(TextKind):
    """Any number of classes a text."""

    name, protocol = "multi_label", MultiLabel.protocol
    refuses_teachers = None
    threshold_choices = CHOICES
    wants = ("recall", "precision")

    def target_type(self, facts: TaskFacts) -> MultiLabel:
        return MultiLabel(loss_of(facts), facts.thresholds)


@kinds.register("regression")
class RegressionKind(TextKind):
    """A number a text."""

    name, protocol = "regression", Regression.protocol
    losses = (PLAIN,)
    mixes_records = (
        "the numbers are standardised with mean and deviation of all of train, which the model keeps"
    )
    refuses_teachers = "a number has no probability"

    def target_type(self, facts: TaskFacts) -> Regression:
        return Regression(facts.mean, facts.deviation)

    def example_problems(self, splits: BySplit, labels: Sequence[str]) -> list[str]:
        if len({example.target for example in splits["dev"]}) > 1:
            return []
        return [
            "task: only one number in the dev split, so no score could select the weights: give another dev split "
            "(task.dev), or raise selection.dev_share"
        ]

    def facts(self, config: FinetuneConfig, title: str, splits: BySplit, labels: Sequence[str]) -> TaskFacts:
        """With mean and standard deviation of train's targets; the deviation is 1 where all targets are equal."""
        numbers = [example.target for example in splits["train"]]
        mean, deviation = float(np.mean(numbers)), float(np.std(numbers)) or 1.0
        return replace(super().facts(config, title, splits, ("number",)), mean=mean, deviation=deviation)


def loss_of(facts: TaskFacts) -> Loss:
    """What the model minimised."""
    return losses.build(**(facts.loss or {"name": PLAIN}))


def _lines(task: TextClassification, split: str, logits: np.ndarray[Any, Any]) -> Iterator[dict[str, Any]]:
    predictor, examples = task.predictor, task.splits[split]
    for example, prediction in zip(examples, predictor.predictions(logits), strict=True):
        gold = predictor.target_type.plain(example.target)
        record = {"id": example.name, "predicted": prediction.target, "gold": gold}
        yield (
            {**record, "probabilities": dict(prediction.probabilities)}
            if prediction.probabilities
            else record
        )
