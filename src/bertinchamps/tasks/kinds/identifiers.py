"""Identifiers: entities that are to be hidden, so that what stays visible is scored, too (`kind = "identifiers"`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from bertinchamps.contract import AnnotatedText
from bertinchamps.metrics.counting import span_tally
from bertinchamps.metrics.leaks import leak_scores, leak_tally
from bertinchamps.metrics.tallies import Tally
from bertinchamps.metrics.word_labels import word_label_counts, word_label_scores
from bertinchamps.schemas import FinetuneBatchConfig, SelectionConfig
from bertinchamps.tasks.facts import TaskFacts
from bertinchamps.tasks.kinds import BySplit, kinds
from bertinchamps.tasks.kinds.entities import Entities
from bertinchamps.tasks.lessons import Lessons
from bertinchamps.tasks.tagging.predictor import EntityPredictor, with_entities
from bertinchamps.tasks.tagging.recognition import EntityRecognition
from bertinchamps.tasks.tagging.representations import Representation
from bertinchamps.tasks.thresholds import Settled


class IdentifierRecognition(EntityRecognition):
    """Entity recognition with scores by word, and of leaks: with the threshold for recall, and without."""

    _untuned: Representation | None = None
    _at_half: Mapping[str, list[AnnotatedText]] = {}

    def settled(self, model: nn.Module, facts: TaskFacts, choice: SelectionConfig) -> Settled:
        if choice.recall is not None:
            self._untuned, self._at_half = self.representation, {}
        return super().settled(model, facts, choice)

    def predict(self, model: nn.Module, split: str) -> list[AnnotatedText]:
        answers = self.predictor.window_logits(model, self.windows[split])
        if self._untuned is not None:
            found = self.predictor.entities(self.windows[split], answers, self._untuned.entities)
            documents = enumerate(self.splits[split])
            untuned = [with_entities(document, found.get(index, ())) for index, document in documents]
            self._at_half = {**self._at_half, split: untuned}
        return self.decoded(split, answers)

    def scores(
        self, split: str, predicted: Sequence[AnnotatedText], places: Sequence[int] | None = None
    ) -> dict[str, dict[str, Any]]:
        """The protocols of entities, and two more."""
        chosen = range(len(predicted)) if places is None else places
        gold, found = ([documents[at] for at in chosen] for documents in (self.splits[split], predicted))
        scores = {
            **super().scores(split, predicted, places),
            "tokens": word_label_scores(gold, found),
            "leaks": leak_scores(gold, found),
        }
        if split in self._at_half:
            untuned = [self._at_half[split][at] for at in chosen]
            scores["leaks_at_half"] = leak_scores(gold, untuned)
        return scores

    def tallies(
        self, split: str, predicted: Sequence[AnnotatedText], places: Sequence[int] | None = None
    ) -> dict[str, Tally]:
        """What these scores are computed from, document by document."""
        chosen = range(len(predicted)) if places is None else places
        gold, found = ([documents[at] for at in chosen] for documents in (self.splits[split], predicted))
        tallies: dict[str, Tally] = {
            **super().tallies(split, predicted, places),
            "tokens": span_tally(word_label_counts(gold, found)),
            "leaks": leak_tally(gold, found),
        }
        if split in self._at_half:
            tallies["leaks_at_half"] = leak_tally(gold, [self._at_half[split][at] for at in chosen])
        return tallies


@kinds.register("identifiers")
class Identifiers(Entities):
    """Named-entity recognition for de-identification."""

    name = "identifiers"

    def build_task(
        self,
        splits: BySplit,
        predictor: EntityPredictor,
        batch: FinetuneBatchConfig,
        seed: int,
        lessons: Lessons | None = None,
    ) -> IdentifierRecognition:
        return IdentifierRecognition(splits, predictor, batch, seed, lessons)
