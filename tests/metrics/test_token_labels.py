"""The protocol "paper": scikit-learn's report on flat lists of sub-token labels."""

from __future__ import annotations

from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertinchamps.metrics.token_labels import token_label_scores

LABELS = st.sampled_from(["O", "B-DISO", "I-DISO", "B-CHEM"])
PAIRS = st.lists(st.lists(st.tuples(LABELS, LABELS), max_size=8), max_size=4)


@settings(deadline=None)
@given(PAIRS)
def test_the_scores_are_those_of_scikit_learns_report(rows: list[list[tuple[str, str]]]) -> None:
    from sklearn.metrics import classification_report

    references = [[true for true, _ in row] for row in rows]
    predictions = [[given for _, given in row] for row in rows]
    scores = token_label_scores(references, predictions)
    flat = [list(chain.from_iterable(side)) for side in (references, predictions)]
    if not flat[0]:
        assert (scores["accuracy"], scores["labels"]) == (0.0, {})
        return
    report = classification_report(*flat, output_dict=True, zero_division=0)
    right = sum(true == given for true, given in zip(*flat, strict=True))
    assert scores["accuracy"] == pytest.approx(right / len(flat[0]))
    assert scores["macro_f1"] == pytest.approx(report["macro avg"]["f1-score"])
    assert scores["weighted_f1"] == pytest.approx(report["weighted avg"]["f1-score"])
    for label, of_label in scores["labels"].items():
        assert of_label["f1"] == pytest.approx(report[label]["f1-score"])
        assert of_label["support"] == report[label]["support"]


def test_the_outside_label_counts_and_the_remark_says_so() -> None:
    scores = token_label_scores([["O"] * 9 + ["B-DISO"]], [["O"] * 10])
    assert scores["accuracy"] == 0.9
    assert scores["labels"]["O"]["support"] == 9
    assert "not comparable" in scores["remark"]


def test_sequences_of_other_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="same lengths"):
        token_label_scores([["O", "O"], ["O"]], [["O"], ["O", "O"]])
