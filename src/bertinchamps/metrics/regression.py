"""The protocol "regression": one number a text, by correlation (SciPy) and by error."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bertinchamps.metrics.class_rates import check_lengths
from bertinchamps.metrics.evaluate_module import register_evaluate_module
from bertinchamps.metrics.protocols import PROTOCOLS, Protocol

PROTOCOLS.register(
    "regression",
    Protocol(
        "a number a text",
        metrics={
            "pearson": "Pearson",
            "spearman": "Spearman",
            "mean_absolute_error": "mean absolute error",
            "root_mean_squared_error": "root mean squared error",
        },
        headline="spearman",
        choosing=("spearman", "pearson"),
        percent=False,
    ),
)


def regression_scores(references: Sequence[float], predictions: Sequence[float]) -> dict[str, float]:
    """Scores of one number a text.

    Returns:
        pearson and spearman, from -1 to 1, and 0 where either side is constant or has fewer than two numbers:
        a model that predicts one number for every text correlates with nothing;
        mean_absolute_error and root_mean_squared_error, in the unit of the numbers, 0 where there is none.

    Raises:
        ValueError: the two sides differ in length, or a number is not finite.
    """
    check_lengths(references, predictions)
    if not all(math.isfinite(number) for number in (*references, *predictions)):
        raise ValueError("numbers to be scored must be finite")
    errors = [abs(true - given) for true, given in zip(references, predictions, strict=True)]
    return {
        "pearson": _correlation("pearsonr", references, predictions),
        "spearman": _correlation("spearmanr", references, predictions),
        "mean_absolute_error": math.fsum(errors) / max(1, len(errors)),
        "root_mean_squared_error": math.hypot(*errors) / math.sqrt(max(1, len(errors))),
    }


def _correlation(kind: str, references: Sequence[float], predictions: Sequence[float]) -> float:
    if len(set(references)) < 2 or len(set(predictions)) < 2:
        return 0.0
    from scipy import stats  # type: ignore[import-untyped]

    value = float(getattr(stats, kind)(references, predictions).statistic)
    return value if math.isfinite(value) else 0.0


register_evaluate_module(
    globals(),
    "Regression",
    example="float64",
    scores=regression_scores,
    description="Correlations and errors of one number a text.",
    inputs_description="""
Args:
    predictions: a number for each text.
    references: the same, of the truth.
""",
    citation="Virtanen et al. (2020), SciPy 1.0: Fundamental Algorithms for Scientific Computing in Python, "
    "Nature Methods 17.",
)
