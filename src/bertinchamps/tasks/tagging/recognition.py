"""The task of named-entity recognition: character spans in, character spans out, whatever the head."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby, islice
from typing import Any, cast

from torch import Tensor, nn

from bertinchamps.contract import AnnotatedText, Batch, Entity, Output
from bertinchamps.metrics.counting import span_tally
from bertinchamps.metrics.error_analysis import error_counts
from bertinchamps.metrics.leaks import leak_scores
from bertinchamps.metrics.nested_exact import nested_exact_counts, nested_exact_scores
from bertinchamps.metrics.strict_spans import strict_counts, strict_scores
from bertinchamps.metrics.tallies import Tally
from bertinchamps.metrics.token_labels import token_label_scores, token_label_tally
from bertinchamps.schemas import FinetuneBatchConfig
from bertinchamps.spans import EntitiesByOffset, flat_entities, without_edges
from bertinchamps.tasks.batching import batches_of
from bertinchamps.tasks.comparing import compared_entities
from bertinchamps.tasks.facts import TaskFacts
from bertinchamps.tasks.tagging.lessons import Lessons, mixed
from bertinchamps.tasks.tagging.predictor import Array, EntityPredictor, read, with_entities
from bertinchamps.tasks.tagging.representations import (
    Found,
    Representation,
    SoftRepresentation,
    representations,
    word_tags,
)
from bertinchamps.tasks.tagging.thresholds import GRID, LEVELS, best_thresholds, threshold_for_recall
from bertinchamps.tasks.tagging.windows import Window, windows_of

# Dev scores that may select the weights, higher is better; the default is the metric of the head's representation.
METRICS = ("strict_f1", "strict_precision", "strict_recall", "nested_exact_f1")


class EntityRecognition:
    """The `Task` that the trainer trains.

    Args:
        splits: documents of train and dev, and of test where there is one.
        predictor: representation, tokenizer and device.
        batch: how many windows at once, and in an update.
        seed: of the order.
        lessons: what teachers say, if there are any; the representation is a `SoftRepresentation` then.
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
        by_document = groupby(self.windows[split], key=lambda window: window.document)
        held = {document: list(group) for document, group in by_document}
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
        representation = cast(SoftRepresentation, self.representation)
        windows, targets = list(self.windows["train"]), []
        certain = (1.0 - lessons.weight, lessons.weight)
        for document, group in groupby(windows, key=lambda window: window.document):
            labels = [Found(entity, 1.0) for entity in self._kept["train"][document]]
            spans = mixed(zip(certain, (labels, lessons.labelled[document]), strict=True))
            targets += [representation.soft_targets(spans, window) for window in group]
        further = list(windows_of([text for text, _ in lessons.unlabelled], self.predictor.subwords))
        targets += [
            representation.soft_targets(lessons.unlabelled[window.document][1], window) for window in further
        ]
        return windows + further, targets

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
            inputs, targets = self._batch_of([int(index) for index in indices])
            yield Batch(inputs, targets, inputs["input_ids"].numel(), after)

    def _batch_of(self, indices: Sequence[int]) -> tuple[dict[str, Tensor], int]:
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
            targets = [self._targets["dev"][index] for index in indices]
            padded = self.representation.padded(targets, inputs["first_subwords"].shape[1]).to(logits.device)
            loss += float(self.representation.loss(logits, padded, inputs["words"]))
            words += sum(self.representation.count(row) for row in targets)

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

    def settled(self, model: nn.Module, facts: TaskFacts) -> TaskFacts:
        """The facts with the thresholds that are best on dev, where the representation has thresholds."""
        if not isinstance(self.representation, SoftRepresentation):
            return facts
        lowest = cast(SoftRepresentation, self._with(facts, (GRID[0],) * len(facts.labels)))
        answers = self.predictor.window_logits(model, self.windows["dev"])
        spans = self.predictor.entities(self.windows["dev"], answers, lowest.spans)
        documents = self.splits["dev"]
        found = [spans.get(at, []) for at in range(len(documents))]
        chosen = best_thresholds(documents, found, facts.labels, facts.threshold_choice)
        self._with(facts, chosen)
        return replace(facts, thresholds=chosen)

    def settled_for_recall(self, model: nn.Module, facts: TaskFacts, wanted: float) -> TaskFacts:
        """The facts with one threshold for all labels: the highest that finds enough on dev.

        Args:
            model: with its final weights.
            facts: of the model.
            wanted: share of the visible characters of dev's entities to be found, whatever the label.
        """
        self._with(facts, (LEVELS[-1],) * len(facts.labels))
        answers = self.predictor.window_logits(model, self.windows["dev"])

        def recall(threshold: float) -> float:
            self._with(facts, (threshold,) * len(facts.labels))
            return float(leak_scores(self.splits["dev"], self.decoded("dev", answers))["recall"])

        chosen = (threshold_for_recall(wanted, recall),) * len(facts.labels)
        self._with(facts, chosen)
        return replace(facts, thresholds=chosen)

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

    def scores(
        self, split: str, predicted: Sequence[AnnotatedText], places: Sequence[int] | None = None
    ) -> dict[str, dict[str, Any]]:
        """The three protocols, each under its name, of all documents of a split or of those at some places."""
        chosen = range(len(predicted)) if places is None else places
        sides = [[documents[at] for at in chosen] for documents in (self.splits[split], predicted)]
        return {
            "strict": strict_scores(*sides),
            "nested_exact": nested_exact_scores(*sides),
            "paper": token_label_scores(*(self._subword_tags(split, chosen, side) for side in sides)),
        }

    def tallies(
        self, split: str, predicted: Sequence[AnnotatedText], places: Sequence[int] | None = None
    ) -> dict[str, Tally]:
        """What these scores are computed from, document by document."""
        chosen = range(len(predicted)) if places is None else places
        sides = [[documents[at] for at in chosen] for documents in (self.splits[split], predicted)]
        order = {at: number for number, at in enumerate(chosen)}
        documents = [order[own.document] for own in self.windows[split] if own.document in order]
        true, found = (self._subword_tags(split, chosen, side) for side in sides)
        return {
            "strict": span_tally(strict_counts(*sides)),
            "nested_exact": span_tally(nested_exact_counts(*sides)),
            "paper": token_label_tally(true, found, documents),
        }

    def errors(self, split: str, predicted: Sequence[AnnotatedText]) -> dict[str, Any]:
        """Counts of errors by type and kind of error, of all entities."""
        return error_counts(self.splits[split], predicted)

    def compared(self, split: str, predicted: Sequence[AnnotatedText]) -> Iterator[dict[str, Any]]:
        """The documents with true and predicted entities."""
        return compared_entities(self.splits[split], predicted)

    def _subword_tags(
        self, split: str, places: Sequence[int], documents: Sequence[AnnotatedText]
    ) -> list[list[str]]:
        """IOB2 tags of the subwords that each window owns; of nested entities the longest counts.

        Args:
            split: of the documents.
            places: of the documents in the split.
            documents: with the entities to write as tags.
        """
        flat = {
            at: EntitiesByOffset(flat_entities(document))
            for at, document in zip(places, documents, strict=True)
        }
        rows = []
        for window in self.windows[split]:
            if window.document not in flat:
                continue
            tags = word_tags(window.words, flat[window.document])
            after = len(window.subwords) - len(self.predictor.subwords.after)
            bounds = (*window.first_subwords, after)
            rows.append(
                [
                    tag
                    for index in range(*window.owned)
                    for tag in _spread(tags[index], bounds[index + 1] - bounds[index])
                ]
            )
        return rows

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


def _spread(tag: str, subwords: int) -> Iterator[str]:
    """A word's tag on its subwords: only the first subword begins an entity."""
    for place in range(subwords):
        yield f"I{tag[1:]}" if place and tag.startswith("B-") else tag
