"""The protocol "tokens": precision, recall and F1 of labels of words, the outside label not counted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
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
from bertinchamps.spans import EntitiesByOffset, flat_entities

PROTOCOLS.register(
    "tokens",
    Protocol(
        "words of entities: the same label, whatever the boundaries",
        metrics={"precision": "precision", "recall": "recall", "f1": "F1"},
        headline="f1",
        parts="types",
        part="type",
    ),
)

TOKEN = re.compile(r"[^\W\d_]+|\d+|[^\w\s]|_")  # letters, digits, or one other sign


def word_label_scores(gold: Sequence[AnnotatedText], predicted: Sequence[AnnotatedText]) -> dict[str, Any]:
    """Precision, recall and F1 over words and signs inside entities; of nested entities the longest counts.

    Args:
        gold: documents with all entities.
        predicted: a document of the same name and text for each gold one, in any order.

    Returns:
        The keys of `counting.span_scores` over all types, and for each type under `types`.

    Raises:
        UserError: the documents of the two sides do not correspond (see `counting.paired`).
    """
    return report_of(word_label_counts(gold, predicted))


def word_label_counts(gold: Sequence[AnnotatedText], predicted: Sequence[AnnotatedText]) -> list[Counts]:
    """Right, spurious and missed labels of each gold document; arguments as for `word_label_scores`."""
    counts = []
    for gold_text, predicted_text in paired(gold, predicted):
        correct, spurious, missed = Counter[str](), Counter[str](), Counter[str]()
        for true, found in zip(_labels(gold_text), _labels(predicted_text), strict=True):
            if true == found:
                correct[true] += true != ""
                continue
            missed[true] += true != ""
            spurious[found] += found != ""
        counts.append((+correct, +spurious, +missed))
    return counts


def _labels(document: AnnotatedText) -> Iterator[str]:
    """The label of each token; "" outside of entities."""
    flat = EntitiesByOffset(flat_entities(document))
    for token in TOKEN.finditer(document.text):
        touching = flat.touching(*token.span())
        yield touching[0].label if touching else ""


register_evaluate_module(
    globals(),
    "WordLabels",
    example=DOCUMENT,
    scores=on_records(word_label_scores),
    description="Micro-averaged precision, recall and F1 of the labels of words and signs inside entities.",
    inputs_description=DOCUMENTS_DESCRIPTION,
    citation="After the scores of tokens of EDS-Pseudo: https://github.com/aphp/eds-pseudo.",
)
