"""The protocol "multiple_choice": questions with one or several right answers."""

from __future__ import annotations

from collections.abc import Sequence

from bertinchamps.metrics.class_rates import check_lengths
from bertinchamps.metrics.evaluate_module import register_evaluate_module
from bertinchamps.metrics.protocols import PROTOCOLS, Protocol
from bertinchamps.metrics.tallies import LabelTally, tally_of_ratios

PROTOCOLS.register(
    "multiple_choice",
    Protocol(
        "questions with one or several right answers",
        metrics={"exact_match": "exact match", "hamming": "Hamming score"},
        headline="exact_match",
        choosing=("hamming", "exact_match"),
    ),
)


def multiple_choice_scores(
    references: Sequence[Sequence[str]], predictions: Sequence[Sequence[str]]
) -> dict[str, float]:
    """Scores of questions (Labrak et al., 2022, FrenchMedMCQA).

    Args:
        references: the right answers of each question, in any order.
        predictions: the answers that were given.

    Returns:
        exact_match: share of the questions whose answers are exactly the right ones; hamming: |right and given| /
        |right or given| of a question, 1 where both are empty, averaged over questions. Both from 0 to 1, and 0 where
        there is no question.

    Raises:
        ValueError: the two sides differ in length.
    """
    check_lengths(references, predictions)
    sides = [({*true}, {*given}) for true, given in zip(references, predictions, strict=True)]
    shared = [len(true & given) / len(true | given) if true | given else 1.0 for true, given in sides]
    return {
        "exact_match": sum(true == given for true, given in sides) / max(1, len(sides)),
        "hamming": sum(shared) / max(1, len(sides)),
    }


def multiple_choice_tally(
    references: Sequence[Sequence[str]], predictions: Sequence[Sequence[str]]
) -> LabelTally:
    """The tally of these scores, a question each."""
    sides = [({*true}, {*given}) for true, given in zip(references, predictions, strict=True)]
    return tally_of_ratios(
        {
            "exact_match": [(true == given, 1) for true, given in sides],
            "hamming": [
                (len(true & given) / len(true | given) if true | given else 1, 1) for true, given in sides
            ],
        }
    )


register_evaluate_module(
    globals(),
    "MultipleChoice",
    example=["string"],
    scores=multiple_choice_scores,
    description="Exact match and Hamming score of questions with one or several right answers.",
    inputs_description="""
Args:
    predictions: the answers given to each question.
    references: the right answers of each question.
""",
    citation="Labrak et al. (2022), FrenchMedMCQA: A French Multiple-Choice Question Answering Dataset for Medical "
    "domain, LOUHI.",
)
