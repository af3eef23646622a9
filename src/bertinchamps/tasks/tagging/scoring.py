"""Predicted entities beside the true ones: scores, their counts by document, errors, confidences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bertinchamps.contract import AnnotatedText
from bertinchamps.metrics.counting import span_tally
from bertinchamps.metrics.error_analysis import error_counts
from bertinchamps.metrics.nested_exact import nested_exact_counts, nested_exact_scores
from bertinchamps.metrics.strict_spans import strict_counts, strict_scores
from bertinchamps.metrics.tallies import Tally
from bertinchamps.metrics.token_labels import token_label_scores, token_label_tally
from bertinchamps.spans import EntitiesByOffset, flat_entities, without_edges
from bertinchamps.tasks.comparing import compared_entities
from bertinchamps.tasks.tagging.predictor import EntityPredictor
from bertinchamps.tasks.tagging.representations import word_tags
from bertinchamps.tasks.tagging.windows import Window


class EntityScores:
    """What a task of entities says of its predictions.

    Attributes:
        splits: documents with the true entities, by split.
        windows: of these documents, in order.
        predictor: whose subwords the protocol "paper" counts.
        metric: the dev score that selects the weights by default.
    """

    splits: Mapping[str, list[AnnotatedText]]
    windows: dict[str, list[Window]]
    predictor: EntityPredictor
    metric: str

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

    def decisions(self, split: str, predicted: Sequence[AnnotatedText]) -> list[tuple[float, bool]]:
        """Of each predicted entity its confidence, and whether it is right: among all entities, or the flat ones."""
        flat = self.metric.startswith("strict")
        return [
            (confidence, entity in true)
            for document, found in zip(self.splits[split], predicted, strict=True)
            for true in [set(flat_entities(document) if flat else without_edges(document))]
            for entity, confidence in zip(found.entities, found.confidences or (), strict=True)
        ]

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


def _spread(tag: str, subwords: int) -> Iterator[str]:
    """A word's tag on its subwords: only the first subword begins an entity."""
    for place in range(subwords):
        yield f"I{tag[1:]}" if place and tag.startswith("B-") else tag
