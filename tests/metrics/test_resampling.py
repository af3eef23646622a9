"""Intervals and differences: exact on the whole split, right about chance, and those of scipy where scipy has them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from bertinchamps.metrics.classes import class_scores, class_tally
from bertinchamps.metrics.intervals import read_tallies, with_intervals, write_tallies
from bertinchamps.metrics.multi_label import multi_label_scores, multi_label_tally
from bertinchamps.metrics.multiple_choice import multiple_choice_scores, multiple_choice_tally
from bertinchamps.metrics.precision_at_k import precision_at_k, precision_at_k_tally
from bertinchamps.metrics.regression import regression_scores
from bertinchamps.metrics.resampling import differences, intervals, whole
from bertinchamps.metrics.tallies import NumberTally, Tally, tally_of_counts
from bertinchamps.metrics.token_labels import token_label_scores, token_label_tally

RANDOM = np.random.default_rng(5)
NAMES = ("a", "b", "c", "rare")


def classes(count: int, right: float, seed: int = 0) -> tuple[list[str], list[str]]:
    random = np.random.default_rng(seed)
    true = random.choice(NAMES, count, p=(0.5, 0.3, 0.19, 0.01)).tolist()
    return true, [each if random.random() < right else random.choice(NAMES) for each in true]


def several(count: int) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    draw = lambda: tuple(name for name in NAMES if RANDOM.random() < 0.4)  # noqa: E731
    return [draw() for _ in range(count)], [draw() for _ in range(count)]


def numbers(count: int) -> tuple[list[float], list[float]]:
    true = np.round(RANDOM.normal(size=count), 1)  # with equal ones
    return true.tolist(), (true + RANDOM.normal(size=count)).round(1).tolist()


def tagged(count: int) -> Any:
    sides = [[RANDOM.choice(("O", "B-X", "I-X"), 7).tolist() for _ in range(count)] for _ in range(2)]
    return sides[0], sides[1]


CASES: list[tuple[Callable[[int], Any], Any, Any]] = [
    (lambda count: classes(count, 0.6), class_scores, class_tally),
    (several, multi_label_scores, multi_label_tally),
    (several, multiple_choice_scores, multiple_choice_tally),
    (lambda count: ([("a",)] * count, [list(NAMES)] * count), precision_at_k, precision_at_k_tally),
    (numbers, regression_scores, lambda true, given: NumberTally(np.array(true), np.array(given))),
    (tagged, token_label_scores, lambda true, given: token_label_tally(true, given, range(len(true)))),
]


@pytest.mark.parametrize(("made", "scores", "tally"), CASES)
def test_a_tally_gives_the_scores_of_the_whole_and_of_any_sample(made: Any, scores: Any, tally: Any) -> None:
    true, given = made(40)
    counted: Tally = tally(true, given)
    weights = RANDOM.integers(0, 3, (1, 40))
    places = [place for place, times in enumerate(weights[0]) for _ in range(times)]
    samples = [(np.ones((1, 40)), true, given)]
    samples.append((weights.astype(float), [true[at] for at in places], [given[at] for at in places]))
    for drawn, own_true, own_given in samples:
        expected = scores(own_true, own_given)
        for path, values in counted.scores(drawn).items():
            value = expected
            for key in path:
                value = value.get(key, {"f1": 0.0}) if key in NAMES else value[key]
            found = value["f1"] if isinstance(value, dict) else value
            assert values[0] == pytest.approx(found, abs=1e-9), path


def test_an_interval_is_that_of_scipy() -> None:
    true, given = classes(300, 0.7)
    low, high = intervals(class_tally(true, given), 4000)[("accuracy",)]
    right = np.array([a == b for a, b in zip(true, given, strict=True)], dtype=float)
    theirs = stats.bootstrap((right,), np.mean, n_resamples=4000, method="percentile", random_state=0)
    assert (low, high) == pytest.approx(tuple(theirs.confidence_interval), abs=0.006)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    covered = 0
    for seed in range(80):
        true, given = classes(120, 0.6, seed)
        low, high = intervals(class_tally(true, given), 200)[("accuracy",)]
        covered += low <= 0.6 + 0.4 / 4 <= high
    assert 0.88 <= covered / 80 <= 0.99


def test_documents_are_drawn_whole_so_long_ones_widen_the_interval() -> None:
    def tally(each: int) -> Tally:
        counts = [
            (Counter(X=each if n % 2 else 0), Counter[str](), Counter(X=0 if n % 2 else each))
            for n in range(240 // each)
        ]
        return tally_of_counts(counts, ("recall",), "")

    widths = [high - low for low, high in (intervals(tally(each), 1000)[("recall",)] for each in (1, 12))]
    assert widths[1] == pytest.approx(widths[0] * 12**0.5, rel=0.15)


def test_models_that_do_not_differ_are_told_apart_as_rarely_as_chance_has_it() -> None:
    small = 0
    for seed in range(40):
        true, first = classes(80, 0.7, seed)
        random = np.random.default_rng(1000 + seed)
        second = [each if random.random() < 0.7 else str(random.choice(NAMES)) for each in true]
        found = differences(class_tally(true, first), class_tally(true, second), 200)[("accuracy",)]
        small += found.p <= 0.1
    assert small <= 10  # 4 are expected


def test_a_difference_is_found_and_its_sign_turns_with_the_order() -> None:
    true, good = classes(400, 0.8)
    _, bad = classes(400, 0.5)
    one = differences(class_tally(true, good), class_tally(true, bad), 1000)[("macro_f1",)]
    other = differences(class_tally(true, bad), class_tally(true, good), 1000)[("macro_f1",)]
    assert one.low > 0
    assert one.p < 0.01
    assert other.value == -one.value
    same = differences(class_tally(true, good), class_tally(true, good), 200)
    assert all(found.value == 0 and found.p == 1 for found in same.values())
    with pytest.raises(ValueError, match="400 and 3 documents"):
        differences(class_tally(true, good), class_tally(true[:3], good[:3]))


def test_correlations_are_compared_as_well() -> None:
    true, given = numbers(200)
    noise = NumberTally(np.array(true), RANDOM.normal(size=200))
    found = differences(NumberTally(np.array(true), np.array(given)), noise, 500)
    assert found[("spearman",)].low > 0
    assert found[("mean_absolute_error",)].value < 0


def test_tallies_survive_their_file(tmp_path: Any) -> None:
    true, given = classes(50, 0.6)
    numeric = NumberTally(*map(np.array, numbers(9)))
    write_tallies(tmp_path / "a.json", {"classes": class_tally(true, given), "regression": numeric})
    back = read_tallies(tmp_path / "a.json")
    assert whole(back["classes"]) == whole(class_tally(true, given))
    assert whole(back["regression"]) == whole(numeric)
    assert intervals(back["classes"], 50) == intervals(class_tally(true, given), 50)
    (tmp_path / "a.json").write_text('{"classes": {"cells": 3}}', encoding="utf-8")
    assert read_tallies(tmp_path / "a.json") == {}


def test_a_score_of_another_meaning_under_the_same_name_gets_no_interval() -> None:
    true, given = classes(50, 0.6)
    scores = {**class_scores(true, given), "accuracy": 0.123}
    found = with_intervals({"classes": scores}, {"classes": class_tally(true, given)}, 50)["classes"][
        "intervals"
    ]
    assert "accuracy" not in found
    assert found["macro_f1"][0] < scores["macro_f1"] < found["macro_f1"][1]
    assert found["documents"] == 50
    assert set(found["classes"]["a"]) == {"f1"}
    assert "intervals" not in with_intervals({"classes": scores}, {}, 50)["classes"]


def test_a_thousand_samples_of_a_large_split_take_less_than_a_second() -> None:
    true, given = classes(5000, 0.7)
    tally = class_tally(true, given)
    began = time.process_time()
    intervals(tally, 1000)
    assert time.process_time() - began < 2  # half a second on a machine that does nothing else
