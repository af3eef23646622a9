"""recover with a teacher: the model before all steps teaches the smaller one, on texts without labels, too."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bertinchamps.checks.compressing import problems
from bertinchamps.compress import compress
from bertinchamps.compressing.material import Material, material_of
from bertinchamps.compressing.recover import Recover
from bertinchamps.finetune import finetune
from support import composed
from test_finetune import QUICK, SCRATCH
from tiny_corpora import brat_corpus, documents, opinions

FAST = [
    "runtime=eager",
    "runtime.threads=1",
    "runtime.precision=fp32",
    "measure.repeats=0",
    "measure.texts=4",
]
TRAINED = [*QUICK, *SCRATCH, "budget.epochs=3", "optim.learning_rate=3e-3", "dropout=0", "report.html=false"]


def settings(*words: str) -> Any:
    return composed(*FAST, *words, command="compress")


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classifier")
    words = ["task=classification", f"task.train={opinions(folder / 'train.jsonl')}", *TRAINED]
    return finetune(composed(*words, f"run_dir={folder / 'run'}", command="finetune"))


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """Six texts without labels."""
    file = tmp_path / "notes.jsonl"
    lines = (json.dumps({"text": each.text}) for each in documents(6, 40))
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


def taught(run: Path, output: Path, *words: str) -> dict[str, Any]:
    """What compress.json says of the last step."""
    config = settings(f"model={run}", f"output={output}", *words)
    assert problems(config) == []
    compress(config)
    record = json.loads((output / "compress.json").read_text(encoding="utf-8"))
    assert "taught on" in (output / "README.md").read_text(encoding="utf-8")
    return dict(record["steps"][-1]["facts"])


def test_a_smaller_classifier_is_taught_on_files_of_the_step(
    classifier: Path, notes: Path, tmp_path: Path
) -> None:
    step = f"{{name: recover, teacher: true, epochs: 1, files: [{notes}]}}"
    told = taught(classifier, tmp_path / "small", f"steps=[{{name: prune, feed_forward: 0.5}},{step}]")
    assert told["texts_without_labels"] == 6
    assert told["metric"] == "accuracy"


def test_a_flat_tagger_with_fewer_words_is_taught_on_texts(notes: Path, tmp_path: Path) -> None:
    words = [*brat_corpus(tmp_path / "corpus"), *TRAINED, "head=flat", f"run_dir={tmp_path / 'run'}"]
    run = finetune(composed(*words, command="finetune"))
    chain = (
        "steps=[{name: trim},{name: recover, teacher: true, epochs: 1}]"  # the teacher has the old tokenizer
    )
    told = taught(run, tmp_path / "small", f"texts=[{notes}]", chain)
    assert told["texts_without_labels"] == 6
    assert told["metric"] == "strict_f1"


def test_which_texts_the_teacher_labels(classifier: Path, notes: Path) -> None:
    material = material_of(settings(f"model={classifier}", "output=small", f"texts=[{notes}]"))

    def files(step: Recover, of: Material = material) -> list[str]:
        return step._settings(classifier / "model", of, classifier / "again").distillation.files

    assert files(Recover(teacher=True)) == [str(notes)]
    assert files(Recover(teacher=True, files=["other.txt"])) == ["other.txt"]
    assert files(Recover(teacher=True, passages=0)) == files(Recover()) == []
    assert material.source.facts is not None
    pairs = replace(
        material, source=replace(material.source, facts=replace(material.source.facts, pairs=True))
    )
    assert files(Recover(teacher=True), pairs) == []
    (found,) = Recover(teacher=True, files=["other.txt"]).problems(pairs)
    assert found == "steps.files: are single texts, and the model reads pairs; leave them out"


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        (
            {"kind": "regression"},
            "steps.teacher=true: not for this task: a number has no probability; leave it out",
        ),
        (
            {"loss": {"name": "focal"}},
            "steps.teacher=true: a student learns probabilities by loss=plain, not by",
        ),
    ],
)
def test_models_that_cannot_be_taught_are_refused(
    classifier: Path, facts: dict[str, Any], message: str
) -> None:
    material = material_of(settings(f"model={classifier}", "output=small"))
    assert material.source.facts is not None
    other = replace(material, source=replace(material.source, facts=replace(material.source.facts, **facts)))
    (found,) = Recover(teacher=True).problems(other)
    assert found.startswith(message)
    assert Recover().problems(other) == []


def test_files_that_nobody_labels_or_that_are_not_there_are_named(classifier: Path, tmp_path: Path) -> None:
    none = tmp_path / "none.txt"
    step = f"steps=[{{name: recover, files: [{none}], passages: -1}}]"
    found = problems(settings(f"model={classifier}", f"output={tmp_path / 'small'}", step))
    assert [each.split(":")[0] for each in found] == [
        f"steps.files={none}",
        "steps.passages=-1",
        "steps.files",
    ]
    assert "nobody labels them; give teacher=true" in found[0]
    assert "no such file" in found[2]
