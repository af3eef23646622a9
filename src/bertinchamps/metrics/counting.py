"""Counts of entities and their rates, for the protocols of spans."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from bertinchamps.contract import AnnotatedText
from bertinchamps.errors import UserError
from bertinchamps.metrics.tallies import Counts, LabelTally, tally_of_counts
from bertinchamps.spans import with_joined_fragments


def span_scores(tp: int, fp: int, fn: int) -> dict[str, Any]:
    """Precision tp / (tp + fp), recall tp / (tp + fn), and F1, their harmonic mean; 0 where undefined.

    Returns:
        precision, recall and f1, from 0 to 1; support, the number of gold entities (tp + fn); predicted, the number
        of predicted entities (tp + fp); tp, fp and fn.
    """
    precision = tp / (tp + fp) if tp + fp else 0.0
    recall = tp / (tp + fn) if tp + fn else 0.0
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    rates = {"precision": precision, "recall": recall, "f1": f1}
    return {**rates, "support": tp + fn, "predicted": tp + fp, "tp": tp, "fp": fp, "fn": fn}


def report_of(counts: Sequence[Counts]) -> dict[str, Any]:
    """`span_report` of documents with their right, spurious and missed labels."""
    correct, spurious, missed = (
        sum((document[side] for document in counts), Counter[str]()) for side in range(3)
    )
    return span_report(correct, spurious, missed)


def span_tally(counts: Sequence[Counts]) -> LabelTally:
    """The tally of the scores of `report_of`."""
    return tally_of_counts(counts, ("precision", "recall", "f1"), "types")


def span_report(correct: Counter[str], spurious: Counter[str], missed: Counter[str]) -> dict[str, Any]:
    """`span_scores` of all types together (micro-average), and of each type under `types`.

    Args:
        correct, spurious, missed: true positives, false positives and false negatives, by type.
    """
    types = {
        label: span_scores(correct[label], spurious[label], missed[label])
        for label in sorted({*correct, *spurious, *missed})
    }
    return {**span_scores(correct.total(), spurious.total(), missed.total()), "types": types}


def paired(
    gold: Sequence[AnnotatedText], predicted: Sequence[AnnotatedText]
) -> list[tuple[AnnotatedText, AnnotatedText]]:
    """Pair each gold document with the predicted document of the same name; other predicted documents are ignored.

    Fragments with only blanks between them are joined, on both sides.

    Raises:
        UserError: two documents of one side share a name, a gold document has no prediction, or the two
            texts differ, so that offsets do not mean the same characters.
    """
    for side, texts in (("gold", gold), ("predicted", predicted)):
        places: dict[str, int] = {}
        for place, text in enumerate(texts, start=1):
            first = places.setdefault(text.name, place)
            if first != place:
                raise UserError(
                    f"the {side} documents {first} and {place} have one name: names must be unique"
                )
    by_name = {text.name: text for text in predicted}
    missing = [place for place, text in enumerate(gold, start=1) if text.name not in by_name]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(gold)} gold documents have no predictions, the first is number {missing[0]}: "
            "a document in which nothing was found needs an empty entry"
        )
    for place, text in enumerate(gold, start=1):
        if text.text != by_name[text.name].text:
            raise UserError(
                f"the predictions for the gold document {place} are of another text than the document: "
                "entities can be compared on the same characters only"
            )
    return [(with_joined_fragments(text), with_joined_fragments(by_name[text.name])) for text in gold]
