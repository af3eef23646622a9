"""Thresholds of labels: chosen on dev, kept with the model, used for every prediction."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bertinchamps.checks.finetuning import problems
from bertinchamps.contract import AnnotatedText, Entity
from bertinchamps.finetune import finetune
from bertinchamps.predict import predict
from bertinchamps.tasks.facts import read_facts
from bertinchamps.tasks.formats import spans_jsonl
from bertinchamps.tasks.tagging.flat import Flat
from bertinchamps.tasks.tagging.representations import Found
from bertinchamps.tasks.tagging.thresholds import GRID, best_thresholds
from bertinchamps.tasks.tagging.windows import Window
from bertinchamps.tasks.thresholds import threshold_for_precision, threshold_for_recall
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


def test_a_word_below_a_flat_threshold_above_one_half_is_outside() -> None:
    likely, sure = np.log([0.3, 0.6, 0.1]), np.log([0.04, 0.9, 0.06])
    window = Window(0, 0, ((0, 2), (3, 5)), (0,) * 4, (1, 2), (1, 2), (0, 2))
    found = {
        threshold: [
            each.entity.start
            for each in Flat(["NOM"], [threshold]).entities([window], [np.stack([likely, sure])])
        ]
        for threshold in (0.5, 0.8, 0.97)
    }
    assert found == {0.5: [0, 3], 0.8: [3], 0.97: []}


@pytest.mark.parametrize(("wanted", "chosen"), [(0.4, 0.5), (0.77, 0.8), (0.95, 0.97), (0.999, 0.99)])
def test_the_lowest_threshold_that_is_precise_enough_is_chosen(wanted: float, chosen: float) -> None:
    def precision(threshold: float) -> float:
        return 0.0 if threshold > 0.99 else threshold - 0.01

    assert threshold_for_precision(wanted, precision) == chosen


WANTED = [
    "task=demo", "task.documents=60", "model=scratch", "arch=tiny", "tokenizer.vocab_size=200", "runtime=eager",
    "runtime.threads=1", "max_length=48", "budget.epochs=3", "optim.learning_rate=3e-3", "report.intervals=50",
]  # fmt: skip


@pytest.mark.parametrize("head", ["flat", "nested"])
def test_a_wanted_precision_is_reached_or_the_user_is_told(
    head: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        *WANTED,
        f"head={head}",
        f"run_dir={tmp_path / 'run'}",
        "selection.precision=0.9",
        "selection.temperature=true",
    ]
    config = composed(*words, command="finetune")
    assert problems(config) == []
    run = finetune(config)
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    wanted, facts = results["selection"]["wanted"], read_facts(run / "model")
    dev = results["scores"]["dev"]["strict" if head == "flat" else "nested_exact"]
    assert wanted["reached"] == pytest.approx(dev["precision"])
    assert set(facts.thresholds) == {wanted["threshold"]}
    assert facts.temperature == results["selection"]["temperature"]
    assert (facts.temperature != 1.0) == (results["selection"]["dev_ece_before"] is not None)
    said = capsys.readouterr().err
    assert ("NOT reached on dev" in said) == (wanted["reached"] < 0.9)
    assert f"temperature {facts.temperature:.3g}" in said
    (tmp_path / "new.txt").write_text(composed_text(run), encoding="utf-8")
    predict(
        composed(
            f"model={run}",
            f"input={tmp_path / 'new.txt'}",
            f"output={tmp_path / 'new.jsonl'}",
            command="predict",
        )
    )
    again, first = (
        json.loads(file.read_text(encoding="utf-8").splitlines()[0])["entities"]
        for file in (tmp_path / "new.jsonl", run / "predictions" / "dev.jsonl")
    )
    assert [entity["label"] for entity in again] == [entity["label"] for entity in first]
    confidences = [[entity["confidence"] for entity in side] for side in (again, first)]
    assert confidences[0] == pytest.approx(confidences[1], abs=1e-3)


def composed_text(run: Path) -> str:
    """The first text of dev."""
    return spans_jsonl.read(run / "predictions" / "dev.jsonl")[0].text


def test_classes_have_temperature_and_thresholds_for_recall(tmp_path: Path) -> None:
    lines = [
        f"les mots {'alpha' if n % 2 else 'beta'} {'gamma' if n % 3 else ''} numéro {n}" for n in range(90)
    ]
    labels = [";".join(["A"] * (n % 2) + ["G"] * (n % 3 > 0) or ["Z"]) for n in range(90)]
    rows = "\n".join(f"{text},{own}" for text, own in zip(lines, labels, strict=True))
    (tmp_path / "texts.csv").write_text(f"text,label\n{rows}\n", encoding="utf-8")
    words = [word for word in WANTED if not word.startswith("task")]
    words += [
        "task=classification",
        f"task.train={tmp_path / 'texts.csv'}",
        "task.target=multi",
        "selection.dev_share=0.3",
    ]
    words += [f"run_dir={tmp_path / 'run'}", "selection.recall=0.97", "selection.temperature=true"]
    config = composed(*words, command="finetune")
    assert problems(config) == []
    results = json.loads((finetune(config) / "results.json").read_text(encoding="utf-8"))
    wanted = results["selection"]["wanted"]
    assert wanted["reached"] >= 0.97
    assert len(set(read_facts(tmp_path / "run" / "model").thresholds)) == 1
    assert results["calibration"]["dev"]["decisions"] > 0


def test_a_threshold_that_nothing_chooses_is_refused() -> None:
    both = composed(
        "task=demo", "model=scratch", "selection.recall=0.9", "selection.precision=0.9", command="finetune"
    )
    assert [line for line in problems(both) if "selection" in line] == [
        "selection.recall, selection.precision: one threshold reaches one of them; leave the other out"
    ]
    wrong = composed("task=stsb_fr", "model=scratch", "selection.precision=1.5", command="finetune")
    found = [line for line in problems(wrong) if "selection" in line]
    assert found[0] == "selection.precision=1.5: this task has no threshold to choose; leave it out"
    assert found[1].startswith("selection.precision=1.5: a share between 0 and 1")
