"""The protocol "classes": one class a text or pair of texts, counted by scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bertinchamps.metrics.class_rates import averages, by_class, check_lengths
from bertinchamps.metrics.evaluate_module import register_evaluate_module
from bertinchamps.metrics.protocols import PROTOCOLS, Protocol
from bertinchamps.metrics.tallies import LabelTally, tally_of_labels

PROTOCOLS.register(
    "classes",
    Protocol(
        "one class a text",
        metrics={"accuracy": "accuracy", "macro_f1": "macro F1"},
        headline="accuracy",
        parts="classes",
        part="class",
        choosing=("accuracy", "macro_f1", "weighted_f1"),
    ),
)


def class_scores(references: Sequence[str], predictions: Sequence[str]) -> dict[str, Any]:
    """Scores of one class a text.

    Args:
        references: the true class of each text.
        predictions: the predicted class of each text.

    Returns:
        accuracy; macro_f1 (the mean over the classes that occur on either side) and weighted_f1 (by support),
        from 0 to 1; classes: {name: {precision, recall, f1, support}}.

    Raises:
        ValueError: the two sides differ in length.
    """
    check_lengths(references, predictions)
    if not references:
        return {"accuracy": 0.0, "macro_f1": 0.0, "weighted_f1": 0.0, "classes": {}}
    from sklearn.metrics import accuracy_score  # type: ignore[import-untyped]

    names = sorted({*references, *predictions})
    return {
        "accuracy": float(accuracy_score(references, predictions)),
        **averages(references, predictions, names, ("macro", "weighted")),
        "classes": by_class(references, predictions, names, names),
    }


def class_tally(references: Sequence[str], predictions: Sequence[str]) -> LabelTally:
    """The tally of these scores, a text each."""
    places = range(len(references))
    return tally_of_labels(
        references, predictions, places, ("accuracy", "macro_f1", "weighted_f1"), "classes"
    )


register_evaluate_module(
    globals(),
    "Classes",
    example="string",
    scores=class_scores,
    description="Accuracy and F1 of one class a text.",
    inputs_description="""
Args:
    predictions: a class for each text.
    references: the same, of the truth.
""",
    citation="Pedregosa et al. (2011), Scikit-learn: Machine Learning in Python, JMLR 12.",
)
