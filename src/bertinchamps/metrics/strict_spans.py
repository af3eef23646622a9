"""The protocol "strict": whole entities, flat, right in type and in both boundaries, micro-averaged.

These are the counts of seqeval in strict mode on IOB2 tags (Nakayama, 2018), after nested entities have been resolved
to the longest one. Character spans are counted, so the scores do not depend on a tokenizer; a test compares them with
seqeval's on tags of the pieces between all boundaries. Blanks and invisible characters at an entity's edge belong to no
token and do not count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from bertinchamps.contract import AnnotatedText
from bertinchamps.metrics.counting import paired, report_of
from bertinchamps.metrics.evaluate_module import (
    DOCUMENT,
    DOCUMENTS_DESCRIPTION,
    on_records,
    register_evaluate_module,
)
from bertinchamps.metrics.protocols import PROTOCOLS, Protocol
from bertinchamps.metrics.tallies import Counts
from bertinchamps.spans import flat_entities

PROTOCOLS.register(
    "strict",
    Protocol(
        "entities, strict: same type and boundaries, longest spans only (IOB2)",
        metrics={"precision": "precision", "recall": "recall", "f1": "F1"},
        headline="f1",
        parts="types",
        part="type",
    ),
)


def strict_scores(gold: Sequence[AnnotatedText], predicted: Sequence[AnnotatedText]) -> dict[str, Any]:
    """Precision, recall and F1 of the `flat_entities` of both sides.

    Args:
        gold: documents with all their entities.
        predicted: a document of the same name and text for each gold one, in any order.

    Returns:
        The keys of `counting.span_scores` over all types, and for each type under `types`.

    Raises:
        UserError: the documents of the two sides do not correspond (see `counting.paired`).
    """
    return report_of(strict_counts(gold, predicted))


def strict_counts(gold: Sequence[AnnotatedText], predicted: Sequence[AnnotatedText]) -> list[Counts]:
    """Right, spurious and missed types of each gold document; arguments as for `strict_scores`."""
    counts = []
    for gold_text, predicted_text in paired(gold, predicted):
        wanted, found = set(flat_entities(gold_text)), set(flat_entities(predicted_text))
        counts.append(
            (
                Counter(entity.label for entity in wanted & found),
                Counter(entity.label for entity in found - wanted),
                Counter(entity.label for entity in wanted - found),
            )
        )
    return counts


register_evaluate_module(
    globals(),
    "StrictSpans",
    example=DOCUMENT,
    scores=on_records(strict_scores),
    description="Micro-averaged precision, recall and F1 of flat entities, as seqeval's strict mode on IOB2 tags.",
    inputs_description=DOCUMENTS_DESCRIPTION,
    citation="Nakayama (2018), seqeval. Published with it on QUAERO: Touchent and de la Clergerie (2024), "
    "CamemBERT-bio, LREC-COLING.",
)
