"""The task of classifying texts or pairs of texts, or of regression."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from itertools import islice
from typing import Any, Self, cast

import numpy as np
import torch
from torch import Tensor, nn

from bertinchamps.contract import Batch, LabelledText, Output
from bertinchamps.metrics.calibration import best_temperature
from bertinchamps.metrics.multi_label import rates
from bertinchamps.metrics.protocols import PROTOCOLS
from bertinchamps.metrics.tallies import Tally
from bertinchamps.schemas import FinetuneBatchConfig, SelectionConfig
from bertinchamps.tasks.batching import batches_of
from bertinchamps.tasks.comparing import compared_labels, label_errors
from bertinchamps.tasks.facts import TaskFacts
from bertinchamps.tasks.lessons import Lessons, Opinion
from bertinchamps.tasks.texts.predictor import TextPredictor
from bertinchamps.tasks.texts.soft_targets import SoftTargetType
from bertinchamps.tasks.texts.targets import Target
from bertinchamps.tasks.thresholds import FIXED, Settled, for_wanted


class TextClassification:
    """The `Task` that the trainer trains.

    Args:
        splits: examples of train and dev, and of test where there is one.
        predictor: type of target, classes, tokenizer and device.
        batch: how many examples at once, and in an update.
        seed: of the order.
        lessons: what teachers say, if there are any; the type of target is a `SoftTargetType` then.
    """

    name = "classification"
    predicted_fraction = 0.0  # the head predicts per text, not per token

    def __init__(
        self,
        splits: Mapping[str, list[LabelledText]],
        predictor: TextPredictor,
        batch: FinetuneBatchConfig,
        seed: int,
        lessons: Lessons | None = None,
    ) -> None:
        self.splits, self.predictor, self._batch, self._seed = splits, predictor, batch, seed
        self.metric = PROTOCOLS[predictor.target_type.protocol].choosing[0]
        self.encoded = {
            split: predictor.encoded([(example.text, example.pair) for example in examples])
            for split, examples in splits.items()
        }
        self._lessons = lessons
        further = [] if lessons is None else [(text, None) for text, _ in lessons.unlabelled]
        self._studied = [*self.encoded["train"], *predictor.encoded(further)]
        self._lengths = [example.length for example in self._studied]
        predictor.target_type.learn([example.target for example in splits["train"]], predictor.classes)

    def _targets_of(self, examples: Sequence[LabelledText]) -> Tensor:
        """The targets in the form that `TargetType.loss` takes."""
        targets = [example.target for example in examples]
        return self.predictor.target_type.encoded(targets, self.predictor.classes)

    def _shares_of(self, index: int, lessons: Lessons) -> Opinion:
        """The probabilities to learn of a text: teachers' and labels' of one of train, teachers' of another one."""
        train, classes = self.splits["train"], self.predictor.classes
        if index >= len(train):
            return lessons.unlabelled[index - len(train)][1]
        certain = cast(SoftTargetType, self.predictor.target_type).certain([train[index].target], classes)[0]
        return self.predictor.mixed(
            ((1.0 - lessons.weight, certain), (lessons.weight, lessons.labelled[index]))
        )

    def judged(
        self, facts: TaskFacts, opinions: Mapping[str, Sequence[Opinion]], choice: str
    ) -> tuple[Self, dict[str, np.ndarray[Any, Any]]]:
        """A task that decides by their own thresholds, and the logits of opinions."""
        target_type, classes = cast(SoftTargetType, self.predictor.target_type), self.predictor.classes
        predicted = {split: target_type.logits_of(np.stack(said)) for split, said in opinions.items()}
        chosen: tuple[float, ...] = ()
        if choice != FIXED:
            gold = [example.target for example in self.splits["dev"]]
            chosen = target_type.thresholds(gold, predicted["dev"], classes, choice)
        judge = copy(self)
        judge.predictor = copy(self.predictor)
        judge.predictor.target_type = target_type.decides_at(chosen)
        return judge, predicted

    def train_ids(self) -> set[int]:
        """Ids of all subwords to learn from, padding included."""
        used = np.unique(np.concatenate([example.subwords for example in self._studied]))
        return {self.predictor.padding, *used.tolist()}

    def epoch_length(self) -> int:
        """Texts to learn from."""
        return len(self._lengths)

    def batches(self, cursor: int, micro_batch: int, rank: int = 0, world_size: int = 1) -> Iterator[Batch]:
        """Endless micro-batches of training examples, grouped by length."""
        stream = batches_of(self._lengths, self._seed, cursor, self._batch.size, micro_batch)
        for indices, after in islice(stream, rank, None, world_size):
            inputs, targets = self.batch_of([int(index) for index in indices])
            yield Batch(inputs, targets, inputs["input_ids"].numel(), after)

    def examples_by_record(self) -> list[list[int]]:
        """Each text of train is a record."""
        return [[place] for place in range(len(self._lengths))]

    def length_of(self, place: int) -> int:
        """Subwords of a text."""
        return self._lengths[place]

    def targets_of(self, place: int) -> int:
        """One: its class, its classes or its number."""
        del place
        return 1

    def batch_of(self, indices: Sequence[int]) -> tuple[dict[str, Tensor], int]:
        """The inputs of some texts to learn from, and how many they are."""
        inputs = self.predictor.inputs([self._studied[index] for index in indices])
        # of a batch at a time: of all of train, hundreds of classes would take gigabytes
        if self._lessons is None:
            inputs["targets"] = self._targets_of([self.splits["train"][index] for index in indices])
        else:
            shares = [self._shares_of(index, self._lessons) for index in indices]
            inputs["targets"] = torch.from_numpy(np.stack(shares))
        return inputs, len(indices)

    def loss(self, model: nn.Module, inputs: Mapping[str, Tensor]) -> Output:
        """The loss of the target type, summed over examples."""
        given = dict(inputs)
        targets = given.pop("targets")
        return Output(self.predictor.target_type.loss(model(given).float(), targets))

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Scores on dev, and the mean loss over dev examples whose classes train has."""
        predicted = self.predict(model, "dev")
        known = [index for index, example in enumerate(self.splits["dev"]) if self._knows(example)]
        targets = self._targets_of([self.splits["dev"][index] for index in known])
        target_type = self.predictor.target_type
        loss = float(target_type.loss(torch.from_numpy(predicted[known]), targets)) / max(1, len(known))
        scores = self.scores("dev", predicted)[target_type.protocol]
        return {"loss": loss, **{name: value for name, value in scores.items() if isinstance(value, float)}}

    def _knows(self, example: LabelledText) -> bool:
        return isinstance(example.target, float) or set(example.target) <= set(self.predictor.classes)

    def predict(self, model: nn.Module, split: str) -> np.ndarray[Any, Any]:
        """Logits [examples, C] of a split."""
        return self.predictor.logits(model, self.encoded[split])

    def scores(
        self, split: str, predicted: np.ndarray[Any, Any], places: Sequence[int] | None = None
    ) -> dict[str, dict[str, Any]]:
        """The scores of the target type's protocols, of all examples or of those at some places."""
        target_type, classes = self.predictor.target_type, self.predictor.classes
        chosen = list(range(len(predicted)) if places is None else places)
        gold = [self.splits[split][at].target for at in chosen]
        found = target_type.decoded(predicted[chosen], classes)
        more = target_type.more_scores(gold, predicted[chosen], classes)
        return {target_type.protocol: target_type.scores(gold, found), **more}

    def tallies(
        self, split: str, predicted: np.ndarray[Any, Any], places: Sequence[int] | None = None
    ) -> dict[str, Tally]:
        """What these scores are computed from, text by text."""
        target_type, classes = self.predictor.target_type, self.predictor.classes
        chosen = list(range(len(predicted)) if places is None else places)
        gold = [self.splits[split][at].target for at in chosen]
        return dict(target_type.tallies(gold, predicted[chosen], classes))

    def errors(self, split: str, predicted: np.ndarray[Any, Any]) -> dict[str, Any]:
        """Counts of right and wrong classes; of numbers, none."""
        if any(isinstance(example.target, float) for example in self.splits[split]):
            return {}
        gold, found = self._both_sides(split, predicted)
        return label_errors("class", gold, found)

    def compared(self, split: str, predicted: np.ndarray[Any, Any]) -> Iterator[dict[str, Any]]:
        """The texts with true and predicted classes or numbers."""
        texts = ("\n".join(filter(None, (each.text, each.pair))) for each in self.splits[split])
        return compared_labels(texts, *self._both_sides(split, predicted))

    def _both_sides(
        self, split: str, predicted: np.ndarray[Any, Any]
    ) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
        """True and predicted classes of a split, as many as texts."""
        found = self.predictor.target_type.decoded(predicted, self.predictor.classes)
        return [_named(each.target) for each in self.splits[split]], [_named(each) for each in found]

    def decisions(self, split: str, predicted: np.ndarray[Any, Any]) -> list[tuple[float, bool]]:
        """Of each predicted class its probability, and whether it is right; of numbers, none."""
        target_type, classes = self.predictor.target_type, self.predictor.classes
        shares = target_type.probabilities(predicted, classes)
        gold, found = self._both_sides(split, predicted)
        return [
            (own[label], label in true)
            for own, true, labels in zip(shares, gold, found, strict=True)
            for label in labels
            if label in own
        ]

    def fit_temperature(self, model: nn.Module) -> float:
        """By the likelihood of the true classes of dev; 1 for numbers."""
        self.predictor.temperature = 1.0
        known = [index for index, example in enumerate(self.splits["dev"]) if self._knows(example)]
        logits = torch.from_numpy(self.predict(model, "dev")[known])
        targets = self._targets_of([self.splits["dev"][index] for index in known])
        target_type = self.predictor.target_type
        self.predictor.temperature = best_temperature(lambda t: target_type.unlikelihood(logits / t, targets))
        return self.predictor.temperature

    def settled(self, model: nn.Module, facts: TaskFacts, choice: SelectionConfig) -> Settled:
        """The facts with the thresholds that are wanted, where the type of target has thresholds."""
        gold = [example.target for example in self.splits["dev"]]
        target_type, classes = self.predictor.target_type, self.predictor.classes
        wanted: dict[str, Any] = {}
        if choice.recall is not None or choice.precision is not None:
            logits = self.predict(model, "dev")
            name = "recall" if choice.recall is not None else "precision"

            def score(threshold: float) -> float:
                decided = target_type.decides_at((threshold,) * len(classes)).decoded(logits, classes)
                return rates(cast(Any, gold), cast(Any, decided))[name]

            threshold, wanted = for_wanted(choice, score)
            chosen: tuple[float, ...] = (threshold,) * len(classes)
        elif choice.thresholds == FIXED:
            return Settled(facts)
        else:
            chosen = target_type.thresholds(gold, self.predict(model, "dev"), classes, choice.thresholds)
        if not chosen:
            return Settled(facts)
        self.predictor.target_type = target_type.decides_at(chosen)
        return Settled(replace(facts, thresholds=chosen), wanted)

    def facts(self, split: str) -> dict[str, Any]:
        """Counts for the results."""
        encoded = self.encoded[split]
        counts = {
            "examples": len(encoded),
            "subwords": sum(example.length for example in encoded),
            "texts_cut": sum(example.left_out > 0 for example in encoded),
        }
        rows = sum(len(example.rows) for example in encoded)
        if rows == len(encoded):
            return counts
        return {**counts, "rows": rows, "rows_left_out": sum(example.left_out for example in encoded)}


def _named(target: Target) -> tuple[str, ...]:
    """Classes, or a number as text."""
    return (f"{target:.4g}",) if isinstance(target, float) else target
