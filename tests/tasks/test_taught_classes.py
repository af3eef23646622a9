"""A student learns the probabilities of classes, of labelled texts and of others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bertinchamps.checks.finetuning import problems
from bertinchamps.contract import LabelledText
from bertinchamps.errors import UserError
from bertinchamps.finetune import finetune
from bertinchamps.schemas import FinetuneBatchConfig
from bertinchamps.tasks.facts import TaskFacts
from bertinchamps.tasks.lessons import Lessons
from bertinchamps.tasks.texts.classification import TextClassification
from bertinchamps.tasks.texts.predictor import TextPredictor
from bertinchamps.tasks.texts.soft_targets import SoftTargetType
from bertinchamps.tasks.texts.targets import MultiLabel, SingleLabel
from perfect import tokenizer
from support import composed
from tiny_encoders import make_encoder

QUICK = ["runtime=eager", "runtime.threads=1", "max_length=32", "optim.learning_rate=3e-3", "dropout=0"]
CLASSES = ("a", "b", "c")
TRAIN = [LabelledText("1", "Une fièvre.", None, ("a",)), LabelledText("2", "Une toux sèche.", None, ("c",))]
BOTH: list[SoftTargetType] = [SingleLabel(), MultiLabel()]


@pytest.mark.parametrize("target", BOTH, ids=("softmax", "sigmoid"))
def test_probabilities_have_logits_and_certain_ones_the_loss_of_labels(target: SoftTargetType) -> None:
    logits = torch.randn(5, 3, generator=torch.manual_seed(0))
    shares = target.shares(logits.numpy())
    again = target.logits_of(shares)
    assert target.shares(again) == pytest.approx(shares, abs=1e-6)
    assert np.isfinite(target.logits_of(np.array([[0.0, 1.0]], dtype=np.float32))).all()
    truth: list[Any] = [("a",), ("b",), ("b",), ("c",), ("a",)]
    certain = torch.from_numpy(target.certain(truth, CLASSES))
    hard = float(target.loss(logits, target.encoded(truth, CLASSES)))
    assert float(target.loss(logits, certain)) == pytest.approx(hard)
    same = torch.from_numpy(again).requires_grad_()
    target.loss(same, torch.from_numpy(shares)).backward()  # nothing is left to learn
    assert same.grad is not None
    assert same.grad.abs().max() < 1e-5


def test_the_loss_is_the_divergence_from_the_teachers_and_their_entropy() -> None:
    logits, shares = torch.randn(4, 3, generator=torch.manual_seed(0)), torch.full((4, 3), 1 / 3)
    divergence = F.kl_div(logits.log_softmax(1), shares, reduction="sum")
    assert float(SingleLabel().loss(logits, shares)) == pytest.approx(
        float(divergence) + 4 * np.log(3), rel=1e-5
    )


@pytest.mark.parametrize("target", BOTH, ids=("softmax", "sigmoid"))
def test_labels_keep_their_share_and_texts_without_labels_are_added(target: SoftTargetType) -> None:
    said = [np.array(row, dtype=np.float32) for row in ([0.2, 0.5, 0.3], [0.6, 0.2, 0.2], [0.1, 0.8, 0.1])]
    predictor = TextPredictor(target, CLASSES, tokenizer(), 32, 8, torch.device("cpu"))
    splits = {"train": TRAIN, "dev": TRAIN}
    lessons = Lessons(0.25, said[:2], [("Une toux sèche depuis l'hiver.", said[2])])
    task = TextClassification(splits, predictor, FinetuneBatchConfig(), 0, lessons)
    assert task.epoch_length() == 3
    inputs, count = task.batch_of([2, 0, 1])
    assert count == 3
    expected = [said[2], [0.8, 0.125, 0.075], [0.15, 0.05, 0.8]]
    assert inputs["targets"].numpy() == pytest.approx(np.array(expected))
    assert inputs["input_ids"].shape[0] == 3
    plain = TextClassification(splits, predictor, FinetuneBatchConfig(), 0)
    assert plain.train_ids() < task.train_ids()


def test_what_teachers_decide_has_thresholds_of_its_own() -> None:
    predictor = TextPredictor(
        MultiLabel(thresholds=(0.9,) * 3), CLASSES, tokenizer(), 32, 8, torch.device("cpu")
    )
    task = TextClassification({"train": TRAIN, "dev": TRAIN}, predictor, FinetuneBatchConfig(), 0)
    facts = TaskFacts("t", "multi_label", None, CLASSES, 32)
    said = {"dev": [np.array([0.4, 0.1, 0.1]), np.array([0.1, 0.1, 0.4])]}
    judge, predicted = task.judged(facts, said, "overall")
    assert judge.scores("dev", predicted["dev"])["multi_label"]["micro_f1"] == 1.0
    judge, predicted = task.judged(facts, said, "fixed")
    assert judge.scores("dev", predicted["dev"])["multi_label"]["micro_f1"] == 0.0
    assert task.predictor.target_type.decoded(np.array([[3.0, 1.0, 0.0]]), CLASSES) == [("a",)]  # as before


def written(file: Path, first: int, count: int, several: bool, right: bool = True) -> Path:
    """Notes of two kinds, with one class or a list of classes each; a wrong class is that of the other kind."""
    rows = []
    for number in range(first, first + count):
        cough = number % 2 == 0
        label = "cough" if cough == right else "fracture"
        text = f"{'Une toux sèche depuis l’hiver' if cough else 'Fracture du col du fémur à gauche'}, {number} mg."
        rows.append({"text": text, "label": [label] if several else label})
    file.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    return file


def settings(folder: Path, several: bool, right: bool = True) -> list[str]:
    folder.mkdir()
    parts = (("train", 0, 16), ("dev", 100, 8), ("test", 200, 8))
    files = [
        f"task.{split}={written(folder / f'{split}.jsonl', first, count, several, right or split != 'train')}"
        for split, first, count in parts
    ]
    return ["task=classification", *files, f"task.target={'multi' if several else 'single'}"]


def finetuned(folder: Path, *words: str) -> Path:
    training = ["budget.epochs=25", "selection.every_epochs=25", "report.intervals=0"]
    training += ["batch.size=8", "batch.micro_batch=8"]
    config = composed(*words, *QUICK, *training, f"run_dir={folder}", command="finetune")
    assert problems(config) == []
    return finetune(config)


def results_of(folder: Path) -> Any:
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("encoders")
    return {family: make_encoder(family, folder / family) for family in ("bert", "roberta")}


@pytest.mark.parametrize(("several", "protocol"), [(False, "classes"), (True, "multi_label")])
def test_a_student_believes_its_teacher_more_than_wrong_labels(
    several: bool, protocol: str, encoders: dict[str, Path], tmp_path: Path
) -> None:
    right, wrong = settings(tmp_path / "right", several), settings(tmp_path / "wrong", several, right=False)
    run = finetuned(tmp_path / "teacher", *right, f"model={encoders['bert']}")
    assert results_of(run)["scores"]["dev"][protocol]["micro_f1" if several else "accuracy"] == 1.0
    notes, seen = (written(tmp_path / f"{first}.jsonl", first, 8, several) for first in (300, 200))
    student = finetuned(
        tmp_path / "student", *wrong, f"model={encoders['roberta']}", "distillation.weight=1",
        f"distillation.teachers=[{run}]", f"distillation.files=[{notes},{seen}]",
    )  # fmt: skip
    results, of_teacher = results_of(student), results_of(run)
    assert results["teachers"]["scores"] == of_teacher["scores"]  # one teacher: those that its own run has
    assert results["scores"]["test"][protocol] == of_teacher["scores"]["test"][protocol]
    cost = results["cost"]
    assert cost["steps"] * 8 / cost["epochs"] == 16 + 8  # train and the notes, none of test


def test_what_cannot_be_taught_is_refused(encoders: dict[str, Path], tmp_path: Path) -> None:
    words = settings(tmp_path / "corpus", several=False)
    given = "distillation.teachers=[anywhere]"
    for task, message in (
        ([*words, "loss=focal"], "a student learns probabilities by loss=plain, not by loss=focal"),
        (
            [*words, "task.target=number"],
            "distillation.teachers: not for this task: a number has no probability",
        ),
        (["task=frenchmedmcqa"], "a text without labels has no answers to choose from"),
    ):
        told = problems(composed(*task, given, command="finetune"))
        assert sum(message in each for each in told) == 1
    pairs = tmp_path / "pairs.jsonl"
    rows = [{"text": f"Un {n}.", "other": f"Deux {n}.", "label": "ab"[n % 2]} for n in range(40)]
    pairs.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    run = finetuned(tmp_path / "run", *words, f"model={encoders['bert']}", "budget.epochs=1")
    config = composed(
        "task=classification", f"task.train={pairs}", "task.pair=other", f"model={encoders['bert']}", *QUICK,
        f"distillation.teachers=[{run}]", f"distillation.files=[{pairs}]", command="finetune",
    )  # fmt: skip
    with pytest.raises(UserError) as refused:
        finetune(config)
    assert "distillation.files=" in str(refused.value)
    assert "are single texts, and examples are pairs here" in str(refused.value)
    assert "other labels than the student: a, b, cough, fracture" in str(refused.value)
    several = settings(tmp_path / "several", several=True)
    taught = [f"model={encoders['bert']}", f"distillation.teachers=[{run}]"]
    config = composed(*several, *QUICK, *taught, command="finetune")
    with pytest.raises(
        UserError, match="has kind=single_label, but teachers need the student's, kind=multi_label"
    ):
        finetune(config)
