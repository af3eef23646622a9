"""The protocol "multi_label": any number of classes a text, counted by scikit-learn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from bertinchamps.metrics.class_rates import averages, by_class, check_lengths
from bertinchamps.metrics.evaluate_module import register_evaluate_module
from bertinchamps.metrics.protocols import PROTOCOLS, Protocol
from bertinchamps.metrics.tallies import LabelTally, tally_of_counts

PROTOCOLS.register(
    "multi_label",
    Protocol(
        "any number of labels a text",
        metrics={"micro_f1": "micro F1", "macro_f1": "macro F1", "exact_match": "all labels right"},
        headline="micro_f1",
        parts="classes",
        part="class",
        choosing=("micro_f1", "macro_f1", "exact_match"),
    ),
)


def multi_label_scores(
    references: Sequence[tuple[str, ...]], predictions: Sequence[tuple[str, ...]]
) -> dict[str, Any]:
    """Scores of any number of classes a text, in any order.

    Returns:
        micro_f1 (over all decisions), macro_f1 (the mean over the classes that occur on either side),
        exact_match (share of the texts whose classes are all right), from 0 to 1;
        classes: {name: {precision, recall, f1, support}}.

    Raises:
        ValueError: the two sides differ in length.
    """
    check_lengths(references, predictions)
    names = sorted({name for classes in (*references, *predictions) for name in classes})
    exact = sum(set(true) == set(given) for true, given in zip(references, predictions, strict=True))
    exact_match = exact / len(references) if references else 0.0
    if not names:
        return {"micro_f1": 0.0, "macro_f1": 0.0, "exact_match": exact_match, "classes": {}}
    # the added column belongs to no class: scikit-learn takes a matrix of one column for a binary problem
    true, given = (
        np.array([[name in classes for name in names] + [False] for classes in side])
        for side in (references, predictions)
    )
    columns = list(range(len(names)))
    return {
        **averages(true, given, columns, ("micro", "macro")),
        "exact_match": exact_match,
        "classes": by_class(true, given, columns, names),
    }


def rates(references: Sequence[tuple[str, ...]], predictions: Sequence[tuple[str, ...]]) -> dict[str, float]:
    """Micro-averaged precision and recall, 0 where there is nothing to share."""
    right = sum(len({*true} & {*given}) for true, given in zip(references, predictions, strict=True))
    found, wanted = (sum(map(len, side)) for side in (predictions, references))
    return {"precision": right / max(1, found), "recall": right / max(1, wanted)}


def multi_label_tally(
    references: Sequence[tuple[str, ...]], predictions: Sequence[tuple[str, ...]]
) -> LabelTally:
    """The tally of these scores, a text each."""
    sides = [(set(true), set(given)) for true, given in zip(references, predictions, strict=True)]
    counts = [(Counter(true & given), Counter(given - true), Counter(true - given)) for true, given in sides]
    exact = np.array([(true == given, 1) for true, given in sides], dtype=float).reshape(-1, 2)
    return tally_of_counts(counts, ("micro_f1", "macro_f1"), "classes", {"exact_match": exact})


register_evaluate_module(
    globals(),
    "MultiLabel",
    example=["string"],
    scores=multi_label_scores,
    description="F1 and exact match of any number of classes a text.",
    inputs_description="""
Args:
    predictions: a list of classes for each text.
    references: the same, of the truth.
""",
    citation="Pedregosa et al. (2011), Scikit-learn: Machine Learning in Python, JMLR 12.",
)
