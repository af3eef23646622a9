"""Gold beside predicted, text by text: what was right, missed, or predicted without being there.

A record has `text` and `marks`. Each mark has a `label`, a `state` (right, missed or spurious), and where there are any
`fragments` (half-open ranges of characters) and the `confidence` of a prediction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from bertinchamps.contract import AnnotatedText
from bertinchamps.metrics.error_pages import by_frequency

RIGHT, MISSED, SPURIOUS = "right", "missed", "spurious"


def compared_entities(
    gold: Sequence[AnnotatedText], predicted: Sequence[AnnotatedText]
) -> Iterator[dict[str, Any]]:
    """The documents of two sides in one order, with their entities; equal entities are right."""
    for true, found in zip(gold, predicted, strict=True):
        wanted = set(true.entities)
        marks: list[dict[str, Any]] = [
            {
                "label": entity.label,
                "state": RIGHT if entity in wanted else SPURIOUS,
                "fragments": entity.fragments,
            }
            | ({} if confidence is None else {"confidence": round(confidence, 4)})
            for entity, confidence in found.by_place()
        ]
        marks += [
            {"label": entity.label, "state": MISSED, "fragments": entity.fragments}
            for entity in true.entities
            if entity not in found.entities
        ]
        marks.sort(key=lambda mark: mark["fragments"])
        yield {"text": true.text, "marks": marks}


def compared_labels(
    texts: Iterable[str],
    gold: Iterable[Sequence[str]],
    predicted: Iterable[Sequence[str]],
) -> Iterator[dict[str, Any]]:
    """Texts with the labels of both sides."""
    for text, true, found in zip(texts, gold, predicted, strict=True):
        marks = [{"label": label, "state": RIGHT if label in true else SPURIOUS} for label in found]
        marks += [{"label": label, "state": MISSED} for label in true if label not in found]
        yield {"text": text, "marks": marks}


def label_errors(
    title: str, gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]
) -> dict[str, Any]:
    """Counts of right, missed and spurious labels; confusions where each text has one label on both sides.

    Args:
        title: of the column of labels.
        gold: the true labels of each text.
        predicted: those that were predicted.
    """
    right, missed, spurious, confused = (Counter[Any]() for _ in range(4))
    for true, found in zip(gold, predicted, strict=True):
        right.update(set(true) & set(found))
        missed.update(set(true) - set(found))
        spurious.update(set(found) - set(true))
        if len(true) == len(found) == 1 and true[0] != found[0]:
            confused[true[0], found[0]] += 1
    columns = [right, missed, spurious]
    labels = sorted({label for column in columns for label in column})
    return {
        "columns": [title, "right", "missed", "wrongly predicted"],
        "rows": [
            *([label, *(column[label] for column in columns)] for label in labels),
            ["all", *(column.total() for column in columns)],
        ],
        "confusions": [[*pair, count] for pair, count in by_frequency(confused)],
    }
