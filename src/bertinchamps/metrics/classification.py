"""Scores of texts and pairs of texts: one class, any number of classes, or a number.

The counting is scikit-learn's and SciPy's. A rate whose denominator is 0 is 0 here, never undefined.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from bertinchamps.metrics.evaluate_module import Protocol, register_evaluate_module


def class_scores(references: Sequence[str], predictions: Sequence[str]) -> dict[str, Any]:
    """Scores of one class a text.

    Args:
        references: the true class of each text.
        predictions: the predicted one.

    Returns:
        accuracy; macro_f1 (the mean over the classes that occur on either side) and weighted_f1 (by support),
        from 0 to 1; classes: {name: {precision, recall, f1, support}}.

    Raises:
        ValueError: the two sides differ in length.
    """
    _check_lengths(references, predictions)
    if not references:
        return {"accuracy": 0.0, "macro_f1": 0.0, "weighted_f1": 0.0, "classes": {}}
    from sklearn.metrics import accuracy_score  # type: ignore[import-untyped]

    names = sorted({*references, *predictions})
    return {
        "accuracy": float(accuracy_score(references, predictions)),
        **_averages(references, predictions, names, ("macro", "weighted")),
        "classes": _by_class(references, predictions, names, names),
    }


def multi_label_scores(
    references: Sequence[tuple[str, ...]], predictions: Sequence[tuple[str, ...]]
) -> dict[str, Any]:
    """Scores of any number of classes a text; the order of the classes of a text does not matter.

    Returns:
        micro_f1 (over all decisions), macro_f1 (the mean over the classes that occur on either side),
        exact_match (share of the texts whose classes are all right), from 0 to 1;
        classes: {name: {precision, recall, f1, support}}.

    Raises:
        ValueError: the two sides differ in length.
    """
    _check_lengths(references, predictions)
    names = sorted({name for classes in (*references, *predictions) for name in classes})
    exact = sum(set(true) == set(given) for true, given in zip(references, predictions, strict=True))
    exact_match = exact / len(references) if references else 0.0
    if not names:
        return {"micro_f1": 0.0, "macro_f1": 0.0, "exact_match": exact_match, "classes": {}}
    # the last column is of no class: scikit-learn would take a single one for the two classes of another problem
    true, given = (
        np.array([[name in classes for name in names] + [False] for classes in side])
        for side in (references, predictions)
    )
    columns = list(range(len(names)))
    return {
        **_averages(true, given, columns, ("micro", "macro")),
        "exact_match": exact_match,
        "classes": _by_class(true, given, columns, names),
    }


def number_scores(references: Sequence[float], predictions: Sequence[float]) -> dict[str, float]:
    """Scores of one number a text.

    Returns:
        pearson and spearman, from -1 to 1, and 0 where either side is constant or has fewer than two numbers:
        a model that answers one number whatever it reads has no correlation with anything;
        mean_absolute_error and root_mean_squared_error, in the unit of the numbers, 0 where there is none.

    Raises:
        ValueError: the two sides differ in length, or a number is not finite.
    """
    _check_lengths(references, predictions)
    if not all(math.isfinite(number) for number in (*references, *predictions)):
        raise ValueError("numbers to be scored must be finite")
    errors = [abs(true - given) for true, given in zip(references, predictions, strict=True)]
    return {
        "pearson": _correlation("pearsonr", references, predictions),
        "spearman": _correlation("spearmanr", references, predictions),
        "mean_absolute_error": math.fsum(errors) / max(1, len(errors)),
        "root_mean_squared_error": math.hypot(*errors) / math.sqrt(max(1, len(errors))),
    }


def _check_lengths(references: Sequence[object], predictions: Sequence[object]) -> None:
    if len(references) != len(predictions):
        raise ValueError(f"{len(references)} references and {len(predictions)} predictions")


def _averages(references: Any, predictions: Any, labels: Any, averages: tuple[str, ...]) -> dict[str, float]:
    from sklearn.metrics import f1_score

    return {
        f"{average}_f1": float(
            f1_score(references, predictions, labels=labels, average=average, zero_division=0)
        )
        for average in averages
    }


def _by_class(references: Any, predictions: Any, labels: Any, names: list[str]) -> dict[str, dict[str, Any]]:
    from sklearn.metrics import precision_recall_fscore_support

    columns = precision_recall_fscore_support(references, predictions, labels=labels, zero_division=0)
    return {
        name: {"precision": float(p), "recall": float(r), "f1": float(f), "support": int(support)}
        for name, p, r, f, support in zip(names, *columns, strict=True)
    }


def _correlation(kind: str, references: Sequence[float], predictions: Sequence[float]) -> float:
    if len(set(references)) < 2 or len(set(predictions)) < 2:
        return 0.0
    from scipy import stats  # type: ignore[import-untyped]

    value = float(getattr(stats, kind)(references, predictions).statistic)
    return value if math.isfinite(value) else 0.0


register_evaluate_module(
    globals(),
    "Classification",
    {
        "default": Protocol("string", class_scores),
        "multi_label": Protocol(["string"], multi_label_scores),
        "number": Protocol("float64", number_scores),
    },
    description="Accuracy and F1 of one class a text; with the configuration multi_label, F1 and exact match of any "
    "number of classes; with number, correlations and errors of a number.",
    inputs_description="""
Args:
    predictions: a class, a list of classes or a number for each text.
    references: the same, of the truth.
""",
    citation="Pedregosa et al. (2011), Scikit-learn: Machine Learning in Python, JMLR 12.",
)
