"""The protocol "leaks": what of the identifiers stays visible when everything that was found is replaced.

Labels do not matter here: a name that was found as a town is hidden, too. Blanks and invisible characters do not count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from bertinchamps.contract import AnnotatedText, Entity
from bertinchamps.metrics.counting import paired, span_scores
from bertinchamps.metrics.evaluate_module import (
    DOCUMENT,
    DOCUMENTS_DESCRIPTION,
    on_records,
    register_evaluate_module,
)
from bertinchamps.metrics.protocols import PROTOCOLS, Protocol
from bertinchamps.metrics.tallies import LabelTally, tally_of_ratios
from bertinchamps.spans import is_unseen

LEAKS = Protocol(
    "identifiers, what stays visible: of their characters, and of documents",
    metrics={
        "leaked_characters": "characters leaked",
        "leaked_documents": "documents with a leak",
        "recall": "recall",
        "precision": "precision",
    },
    headline="recall",
    parts="types",
    part="type",
    remark="Recall and precision are of characters, whatever the label: recall is 1 - the share that leaked, "
    "precision the identifiers' share of what is hidden. A type's precision is that of all types.",
)
PROTOCOLS.register("leaks", LEAKS)
PROTOCOLS.register(
    "leaks_at_half",
    replace(LEAKS, title=f"{LEAKS.title}; without the threshold for recall (selection.recall)"),
)


def leak_scores(gold: Sequence[AnnotatedText], predicted: Sequence[AnnotatedText]) -> dict[str, Any]:
    """Shares of identifying characters and of documents that leak, over all types and for each.

    Args:
        gold: documents with all identifiers.
        predicted: a document of the same name and text for each gold one, in any order.

    Returns:
        leaked_characters, the share of the identifiers' characters outside of every prediction; leaked_documents, the
        share of the documents with an identifier that have such a character; precision, recall and f1 of characters;
        characters, identifying ones; documents, those with an identifier; types: for each label precision (of all
        labels), recall, f1, support (characters), leaked_entities (with a visible character) and entities. Shares are 0
        where there is nothing to share.

    Raises:
        UserError: the documents of the two sides do not correspond (see `counting.paired`).
    """
    wanted, hidden = Counter[str](), Counter[str]()  # characters by label
    entities, leaked_entities = Counter[str](), Counter[str]()
    tp = fp = fn = documents = leaked = 0
    for gold_text, predicted_text in paired(gold, predicted):
        found = _characters(gold_text.text, predicted_text.entities)
        true = _characters(gold_text.text, gold_text.entities)
        tp, fp, fn = tp + len(true & found), fp + len(found - true), fn + len(true - found)
        documents += bool(true)
        leaked += not true <= found
        for entity in gold_text.entities:
            own = _characters(gold_text.text, [entity])
            wanted[entity.label] += len(own)
            hidden[entity.label] += len(own & found)
            entities[entity.label] += 1
            leaked_entities[entity.label] += not own <= found
    whole = span_scores(tp, fp, fn)
    types = {
        label: {
            **_rates(whole["precision"], hidden[label] / wanted[label] if wanted[label] else 0.0),
            "support": wanted[label],
            "entities": entities[label],
            "leaked_entities": leaked_entities[label],
        }
        for label in sorted(entities)
    }
    return {
        "leaked_characters": fn / (tp + fn) if tp + fn else 0.0,
        "leaked_documents": leaked / documents if documents else 0.0,
        **{name: whole[name] for name in ("precision", "recall", "f1")},
        "characters": tp + fn,
        "documents": documents,
        "types": types,
    }


def leak_tally(gold: Sequence[AnnotatedText], predicted: Sequence[AnnotatedText]) -> LabelTally:
    """The tally of the scores of whole splits; arguments as for `leak_scores`."""
    shares: dict[str, list[tuple[float, float]]] = {
        name: [] for name in ("leaked_characters", "leaked_documents", "recall", "precision")
    }
    for gold_text, predicted_text in paired(gold, predicted):
        found = _characters(gold_text.text, predicted_text.entities)
        true = _characters(gold_text.text, gold_text.entities)
        right, lost = len(true & found), len(true - found)
        shares["leaked_characters"].append((lost, len(true)))
        shares["leaked_documents"].append((lost > 0, bool(true)))
        shares["recall"].append((right, len(true)))
        shares["precision"].append((right, len(found)))
    return tally_of_ratios(shares)


def _rates(precision: float, recall: float) -> dict[str, float]:
    both = precision + recall
    return {"precision": precision, "recall": recall, "f1": 2 * precision * recall / both if both else 0.0}


def _characters(text: str, entities: Iterable[Entity]) -> set[int]:
    """Offsets of the entities' visible characters."""
    return {
        place
        for entity in entities
        for start, end in entity.fragments
        for place in range(start, end)
        if not is_unseen(text[place])
    }


register_evaluate_module(
    globals(),
    "Leaks",
    example=DOCUMENT,
    scores=on_records(leak_scores),
    description="Shares of identifying characters and of documents that stay visible when predictions are hidden.",
    inputs_description=DOCUMENTS_DESCRIPTION,
    citation="After the scores of EDS-Pseudo, which count tokens instead of characters: "
    "https://github.com/aphp/eds-pseudo.",
)
