"""Relations: micro-averaged precision, recall and F1, and those of each type; "no relation" is no type.

A relation is right when its type, its direction, and the types and characters of both arguments are those of a gold
relation. So the same function scores relations between gold entities and relations between entities that a model found:
all gold relations count, also those that no candidate pair could give.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from bertinchamps.contract import AnnotatedText, Entity, RelatedText, Relation
from bertinchamps.metrics.counting import paired, report_of
from bertinchamps.metrics.evaluate_module import register_evaluate_module
from bertinchamps.metrics.protocols import PROTOCOLS, Protocol
from bertinchamps.metrics.tallies import Counts

GIVEN, END_TO_END = "relations", "relations_end_to_end"
METRICS = {"precision": "precision", "recall": "recall", "f1": "F1"}

PROTOCOLS.register(
    GIVEN,
    Protocol(
        "relations between given entities: same type, direction and arguments, without the class of no relation",
        metrics=METRICS,
        headline="f1",
        parts="types",
        part="type",
        choosing=("f1", "precision", "recall"),
    ),
)
PROTOCOLS.register(
    END_TO_END,
    Protocol(
        "relations end to end, between entities that a model found: same type, direction, and exact arguments",
        metrics=METRICS,
        headline="f1",
        parts="types",
        part="type",
    ),
)

Link = tuple[str, Entity, Entity]  # type, head, tail


def links_of(document: RelatedText) -> Counter[Link]:
    """The relations of a document by what they say, independent of the places of their arguments."""
    entities = document.entities
    return Counter((label, entities[head], entities[tail]) for label, head, tail in document.relations)


def relation_scores(gold: Sequence[RelatedText], predicted: Sequence[RelatedText]) -> dict[str, Any]:
    """Precision, recall and F1 of relations.

    Args:
        gold: documents with all their relations.
        predicted: a document of the same name and text for each gold one, in any order; its entities may differ.

    Returns:
        The keys of `counting.span_scores` over all types, and for each type of relation under `types`.

    Raises:
        UserError: the documents of the two sides do not correspond (see `counting.paired`).
    """
    return report_of(relation_counts(gold, predicted))


def relation_counts(gold: Sequence[RelatedText], predicted: Sequence[RelatedText]) -> list[Counts]:
    """Right, spurious and missed types of each gold document; arguments as for `relation_scores`."""
    paired(*([AnnotatedText(each.name, each.text, ()) for each in side] for side in (gold, predicted)))
    by_name = {document.name: document for document in predicted}
    counts = []
    for document in gold:
        wanted, found = links_of(document), links_of(by_name[document.name])
        right, spurious, missed = (
            Counter(label for label, _, _ in links.elements())
            for links in (wanted & found, found - wanted, wanted - found)
        )
        counts.append((right, spurious, missed))
    return counts


def _from_record(record: dict[str, Any]) -> RelatedText:
    entities = tuple(
        Entity(entity["label"], tuple((start, end) for start, end in entity["fragments"]))
        for entity in record["entities"]
    )
    links = (Relation(link["label"], link["head"], link["tail"]) for link in record["relations"])
    return RelatedText(record["name"], record["text"], entities, tuple(links))


register_evaluate_module(
    globals(),
    "Relations",
    example={
        "name": "string",
        "text": "string",
        "entities": [{"label": "string", "fragments": [["int64"]]}],
        "relations": [{"label": "string", "head": "int64", "tail": "int64"}],
    },
    scores=lambda gold, predicted: relation_scores(
        [_from_record(record) for record in gold], [_from_record(record) for record in predicted]
    ),
    description="Micro-averaged precision, recall and F1 of relations between entities.",
    inputs_description="""
Args:
    predictions: predicted documents, each {"name", "text", "entities": [{"label", "fragments": [[start, end]]}],
        "relations": [{"label", "head", "tail"}]}, where head and tail are places in the list of entities.
    references: gold documents, of the same shape.
""",
    citation="Baldini Soares et al. (2019), Matching the Blanks, ACL.",
)
