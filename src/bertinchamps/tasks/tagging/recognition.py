"""The task of named-entity recognition: character spans in, character spans out, whatever the head."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby, islice
from typing import Any, Self, cast

from torch import Tensor, nn

from bertinchamps.contract import AnnotatedText, Batch, Entity, Output
from bertinchamps.metrics.calibration import best_temperature, unlikelihood
from bertinchamps.metrics.leaks import leak_scores
from bertinchamps.metrics.nested_exact import nested_exact_scores
from bertinchamps.metrics.strict_spans import strict_scores
from bertinchamps.schemas import FinetuneBatchConfig, SelectionConfig
from bertinchamps.spans import EntitiesByOffset, without_edges
from bertinchamps.tasks.batching import batches_of
from bertinchamps.tasks.facts import TaskFacts
from bertinchamps.tasks.lessons import Lessons, Opinion
from bertinchamps.tasks.tagging.predictor import Array, EntityPredictor, read, with_entities
from bertinchamps.tasks.tagging.representations import (
    Representation,
    SpanRepresentation,
    representations,
)
from bertinchamps.tasks.tagging.scoring import EntityScores
from bertinchamps.tasks.tagging.thresholds import GRID, best_thresholds
from bertinchamps.tasks.tagging.windows import Window, windows_of
from bertinchamps.tasks.thresholds import FIXED, HIGH_LEVELS, LEVELS, Settled, for_wanted

# Dev scores that may select the weights, higher is better; the default is the metric of the head's representation.
METRICS = ("strict_f1", "strict_precision", "strict_recall", "nested_exact_f1")


class EntityRecognition(EntityScores):
    """The `Task` that the trainer trains.

    Args:
        splits: documents of train and dev, and of test where there is one.
        predictor: representation, tokenizer and device.
        batch: how many windows at once, and in an update.
        seed: of the order.
        lessons: what teachers say, if there are any.
    """

    name = "ner"
    predicted_fraction = 1.0

    def __init__(
        self,
        splits: Mapping[str, list[AnnotatedText]],
        predictor: EntityPredictor,
        batch: FinetuneBatchConfig,
        seed: int,
        lessons: Lessons | None = None,
    ) -> None:
        self.splits, self.predictor, self._batch, self._seed = splits, predictor, batch, seed
        self.representation = predictor.representation
        self.metric = self.representation.metric
        self.windows = {
            split: list(
                windows_of(
                    [document.text for document in documents],
                    predictor.subwords,
                    [document.words for document in documents],
                )
            )
            for split, documents in splits.items()
        }
        self.lost: dict[str, Counter[str]] = {}
        self._kept: dict[str, list[list[Entity]]] = {}
        self._targets = {split: self._encoded(split) for split in splits}
        self._studied = self.windows["train"], self._targets["train"]
        if lessons is not None:
            self._studied = self._taught(lessons)
        self._lengths = [len(window.subwords) for window in self._studied[0]]

    def _encoded(self, split: str) -> list[Array]:
        """Targets of each window of a split; `lost` counts what the representation cannot hold."""
        self.lost[split], self._kept[split] = Counter(), []
        targets: list[Array] = []
        held = _by_document(self.windows[split])
        for index, document in enumerate(self.splits[split]):
            windows = held.get(index, [])
            entities = [
                entity for entity in without_edges(document) if entity.label in self.representation.labels
            ]
            kept = self.representation.kept(entities, windows)
            self.lost[split] += kept.lost
            self._kept[split].append(kept.entities)
            unknown = len(document.entities) - len(entities)
            if unknown:
                self.lost[split]["of a type that train has not"] += unknown
            by_place = EntitiesByOffset(kept.entities)
            for window in windows:
                near = by_place.touching(window.words[0][0], window.words[-1][1])
                targets.append(self.representation.targets(near, window))
        return targets

    def _taught(self, lessons: Lessons) -> tuple[list[Window], list[Array]]:
        """Windows to learn from and their targets: of train, and of the texts without labels."""
        representation, targets = self.representation, []
        for document, own in _by_document(self.windows["train"]).items():
            certain = representation.certain(self._kept["train"][document], own)
            sides = ((1.0 - lessons.weight, certain), (lessons.weight, lessons.labelled[document]))
            targets += representation.soft_targets(representation.mixed(sides), own)
        further = list(windows_of([text for text, _ in lessons.unlabelled], self.predictor.subwords))
        for document, own in _by_document(further).items():
            targets += representation.soft_targets(lessons.unlabelled[document][1], own)
        return self.windows["train"] + further, targets

    def judged(
        self, facts: TaskFacts, opinions: Mapping[str, Sequence[Opinion]], choice: str
    ) -> tuple[Self, dict[str, list[AnnotatedText]]]:
        """This task, and the documents of each split with the entities that opinions decide."""
        chosen: Sequence[float] = ()
        if choice != FIXED and isinstance(self.representation, SpanRepresentation):
            chosen = best_thresholds(self.splits["dev"], opinions["dev"], facts.labels, choice)
        decides = representations.build(str(facts.head), labels=facts.labels, thresholds=chosen)
        decided = {}
        for split, said in opinions.items():
            held = _by_document(self.windows[split])
            decided[split] = [
                with_entities(document, decides.decided(said[index], held.get(index, [])))
                for index, document in enumerate(self.splits[split])
            ]
        return self, decided

    def train_ids(self) -> set[int]:
        """Ids of all subwords to learn from, padding included."""
        return {
            self.predictor.padding,
            *(subword for window in self._studied[0] for subword in window.subwords),
        }

    def epoch_length(self) -> int:
        """Windows to learn from."""
        return len(self._lengths)

    def batches(self, cursor: int, micro_batch: int, rank: int = 0, world_size: int = 1) -> Iterator[Batch]:
        """Endless micro-batches of training windows, grouped by length."""
        stream = batches_of(self._lengths, self._seed, cursor, self._batch.size, micro_batch)
        for indices, after in islice(stream, rank, None, world_size):
            inputs, targets = self.batch_of([int(index) for index in indices])
            yield Batch(inputs, targets, inputs["input_ids"].numel(), after)

    def examples_by_record(self) -> list[list[int]]:
        """The windows of each document of train."""
        places: list[list[int]] = [[] for _ in self.splits["train"]]
        for place, window in enumerate(self.windows["train"]):
            places[window.document].append(place)
        return places

    def length_of(self, place: int) -> int:
        """Subwords of a window."""
        return self._lengths[place]

    def targets_of(self, place: int) -> int:
        """Targets of a window."""
        return self.representation.count(self._studied[1][place])

    def batch_of(self, indices: Sequence[int]) -> tuple[dict[str, Tensor], int]:
        """The inputs of some windows to learn from, and how many targets they have."""
        windows, answers = self._studied
        inputs = self.predictor.inputs([windows[index] for index in indices])
        targets = [answers[index] for index in indices]
        inputs["targets"] = self.representation.padded(targets, inputs["first_subwords"].shape[1])
        return inputs, sum(self.representation.count(row) for row in targets)

    def loss(self, model: nn.Module, inputs: Mapping[str, Tensor]) -> Output:
        """The representation's loss, summed over words."""
        return Output(self.representation.loss(read(model, inputs), inputs["targets"], inputs["words"]))

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Mean loss per word of dev, in nats, and span scores."""
        loss, words = 0.0, 0

        def add(indices: Sequence[int], inputs: Mapping[str, Tensor], logits: Tensor) -> None:
            nonlocal loss, words
            padded = self._padded("dev", indices, inputs).to(logits.device)
            loss += float(self.representation.loss(logits, padded, inputs["words"]))
            words += sum(self.representation.count(self._targets["dev"][index]) for index in indices)

        predicted = self.decoded("dev", self.predictor.window_logits(model, self.windows["dev"], add))
        strict, nested = (
            strict_scores(self.splits["dev"], predicted),
            nested_exact_scores(self.splits["dev"], predicted),
        )
        return {
            "loss": loss / max(1, words),
            "strict_f1": strict["f1"],
            "strict_precision": strict["precision"],
            "strict_recall": strict["recall"],
            "nested_exact_f1": nested["f1"],
        }

    def _padded(self, split: str, indices: Sequence[int], inputs: Mapping[str, Tensor]) -> Tensor:
        """The targets of some windows of a split, whose inputs are these."""
        targets = [self._targets[split][index] for index in indices]
        return self.representation.padded(targets, inputs["first_subwords"].shape[1])

    def fit_temperature(self, model: nn.Module) -> float:
        """By the confidences of the entities that are found on dev, which are the same at any temperature."""
        self.predictor.temperature = 1.0
        answers = self.predictor.window_logits(model, self.windows["dev"])

        def loss(temperature: float) -> float:
            tempered = [self.representation.tempered(answer, temperature) for answer in answers]
            return unlikelihood(self.decisions("dev", self.decoded("dev", tempered)))

        self.predictor.temperature = best_temperature(loss)
        return self.predictor.temperature

    def settled(self, model: nn.Module, facts: TaskFacts, choice: SelectionConfig) -> Settled:
        """The facts with the thresholds that are wanted.

        `recall` counts the visible characters of dev's entities, whatever the label; `precision` counts entities, by
        the protocol that the head's dev score belongs to.
        """
        if choice.recall is not None or choice.precision is not None:
            return self._settled_for(model, facts, choice)
        if choice.thresholds == FIXED or not isinstance(self.representation, SpanRepresentation):
            return Settled(facts)
        lowest = cast(SpanRepresentation, self._with(facts, (GRID[0],) * len(facts.labels)))
        answers = self.predictor.window_logits(model, self.windows["dev"])
        spans = self.predictor.entities(self.windows["dev"], answers, lowest.spans)
        documents = self.splits["dev"]
        found = [spans.get(at, []) for at in range(len(documents))]
        chosen = best_thresholds(documents, found, facts.labels, choice.thresholds)
        self._with(facts, chosen)
        return Settled(replace(facts, thresholds=chosen))

    def _settled_for(self, model: nn.Module, facts: TaskFacts, choice: SelectionConfig) -> Settled:
        """With one threshold for all labels."""
        lowest = LEVELS[-1] if choice.recall is not None else HIGH_LEVELS[0]
        self._with(facts, (lowest,) * len(facts.labels))
        answers, gold = self.predictor.window_logits(model, self.windows["dev"]), self.splits["dev"]
        precision = strict_scores if self.metric.startswith("strict") else nested_exact_scores

        def score(threshold: float) -> float:
            self._with(facts, (threshold,) * len(facts.labels))
            found = self.decoded("dev", answers)
            scores = leak_scores(gold, found) if choice.recall is not None else precision(gold, found)
            return float(scores["recall" if choice.recall is not None else "precision"])

        threshold, wanted = for_wanted(choice, score)
        chosen = (threshold,) * len(facts.labels)
        self._with(facts, chosen)
        return Settled(replace(facts, thresholds=chosen), wanted)

    def _with(self, facts: TaskFacts, thresholds: Sequence[float]) -> Representation:
        """Decode with these thresholds from now on."""
        built = representations.build(str(facts.head), labels=facts.labels, thresholds=thresholds)
        self.representation = self.predictor.representation = built
        return built

    def predict(self, model: nn.Module, split: str) -> list[AnnotatedText]:
        """The documents of a split with predicted instead of gold entities."""
        return self.decoded(split, self.predictor.window_logits(model, self.windows[split]))

    def decoded(self, split: str, answers: Sequence[Array]) -> list[AnnotatedText]:
        """The documents of a split with entities decoded from `answers`, one for each window in order."""
        found = self.predictor.entities(self.windows[split], answers)
        return [
            with_entities(document, found.get(index, ())) for index, document in enumerate(self.splits[split])
        ]

    def facts(self, split: str) -> dict[str, Any]:
        """Counts for the results: documents, windows, words, and entities that the representation cannot hold."""
        documents, windows = self.splits[split], self.windows[split]
        sentences = {(window.document, window.sentence) for window in windows}
        return {
            "documents": len(documents),
            "examples": len(sentences),
            "windows": len(windows),
            "words": sum(window.owned[1] - window.owned[0] for window in windows),
            "entities": sum(len(document.entities) for document in documents),
            "not_representable": dict(sorted(self.lost[split].items())),
        }


def _by_document(windows: Sequence[Window]) -> dict[int, list[Window]]:
    """Document → its windows, in the order of the windows."""
    groups = groupby(windows, key=lambda window: window.document)
    return {document: list(group) for document, group in groups}
