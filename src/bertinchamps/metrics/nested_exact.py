"""The protocol "nested exact": type and characters against all gold entities, as BRATeval counts.

BRATeval (Verspoor et al.; READ-BioMed/brateval, class CompareEntities, exact span and exact type) is the scorer
of the CLEF eHealth tasks on QUAERO. This module keeps its rules:

- Entities are matched one to one within a document, so a prediction given twice is right once.
- A gold entity matches a prediction of its type that has all of its fragments. The prediction may have
  further fragments: a spurious fragment costs nothing, a missing one everything.
- Every gold document needs a prediction; predictions for other documents are ignored.
- Counts are summed over documents and types (micro-average).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from bertinchamps.contract import AnnotatedText, Entity
from bertinchamps.metrics.counting import paired, report_of
from bertinchamps.metrics.evaluate_module import (
    DOCUMENT,
    DOCUMENTS_DESCRIPTION,
    on_records,
    register_evaluate_module,
)
from bertinchamps.metrics.protocols import PROTOCOLS, Protocol
from bertinchamps.metrics.tallies import Counts

PROTOCOLS.register(
    "nested_exact",
    Protocol(
        "entities, nested: same type and boundaries, entities inside entities included",
        metrics={"precision": "precision", "recall": "recall", "f1": "F1"},
        headline="f1",
        parts="types",
        part="type",
    ),
)


class Matching(NamedTuple):
    """The entities of one document: correct predictions, missed gold entities, spurious predictions."""

    correct: list[Entity]
    missed: list[Entity]
    spurious: list[Entity]


def match(gold: Iterable[Entity], predicted: Iterable[Entity]) -> Matching:
    """Match the entities of one document one to one.

    Where a prediction with further fragments could match several gold entities, BRATeval takes them in the
    order of a hash table over the identifiers in the files. This function matches gold entities with more fragments
    first, each with the candidate of fewest fragments, so that identical entities always match.
    """
    wanted, found = Counter(gold), Counter(predicted)
    correct = list((wanted & found).elements())
    missed = []
    left = found - wanted
    by_fragment: dict[tuple[int, int], list[Entity]] = defaultdict(list)
    for other in sorted(left, key=lambda entity: (len(entity.fragments), entity)):
        for fragment in other.fragments:
            by_fragment[fragment].append(other)
    for entity in sorted((wanted - found).elements(), key=lambda entity: (-len(entity.fragments), entity)):
        near = by_fragment[entity.fragments[0]]
        covering = next((other for other in near if left[other] and _covers(other, entity)), None)
        if covering is None:
            missed.append(entity)
        else:
            correct.append(entity)
            left[covering] -= 1
    return Matching(correct, missed, sorted(left.elements()))


def _covers(prediction: Entity, entity: Entity) -> bool:
    return prediction.label == entity.label and set(prediction.fragments) >= set(entity.fragments)


def nested_exact_scores(gold: Sequence[AnnotatedText], predicted: Sequence[AnnotatedText]) -> dict[str, Any]:
    """Precision, recall and F1 against all gold entities, nested and discontinuous ones included.

    Args:
        gold: documents with all their entities.
        predicted: a document of the same name and text for each gold one, in any order.

    Returns:
        The keys of `counting.span_scores` over all types, and for each type under `types`.

    Raises:
        UserError: the documents of the two sides do not correspond (see `counting.paired`).
    """
    return report_of(nested_exact_counts(gold, predicted))


def nested_exact_counts(gold: Sequence[AnnotatedText], predicted: Sequence[AnnotatedText]) -> list[Counts]:
    """Right, spurious and missed types of each gold document; arguments as for `nested_exact_scores`."""
    counts = []
    for gold_text, predicted_text in paired(gold, predicted):
        correct, missed, spurious = match(gold_text.entities, predicted_text.entities)
        right, wrong, lost = (
            Counter(entity.label for entity in side) for side in (correct, spurious, missed)
        )
        counts.append((right, wrong, lost))
    return counts


register_evaluate_module(
    globals(),
    "NestedExact",
    example=DOCUMENT,
    scores=on_records(nested_exact_scores),
    description="Micro-averaged precision, recall and F1 of entities against all gold ones, as BRATeval's exact match.",
    inputs_description=DOCUMENTS_DESCRIPTION,
    citation="BRATeval, https://github.com/READ-BioMed/brateval. Used in Névéol et al. (2016), Clinical information "
    "extraction at the CLEF eHealth evaluation lab 2016, CEUR-WS.",
)
