"""Scores of classes, of several classes a text, and of numbers."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertinchamps.metrics.classes import class_scores
from bertinchamps.metrics.multi_label import multi_label_scores
from bertinchamps.metrics.regression import regression_scores

NAMES = st.sampled_from(["CHIMIE", "cœur", "x y"])
SETS = st.lists(NAMES, unique=True).map(tuple)
NUMBERS = st.floats(-1e6, 1e6)


def f1(tp: int, fp: int, fn: int) -> float:
    return 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 0.0


@settings(deadline=None)
@given(st.lists(st.tuples(NAMES, NAMES), min_size=1))
def test_class_scores(pairs: list[tuple[str, str]]) -> None:
    scores = class_scores([true for true, _ in pairs], [given for _, given in pairs])
    assert scores["accuracy"] == pytest.approx(sum(a == b for a, b in pairs) / len(pairs))
    by_hand = {
        name: f1(
            sum(a == b == name for a, b in pairs),
            sum(b == name != a for a, b in pairs),
            sum(a == name != b for a, b in pairs),
        )
        for name in {name for pair in pairs for name in pair}
    }
    assert {name: of_class["f1"] for name, of_class in scores["classes"].items()} == pytest.approx(by_hand)
    assert scores["macro_f1"] == pytest.approx(sum(by_hand.values()) / len(by_hand))
    assert sum(of_class["support"] for of_class in scores["classes"].values()) == len(pairs)


@settings(deadline=None)
@given(st.lists(st.tuples(SETS, SETS), min_size=1))
def test_multi_label_scores(pairs: list[tuple[tuple[str, ...], tuple[str, ...]]]) -> None:
    scores = multi_label_scores([true for true, _ in pairs], [given for _, given in pairs])
    assert scores["exact_match"] == pytest.approx(sum(set(a) == set(b) for a, b in pairs) / len(pairs))
    counts = {
        name: (
            sum(name in a and name in b for a, b in pairs),
            sum(name not in a and name in b for a, b in pairs),
            sum(name in a and name not in b for a, b in pairs),
        )
        for name in {name for pair in pairs for side in pair for name in side}
    }
    by_hand = {name: f1(*of_class) for name, of_class in counts.items()}
    assert {name: of_class["f1"] for name, of_class in scores["classes"].items()} == pytest.approx(by_hand)
    total = [sum(of_class[i] for of_class in counts.values()) for i in range(3)]
    assert scores["micro_f1"] == pytest.approx(f1(*total))
    assert scores["macro_f1"] == pytest.approx(sum(by_hand.values()) / max(1, len(by_hand)))


@settings(deadline=None)
@given(st.lists(st.tuples(NUMBERS, NUMBERS)))
def test_number_scores_are_never_undefined(pairs: list[tuple[float, float]]) -> None:
    scores = regression_scores([true for true, _ in pairs], [given for _, given in pairs])
    assert all(math.isfinite(value) for value in scores.values())
    assert -1 - 1e-9 <= scores["pearson"] <= 1 + 1e-9
    assert scores["mean_absolute_error"] <= scores["root_mean_squared_error"] * (1 + 1e-9) + 1e-300


def test_regression_scores() -> None:
    scores = regression_scores([1.0, 2.0, 4.0], [1.0, 4.0, 16.0])
    assert scores["spearman"] == pytest.approx(1.0)
    assert scores["pearson"] == pytest.approx(0.98974, abs=1e-5)
    assert scores["mean_absolute_error"] == pytest.approx(14 / 3)
    assert scores["root_mean_squared_error"] == pytest.approx(math.sqrt(148 / 3))


def test_one_number_for_all_has_no_correlation() -> None:
    scores = regression_scores([1.0, 2.0, 3.0], [2.0, 2.0, 2.0])
    assert (scores["pearson"], scores["spearman"]) == (0.0, 0.0)
    assert scores["mean_absolute_error"] == pytest.approx(2 / 3)


def test_perfect_and_empty_predictions() -> None:
    assert class_scores(["a", "b"], ["a", "b"])["macro_f1"] == 1.0
    assert class_scores([], [])["accuracy"] == 0.0
    assert multi_label_scores([("a", "b"), ()], [("b", "a"), ()])["exact_match"] == 1.0
    assert multi_label_scores([()], [()])["micro_f1"] == 0.0
    assert regression_scores([], [])["root_mean_squared_error"] == 0.0


@pytest.mark.parametrize("scores", [class_scores, multi_label_scores, regression_scores])
def test_other_lengths_are_refused(scores: object) -> None:
    with pytest.raises(ValueError, match="1 references and 0 predictions"):
        scores(["a"], [])  # type: ignore[operator]


def test_numbers_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        regression_scores([1.0], [math.nan])
