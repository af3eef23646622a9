"""The protocol "paper": labels of subwords, as the tables of BERTinchamps count them.

Fierens and Jodogne (2023), CEUR-WS volume 3551, paper 1. Most subwords are outside of every entity and are counted, and
a word counts once for each of its subwords, so the scores depend on the tokenizer.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

from bertinchamps.metrics.classes import class_scores
from bertinchamps.metrics.evaluate_module import register_evaluate_module
from bertinchamps.metrics.protocols import PROTOCOLS, Protocol
from bertinchamps.metrics.tallies import LabelTally, tally_of_labels

PROTOCOLS.register(
    "paper",
    Protocol(
        "tags, the protocol of BERTinchamps",
        metrics={"accuracy": "accuracy", "macro_f1": "macro F1", "weighted_f1": "weighted F1"},
        headline="weighted_f1",
        parts="labels",
        part="label",
        remark="It scores tags one by one, and O, the commonest and easiest of them, is one of the classes: "
        "far above entity F1, and not comparable with it.",
    ),
)


REMARK = (
    "accuracy and F1 over sub-tokens, the outside label counted: far above F1 over entities and not comparable "
    "with it, nor between tokenizers"
)


def token_label_scores(
    references: Sequence[Sequence[str]], predictions: Sequence[Sequence[str]]
) -> dict[str, Any]:
    """Accuracy over all subwords, and F1 with support for each label.

    Args:
        references: the true labels of each sequence's subwords.
        predictions: the predicted labels, as many.

    Returns:
        accuracy, macro_f1 and weighted_f1 (over labels, by support), from 0 to 1; labels:
        {label: {precision, recall, f1, support}}; and a remark. All scores are 0 where there is no subword.

    Raises:
        ValueError: the two sides differ in the number of sequences or in the length of one.
    """
    if [len(labels) for labels in references] != [len(labels) for labels in predictions]:
        raise ValueError("references and predictions must be sequences of the same lengths")
    scores = class_scores(list(chain.from_iterable(references)), list(chain.from_iterable(predictions)))
    return {
        "accuracy": scores["accuracy"],
        "macro_f1": scores["macro_f1"],
        "weighted_f1": scores["weighted_f1"],
        "labels": scores["classes"],
        "remark": REMARK,
    }


def token_label_tally(
    references: Sequence[Sequence[str]], predictions: Sequence[Sequence[str]], documents: Sequence[int]
) -> LabelTally:
    """The tally of these scores; `documents` are the numbers of the sequences' documents, from 0 on."""
    places = [document for document, own in zip(documents, references, strict=True) for _ in own]
    true, given = (list(chain.from_iterable(side)) for side in (references, predictions))
    return tally_of_labels(true, given, places, ("accuracy", "macro_f1", "weighted_f1"), "labels")


register_evaluate_module(
    globals(),
    "TokenLabels",
    example=["string"],
    scores=token_label_scores,
    description=f"The BERTinchamps paper's tables: {REMARK}.",
    inputs_description="""
Args:
    predictions: a list of labels for each sequence, one a sub-token.
    references: the same, of the true labels.
""",
    citation="Fierens and Jodogne (2023), BERTinchamps, CEUR-WS volume 3551, paper 1.",
)
