"""One model for several tasks: each of them is scored as if it had been alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bertinchamps.checks.finetuning import problems
from bertinchamps.contract import SPLITS, AnnotatedText, LabelledText
from bertinchamps.data import pretraining_facts
from bertinchamps.data.line_sets import digest_of, lines_of
from bertinchamps.finetune import finetune
from bertinchamps.schemas import FinetuneBatchConfig
from bertinchamps.tasks.formats import brat
from bertinchamps.tasks.texts.classification import TextClassification
from bertinchamps.tasks.texts.predictor import TextPredictor
from bertinchamps.tasks.texts.targets import SingleLabel
from perfect import predictions, recognition, tokenizer
from support import composed
from tiny_corpora import documents
from tiny_encoders import make_encoder

QUICK = [
    "runtime=eager", "runtime.threads=1", "max_length=48", "batch.evaluation=16", "optim.learning_rate=3e-3",
]  # fmt: skip


@pytest.mark.parametrize("head", ["flat", "nested"])
def test_entities_at_some_places_score_as_if_they_were_all(head: str) -> None:
    """The places of two corpora take turns; a document without predictions is in each."""
    whole = documents(9)
    task = recognition({"train": whole, "dev": whole}, head)
    predicted = predictions(task, "dev")
    for empty in (0, 3):
        predicted[empty] = predicted[empty]._replace(entities=(), confidences=())
    assert task.scores("dev", predicted, range(len(whole))) == task.scores("dev", predicted)
    for places in ([0, 2, 4, 6, 8], [1, 3, 5, 7]):
        alone = recognition({"train": whole, "dev": [whole[at] for at in places]}, head)
        expected = alone.scores("dev", [predicted[at] for at in places])
        assert task.scores("dev", predicted, places) == expected != task.scores("dev", predicted)


def test_classes_at_some_places_score_as_if_they_were_all() -> None:
    examples = [LabelledText(str(n), f"avis {n}", None, ("ab"[n % 2],)) for n in range(8)]
    predictor = TextPredictor(SingleLabel(), ("a", "b"), tokenizer(), 16, 8, torch.device("cpu"))
    logits = np.random.default_rng(0).normal(size=(8, 2)).astype(np.float32)

    def scores(places: list[int] | None, of: list[int]) -> Mapping[str, Any]:
        splits = {"train": examples, "dev": [examples[at] for at in of]}
        task = TextClassification(splits, predictor, FinetuneBatchConfig(), 0)
        return task.scores("dev", logits[of], places)

    for places in ([0, 1, 2], [3, 4, 5, 6, 7]):
        assert scores(places, list(range(8))) == scores(None, places)


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """QUAERO's folders, with some sentences in each."""
    drawn = iter(documents(36))
    for split, count in zip(SPLITS, (8, 4, 4), strict=True):
        for corpus in ("EMEA", "MEDLINE"):
            for _ in range(count):
                brat.write_document(tmp_path / "corpus" / split / corpus, next(drawn))
    return tmp_path / "corpus"


@pytest.fixture
def encoder(release: Path, tmp_path: Path) -> Path:
    """An encoder whose pretraining is said to have seen three lines of EMEA's test split, and none of MEDLINE's."""
    folder = make_encoder("bert", tmp_path / "encoder")
    sets = [
        {"digest": digest_of(lines_of(file.read_text("utf-8") for file in texts)), "lines": 4, "short_lines": 0,
         "lines_found": found, "lines_whole": found, "lines_left": found}
        for texts, found in (((release / "test/EMEA").glob("*.txt"), 3), ((release / "test/MEDLINE").glob("*.txt"), 0))
    ]  # fmt: skip
    manifest = {"overlap": [{"action": "count", "ngram": 13, "sets": sets}]}
    pretraining_facts.write_facts(pretraining_facts.pretraining_facts("a", manifest, "mlm", {}), folder)
    return folder


def test_a_run_on_both_has_the_scores_of_each(
    release: Path, encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        f"task.path={release}",
        f"model={encoder}",
        *QUICK,
        "dropout=0",
        "selection.every_epochs=10",
        "head=nested",
        "report.intervals=0",
    ]
    runs = {}
    for name, epochs in (("both", 40), ("emea", 1), ("medline", 1)):
        own_words = [f"task=quaero_{name}", f"budget.epochs={epochs}", f"run_dir={tmp_path / name}"]
        config = composed(*words, *own_words, command="finetune")
        assert problems(config) == []
        runs[name] = json.loads((finetune(config) / "results.json").read_text(encoding="utf-8"))
    whole, subtasks = runs["both"]["scores"], runs["both"]["subtasks"]
    assert list(subtasks) == ["quaero_emea", "quaero_medline"]
    assert runs["emea"]["subtasks"] == runs["medline"]["subtasks"] == {}
    for name in ("emea", "medline"):
        own = subtasks[f"quaero_{name}"]
        assert own["data_fingerprint"] == runs[name]["data_fingerprint"]
        assert own["pretraining_saw"] == runs[name]["pretraining_saw"]
        for split in ("dev", "test"):
            files = tmp_path / "both" / "predictions" / split
            sides: list[list[AnnotatedText]] = [
                [each for each in brat.read_folder(files / side) if each.name.startswith(name.upper())]
                for side in ("gold", "brat")
            ]
            assert len(sides[0]) == 4
            task = recognition({"train": sides[0], "dev": sides[0]}, "nested")
            expected = task.scores("dev", sides[1])
            assert expected["nested_exact"]["predicted"] > 0
            assert {key: own["scores"][split][key] for key in ("strict", "nested_exact")} == {
                key: expected[key] for key in ("strict", "nested_exact")
            }
    for split in ("dev", "test"):
        supports = [own["scores"][split]["nested_exact"]["support"] for own in subtasks.values()]
        assert whole[split]["nested_exact"]["support"] == sum(supports) == 32
    printed = capsys.readouterr().err
    assert "pretraining saw 3 of 4 lines of test of quaero_emea (measured)" in printed
    assert "did not see the text of test of quaero_medline: measured, 0 of 4 lines" in printed
    assert printed.count("whether pretraining saw the text of test: not measured") == 0
    assert sum(line.endswith(" (quaero_medline)") for line in printed.splitlines()) == 6  # splits × protocols


def test_a_run_on_both_is_resumed(release: Path, encoder: Path, tmp_path: Path) -> None:
    words = [
        "task=quaero_both", f"task.path={release}", f"model={encoder}", *QUICK, "budget.epochs=3",
        "checkpoint.every_steps=2", "checkpoint.keep=9", f"run_dir={tmp_path / 'run'}",
    ]  # fmt: skip
    folder = finetune(composed(*words, command="finetune"))
    before = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    (folder / "results.json").unlink()
    for later in sorted((folder / "checkpoints").iterdir())[1:]:
        shutil.rmtree(later)
    finetune(composed(*words, "resume=auto", command="finetune"))
    after = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert after["subtasks"] == before["subtasks"]
    assert after["scores"] == before["scores"]
