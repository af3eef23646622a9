"""The protocol "precision_at_k": how many of a text's k likeliest labels are right, whatever the thresholds."""

from __future__ import annotations

from collections.abc import Sequence

from bertinchamps.metrics.class_rates import check_lengths
from bertinchamps.metrics.evaluate_module import register_evaluate_module
from bertinchamps.metrics.protocols import PROTOCOLS, Protocol
from bertinchamps.metrics.tallies import LabelTally, tally_of_ratios

PLACES = (1, 5, 8)  # k

PROTOCOLS.register(
    "precision_at_k",
    Protocol(
        "the likeliest labels of a text",
        metrics={f"precision_at_{k}": f"precision at {k}" for k in PLACES},
        headline="precision_at_1",
        optional=tuple(f"precision_at_{k}" for k in PLACES[1:]),
    ),
)


def precision_at_k(
    references: Sequence[Sequence[str]], predictions: Sequence[Sequence[str]]
) -> dict[str, float]:
    """Precision at k (Mullenbach et al., 2018, section 4.3).

    Args:
        references: the true labels of each text.
        predictions: the labels of each text, the likeliest first; all texts have as many.

    Returns:
        precision_at_1, precision_at_5, precision_at_8: the share of right ones among the k likeliest labels, averaged
        over texts, from 0 to 1; only those with at least k labels. 0 where there is no text.

    Raises:
        ValueError: the two sides differ in length.
    """
    check_lengths(references, predictions)
    most = min(map(len, predictions), default=0)
    return {
        f"precision_at_{k}": sum(
            len({*ranked[:k]} & {*true}) for true, ranked in zip(references, predictions, strict=True)
        )
        / max(1, k * len(references))
        for k in PLACES
        if k <= most or k == 1
    }


def precision_at_k_tally(
    references: Sequence[Sequence[str]], predictions: Sequence[Sequence[str]]
) -> LabelTally:
    """The tally of these scores, a text each."""
    most = min(map(len, predictions), default=0)
    pairs = list(zip(references, predictions, strict=True))
    return tally_of_ratios(
        {
            f"precision_at_{k}": [(len({*ranked[:k]} & {*true}), k) for true, ranked in pairs]
            for k in PLACES
            if k <= most or k == 1
        }
    )


register_evaluate_module(
    globals(),
    "PrecisionAtK",
    example=["string"],
    scores=precision_at_k,
    description="The share of right labels among the k likeliest.",
    inputs_description="""
Args:
    predictions: the labels of each text, the likeliest first.
    references: the true labels of each text.
""",
    citation="Mullenbach et al. (2018), Explainable Prediction of Medical Codes from Clinical Text, NAACL.",
)
