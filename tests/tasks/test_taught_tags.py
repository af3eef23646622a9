"""A student with head=flat learns tags of words from models with other tokenizers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bertinchamps.checks.finetuning import problems
from bertinchamps.finetune import finetune
from bertinchamps.schemas import FinetuneBatchConfig
from bertinchamps.tasks.facts import TaskFacts
from bertinchamps.tasks.lessons import Lessons
from bertinchamps.tasks.tagging.flat import Flat
from bertinchamps.tasks.tagging.recognition import EntityRecognition
from bertinchamps.tasks.tagging.representations import IGNORED
from bertinchamps.tasks.tagging.windows import SubwordTokenizer, Window, windows_of
from perfect import recognition
from support import composed
from tiny_corpora import brat_corpus, documents
from tiny_encoders import make_encoder, tokenizer_like

QUICK = ["runtime=eager", "runtime.threads=1", "max_length=48", "optim.learning_rate=3e-3", "dropout=0"]
FLAT = Flat(("A", "B"))
TEXT = f"{'Une fièvre de trois jours, puis une toux, ' * 4}et rien. Puis rien."


def windows(family: str, longest: int) -> list[Window]:
    return list(windows_of([TEXT], SubwordTokenizer(tokenizer_like(family), longest)))


def answers(own: list[Window], seed: int) -> list[Any]:
    random = np.random.default_rng(seed)
    return [random.normal(size=(last - first, len(FLAT.classes))) for _, *_, (first, last) in own]


def test_models_with_other_tokenizers_and_windows_meet_word_by_word() -> None:
    sides = [windows("bert", 16), windows("camembert", 48)]
    assert len(sides[0]) > len(sides[1])  # so that words are cut into windows at other places
    said = [FLAT.opinion(own, answers(own, seed)) for seed, own in enumerate(sides)]
    together = FLAT.mixed([(0.25, said[0]), (0.75, said[1])])
    assert together == pytest.approx(0.25 * said[0] + 0.75 * said[1])
    for own in sides:
        targets = FLAT.soft_targets(together, own)
        places = [slice(*window.owned) for window in own]
        owned = np.concatenate([rows[place] for rows, place in zip(targets, places, strict=True)])
        assert (owned == together).all()
        assert sum(map(FLAT.count, targets)) == len(together) == len(FLAT.opinion(own, answers(own, 2)))
        assert sum(map(len, targets)) == sum(len(window.words) for window in own)
    assert sum(len(rows) - FLAT.count(rows) for rows in FLAT.soft_targets(together, sides[0])) > 0


def test_a_text_without_words_has_an_opinion_of_none() -> None:
    assert FLAT.opinion((), ()).shape == FLAT.certain((), ()).shape == (0, 5)
    assert FLAT.decided(FLAT.opinion((), ()), ()) == []


def test_nothing_is_left_to_learn_where_the_student_says_the_same() -> None:
    own = windows("bert", 16)
    targets = FLAT.soft_targets(FLAT.opinion(own, answers(own, 0)), own)
    size = max(len(window.words) for window in own)
    padded = FLAT.padded(targets, size + 1)
    assert padded.shape == (len(own), size + 1, 5)
    counts = torch.tensor([len(window.words) for window in own])
    same = padded.clamp(min=1e-9).log().requires_grad_()
    FLAT.loss(same, padded, counts).backward()
    assert isinstance(same.grad, Tensor)
    assert same.grad.abs().max() < 1e-5
    entropy = -(padded * padded.clamp(min=1e-9).log()).sum()
    assert float(FLAT.loss(same.detach(), padded, counts)) == pytest.approx(float(entropy), rel=1e-5)


def task(lessons: Lessons | None = None) -> EntityRecognition:
    plain = recognition({"train": documents(4), "dev": documents(4)}, "flat", 16)
    if lessons is None:
        return plain
    batch = FinetuneBatchConfig(micro_batch=99, size=99)
    return EntityRecognition(plain.splits, plain.predictor, batch, 0, lessons)


def sure(plain: EntityRecognition) -> list[Any]:
    """The labels of train, as an opinion of each document."""
    held: dict[int, list[Window]] = {}
    for window in plain.windows["train"]:
        held.setdefault(window.document, []).append(window)
    return [plain.representation.certain(plain._kept["train"][at], held[at]) for at in sorted(held)]


def test_teachers_without_doubt_teach_what_labels_teach() -> None:
    plain = task()
    hard = plain.representation.padded(plain._studied[1], 12)
    soft = plain.representation.padded(task(Lessons(1.0, sure(plain), []))._studied[1], 12)
    logits = torch.randn(*soft.shape, generator=torch.manual_seed(0))
    words = torch.tensor([len(window.words) for window in plain.windows["train"]])
    assert (hard == IGNORED).any(1).all()
    assert float(plain.representation.loss(logits, soft, words)) == pytest.approx(
        float(plain.representation.loss(logits, hard, words)), rel=1e-5
    )
    _, decided = plain.judged(
        TaskFacts("t", "ner", "flat", plain.representation.labels, 16), {"dev": sure(plain)}, "fixed"
    )
    assert plain.scores("dev", decided["dev"])["strict"]["f1"] == 1.0


def test_labels_keep_their_share_and_texts_without_labels_are_added() -> None:
    plain = task()
    unsure = [np.full_like(each, 1 / each.shape[1]) for each in sure(plain)]
    text = "Une fièvre de trois jours."
    taught = task(Lessons(0.25, unsure, [(text, np.full((6, 7), 1 / 7, dtype=np.float32))]))
    assert taught.epoch_length() == plain.epoch_length() + 1
    inputs = next(iter(taught.batches(0, 99))).inputs
    found = sorted(set(inputs["targets"].numpy().round(4).ravel().tolist()))
    assert found == pytest.approx([0.0, 0.25 / 7, 1 / 7, 0.75 + 0.25 / 7], abs=1e-4)


def test_a_student_believes_its_teacher_more_than_wrong_labels(tmp_path: Path) -> None:
    right = brat_corpus(tmp_path / "right")
    run = finetuned(tmp_path / "teacher", *right, f"model={make_encoder('bert', tmp_path / 'bert')}")
    for file in brat_folder(brat_corpus(tmp_path / "wrong")).rglob("*.ann"):
        swapped = file.read_text("utf-8").replace("CHEM", "…").replace("DISO", "CHEM").replace("…", "DISO")
        file.write_text(swapped, encoding="utf-8")
    notes = tmp_path / "notes.jsonl"
    lines = [json.dumps({"text": document.text}) for document in documents(8, 30)]
    notes.write_text("\n".join(lines), encoding="utf-8")
    student = finetuned(
        tmp_path / "student", *right, f"task.train={tmp_path / 'wrong/train'}",
        f"model={make_encoder('camembert', tmp_path / 'camembert')}", "distillation.weight=1",
        f"distillation.teachers=[{run}]", f"distillation.files=[{notes}]",
    )  # fmt: skip
    results, of_teacher = results_of(student), results_of(run)
    for split in ("dev", "test"):  # one teacher: its scores are those of its run, the ones by subword apart
        said, own = results["teachers"]["scores"][split], of_teacher["scores"][split]
        assert all(said[protocol] == own[protocol] for protocol in ("strict", "nested_exact"))
    assert results["scores"]["test"]["strict"]["f1"] > 0.5
    cost = results["cost"]
    assert cost["steps"] * 8 / cost["epochs"] > results["data"]["train"]["windows"] + 4


def finetuned(folder: Path, *words: str) -> Path:
    training = ["head=flat", "budget.epochs=40", "selection.every_epochs=20", "report.intervals=0"]
    config = composed(*words, *QUICK, *training, f"run_dir={folder}", command="finetune")
    assert problems(config) == []
    return finetune(config)


def brat_folder(settings: list[str]) -> Path:
    return Path(settings[1].partition("=")[2])


def results_of(folder: Path) -> Any:
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))
