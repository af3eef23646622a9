"""Relations without a model: each entity is linked to the nearest one of a type that train links it to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from bertinchamps.contract import RelatedText, Relation
from bertinchamps.tasks.relations.pairs import Pair
from bertinchamps.tasks.relations.predictor import with_relations

Types = tuple[str, str]  # of head and tail


def labels_of(train: Iterable[RelatedText]) -> dict[Types, str]:
    """Types of head and tail → the commonest label of their relations in train; of equals the first in the alphabet."""
    counts: dict[Types, Counter[str]] = {}
    for document in train:
        for label, head, tail in document.relations:
            types = document.entities[head].label, document.entities[tail].label
            counts.setdefault(types, Counter())[label] += 1
    return {types: min(own, key=lambda label: (-own[label], label)) for types, own in counts.items()}


def nearest(
    documents: Sequence[RelatedText], pairs: Iterable[Pair], labels: dict[Types, str]
) -> list[RelatedText]:
    """The documents with a relation from each possible head to its nearest tail, the first one in the text of equals.

    Args:
        documents: with their entities.
        pairs: the candidate pairs of all documents.
        labels: of `labels_of`.
    """
    best: dict[tuple[int, int], Pair] = {}
    for pair in pairs:
        entities = documents[pair.document].entities
        known = best.setdefault((pair.document, pair.head), pair)
        if (pair.between, entities[pair.tail].start) < (known.between, entities[known.tail].start):
            best[pair.document, pair.head] = pair
    found: dict[int, list[tuple[Relation, float]]] = {}
    for pair in best.values():
        entities = documents[pair.document].entities
        label = labels[entities[pair.head].label, entities[pair.tail].label]
        found.setdefault(pair.document, []).append((Relation(label, pair.head, pair.tail), 1.0))
    return with_relations(documents, found)
