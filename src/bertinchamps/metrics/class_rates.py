"""Rates of classes as scikit-learn counts them, for every protocol of classes. A rate with denominator 0 is 0."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def check_lengths(references: Sequence[object], predictions: Sequence[object]) -> None:
    """Compare the numbers of references and predictions.

    Raises:
        ValueError: the numbers differ.
    """
    if len(references) != len(predictions):
        raise ValueError(f"{len(references)} references and {len(predictions)} predictions")


def averages(references: Any, predictions: Any, labels: Any, kinds: tuple[str, ...]) -> dict[str, float]:
    """F1 averaged over classes.

    Args:
        references: the true class of each text, or an indicator matrix [texts, classes].
        predictions: the predicted side, in the same form.
        labels: the classes or columns that count.
        kinds: scikit-learn's names of averages, such as "macro".

    Returns:
        {kind}_f1 for each kind, from 0 to 1.
    """
    from sklearn.metrics import f1_score  # type: ignore[import-untyped]

    return {
        f"{kind}_f1": float(f1_score(references, predictions, labels=labels, average=kind, zero_division=0))
        for kind in kinds
    }


def by_class(references: Any, predictions: Any, labels: Any, names: list[str]) -> dict[str, dict[str, Any]]:
    """Precision, recall, F1 and support of each class, by name; arguments as for `averages`, names in their order."""
    from sklearn.metrics import precision_recall_fscore_support

    columns = precision_recall_fscore_support(references, predictions, labels=labels, zero_division=0)
    return {
        name: {"precision": float(p), "recall": float(r), "f1": float(f), "support": int(support)}
        for name, p, r, f, support in zip(names, *columns, strict=True)
    }
