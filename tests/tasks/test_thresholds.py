"""Thresholds of labels: chosen on dev, kept with the model, used for every prediction."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bertinchamps.contract import AnnotatedText, Entity
from bertinchamps.finetune import finetune
from bertinchamps.tasks.facts import read_facts
from bertinchamps.tasks.formats import spans_jsonl
from bertinchamps.tasks.tagging.flat import Flat
from bertinchamps.tasks.tagging.representations import Found
from bertinchamps.tasks.tagging.thresholds import GRID, best_thresholds, threshold_for_recall
from bertinchamps.tasks.tagging.windows import Window
from support import command, composed
from tiny_corpora import brat_corpus
from tiny_encoders import make_encoder


def document(*spans: tuple[str, int, bool, float]) -> tuple[AnnotatedText, list[Found]]:
    """A text, and spans (label, place, whether it is right, probability); probability 0 is not found."""
    entities = [(Entity(label, ((place, place + 1),)), right, found) for label, place, right, found in spans]
    gold = tuple(sorted(entity for entity, right, _ in entities if right))
    return AnnotatedText("a", "x" * 100, gold), [
        Found(entity, found) for entity, _, found in entities if found
    ]


def test_a_label_whose_spans_are_unlikely_but_right_gets_a_low_threshold_and_another_a_high_one() -> None:
    own, spans = document(
        ("A", 0, True, 0.28), ("A", 1, True, 0.33), ("A", 2, True, 0.9), ("A", 3, False, 0.21),
        ("B", 4, False, 0.56), ("B", 5, False, 0.58), ("B", 6, True, 0.9), ("B", 7, True, 0.0),
    )  # fmt: skip
    assert best_thresholds([own], [spans], ["A", "B", "C"]) == (0.25, 0.6, 0.5)
    assert best_thresholds([own], [spans], ["A", "B", "C"], "overall") == (0.25,) * 3


def test_of_equal_scores_the_half_stays() -> None:
    own, spans = document(("A", 0, True, 0.9), ("A", 1, False, 0.1))
    assert best_thresholds([own], [spans], ["A"]) == (0.5,)


def test_thresholds_are_kept_with_the_model_and_predict_uses_them(tmp_path: Path) -> None:
    words = [
        *brat_corpus(tmp_path / "corpus", train=24, dev=12, test=12),
        f"model={make_encoder('bert', tmp_path / 'bert')}",
        "head=nested", "runtime=eager", "runtime.threads=1", "max_length=48", "optim.learning_rate=2e-3", "dropout=0",
        "budget.epochs=9", "selection.thresholds=by_label", f"run_dir={tmp_path / 'run'}",
    ]  # fmt: skip
    folder = finetune(composed(*words, command="finetune"))
    thresholds = read_facts(folder / "model").thresholds
    assert len(thresholds) == 3
    assert set(thresholds) <= set(GRID)
    dev = spans_jsonl.read(folder / "predictions" / "dev.jsonl")
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert (
        results["scores"]["dev"]["nested_exact"]["f1"] >= results["selection"]["value"]
    )  # which had 0.5 for all
    output = tmp_path / "found.jsonl"
    words = [f"model={folder}", f"input={tmp_path / 'corpus/dev'}", f"output={output}", "runtime=eager"]
    assert command("bertinchamps.predict", *words, cwd=tmp_path).returncode == 0
    assert [one.entities for one in spans_jsonl.read(output)] == [one.entities for one in dev]
    file = folder / "model" / "task.json"
    lines = map(json.loads, output.read_text(encoding="utf-8").splitlines())
    confidences = sorted(entity["confidence"] for line in lines for entity in line["entities"])
    assert confidences[0] > min(thresholds)
    middle = confidences[len(confidences) // 2]
    file.write_text(
        json.dumps({**json.loads(file.read_text()), "thresholds": [middle] * 3}), encoding="utf-8"
    )
    output.unlink()
    (folder / "model" / "manifest.json").unlink()  # the change is on purpose
    assert command("bertinchamps.predict", *words, cwd=tmp_path).returncode == 0
    kept = sum(len(one.entities) for one in spans_jsonl.read(output))
    assert 0 < kept < len(confidences)


@pytest.mark.parametrize("head", ["flat", "nested"])
def test_a_head_without_probabilities_of_spans_has_none(head: str, tmp_path: Path) -> None:
    words = [
        *brat_corpus(tmp_path / "corpus"), f"model={make_encoder('bert', tmp_path / 'bert')}", f"head={head}",
        "runtime=eager", "max_length=48", "budget.epochs=1", f"run_dir={tmp_path / 'run'}",
        f"selection.thresholds={'by_label' if head == 'flat' else 'fixed'}",
    ]  # fmt: skip
    assert read_facts(finetune(composed(*words, command="finetune")) / "model").thresholds == ()


@pytest.mark.parametrize(
    ("wanted", "chosen"), [(0.3, 0.5), (0.69, 0.25), (0.74, 0.2), (0.999, 0.001), (1.0, 0.001)]
)
def test_the_highest_threshold_that_finds_enough_is_chosen(wanted: float, chosen: float) -> None:
    asked: list[float] = []

    def recall(threshold: float) -> float:
        asked.append(threshold)
        return min(0.9995, 0.95 - threshold) if threshold > 0.001 else 0.9995

    assert threshold_for_recall(wanted, recall) == chosen
    assert len(asked) <= 5, "each answer decodes all of dev"


def test_a_word_above_the_flat_heads_threshold_is_inside_of_an_entity() -> None:
    outside, begins, inside = np.log([0.9, 0.07, 0.03]), np.log([0.1, 0.6, 0.3]), np.log([0.85, 0.05, 0.1])
    window = Window(0, 0, ((0, 2), (3, 5), (6, 8)), (0,) * 5, (1, 2, 3), (1, 2, 3), (0, 3))
    answers = [np.stack([outside, begins, inside])]
    spans = {
        threshold: [(found.entity.start, found.entity.end) for found in head.entities([window], answers)]
        for threshold, head in (
            (0.5, Flat(["NOM"])),
            (0.12, Flat(["NOM"], [0.12])),
            (0.05, Flat(["NOM"], [0.05])),
        )
    }
    assert spans == {0.5: [(3, 5)], 0.12: [(3, 8)], 0.05: [(0, 2), (3, 8)]}
