"""A student learns what several teachers say together, on labelled texts and on others."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from bertinchamps.checks.finetuning import problems
from bertinchamps.contract import Entity
from bertinchamps.errors import UserError
from bertinchamps.finetune import finetune
from bertinchamps.reporting.runs import gather
from bertinchamps.schemas import FinetuneBatchConfig
from bertinchamps.tasks.formats import spans_jsonl
from bertinchamps.tasks.lessons import Lessons
from bertinchamps.tasks.tagging.nested import Nested, without_crossings
from bertinchamps.tasks.tagging.recognition import EntityRecognition
from bertinchamps.tasks.tagging.representations import Found
from bertinchamps.tasks.tagging.windows import windows_of
from bertinchamps.training.run_files import parts_of
from perfect import recognition
from support import composed
from tiny_corpora import brat_corpus, documents
from tiny_encoders import make_encoder

QUICK = ["runtime=eager", "runtime.threads=1", "max_length=48", "optim.learning_rate=3e-3", "dropout=0"]


def span(start: int, end: int, probability: float, label: str = "A") -> Found:
    return Found(Entity(label, ((start, end),)), probability)


def test_opinions_are_weighted_and_a_span_that_one_lacks_counts_as_nothing() -> None:
    told = Nested(("A",)).mixed([(0.25, [span(0, 3, 1.0), span(4, 6, 0.5)]), (0.75, [span(0, 3, 0.2)])])
    assert told == [span(0, 3, pytest.approx(0.4)), span(4, 6, pytest.approx(0.125))]  # type: ignore[arg-type]


def test_of_crossing_spans_the_likelier_stays_wherever_they_are_in_the_text() -> None:
    spans = [
        span(20, 30, 0.6),
        span(25, 35, 0.9),
        span(0, 9, 0.7),
        span(2, 5, 0.6),
        span(4, 9, 0.8),
        span(40, 41, 0.6),
    ]
    kept = [(found.entity.start, found.entity.end) for found in without_crossings(spans)]
    assert kept == [(0, 9), (4, 9), (25, 35), (40, 41)]


def test_targets_are_the_probabilities_of_spans() -> None:
    task = recognition({"train": documents(3), "dev": documents(3)}, "nested")
    window, representation = task.windows["train"][0], task.representation
    assert isinstance(representation, Nested)
    (start, _), (_, end) = window.words[1], window.words[2]
    (rows,) = representation.soft_targets(
        [Found(Entity(representation.labels[1], ((start, end),)), 0.3)], [window]
    )
    padded = representation.padded([rows], len(window.words))
    assert padded[0, 1, 2, 1] == np.float32(0.3)
    assert padded.sum() == np.float32(0.3)


def test_lessons_join_labels_and_opinions_and_add_windows() -> None:
    train, weight = documents(4), 0.25
    plain = recognition({"train": train, "dev": train}, "nested")
    opinions = [[Found(document.entities[0], 0.8)] for document in train]
    text = "Une fièvre de trois jours. Puis rien."
    further = [(text, [Found(Entity(plain.representation.labels[0], ((4, 10),)), 0.6)])]
    lessons = Lessons(weight, opinions, further)
    batch = FinetuneBatchConfig(micro_batch=6, size=6)
    task = EntityRecognition({"train": train, "dev": train}, plain.predictor, batch, 0, lessons)
    extra = list(windows_of([text], plain.predictor.subwords))
    assert task.epoch_length() == plain.epoch_length() + len(extra) == len(task.windows["train"]) + 2
    inputs = next(iter(task.batches(0, task.epoch_length()))).inputs
    told = Counter(inputs["targets"].numpy().astype(float).round(4).ravel().tolist())
    labelled = sum(len(document.entities) for document in train)
    assert told == {0.0: told[0.0], 0.6: 1, 0.95: 4, 0.75: labelled - 4}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A corpus and an encoder."""
    folder = tmp_path_factory.mktemp("corpus")
    return [*brat_corpus(folder / "brat"), f"model={make_encoder('bert', folder / 'encoder')}", *QUICK]


Finetuned = Callable[..., Path]


@pytest.fixture(scope="module")
def finetuned(corpus: list[str], tmp_path_factory: pytest.TempPathFactory) -> Finetuned:
    def run(*words: str) -> Path:
        folder = tmp_path_factory.mktemp("run")
        config = composed(*corpus, "head=nested", f"run_dir={folder / 'run'}", *words, command="finetune")
        assert problems(config) == []
        return finetune(config)

    return run


@pytest.fixture(scope="module")
def teachers(finetuned: Finetuned) -> list[Path]:
    return [
        finetuned("budget.epochs=40", "selection.every_epochs=20"),
        finetuned("budget.epochs=1", "seed=1"),
    ]


def results_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def test_a_student_learns_from_texts_without_labels_and_never_from_those_of_test(
    finetuned: Finetuned, teachers: list[Path], tmp_path: Path
) -> None:
    further = tmp_path / "notes.txt"
    further.write_text("\n".join(document.text for document in documents(6, 40)), encoding="utf-8")
    seen = tmp_path / "seen.jsonl"
    held_out = spans_jsonl.read(teachers[0] / "predictions" / "test.jsonl")
    long = " ".join(document.text for document in held_out)
    seen.write_text(json.dumps({"text": long}) + "\n", encoding="utf-8")
    student = [f"distillation.teachers=[{teachers[0]}]", "distillation.weight=1", "budget.epochs=40"]
    run = finetuned(*student, "selection.every_epochs=20", f"distillation.files=[{further},{seen}]")
    results = results_of(run)
    assert results["teachers"]["models"] == [str(teachers[0] / "model")]
    # one teacher: its scores are those that its own run has
    assert results["teachers"]["scores"]["test"] == results_of(teachers[0])["scores"]["test"]
    assert results["scores"]["dev"]["nested_exact"]["f1"] > 0.5
    windows = results["data"]["train"]["windows"]
    epochs, steps = results["cost"]["epochs"], results["cost"]["steps"]
    read = steps * 8 / epochs  # windows of an epoch
    assert windows + 5 < read < windows + 20  # those of the notes, none of test


def test_the_runs_of_a_folder_are_scored_together(
    finetuned: Finetuned, teachers: list[Path], tmp_path: Path
) -> None:
    for number, teacher in enumerate(teachers):
        (tmp_path / f"run{number}").symlink_to(teacher)
    run = finetuned(f"distillation.teachers=[{tmp_path}]", "budget.epochs=1")
    found = results_of(run)["teachers"]
    assert found["models"] == [str(tmp_path / f"run{number}" / "model") for number in range(2)]
    both = found["scores"]["dev"]["nested_exact"]["f1"]
    assert both != results_of(teachers[1])["scores"]["dev"]["nested_exact"]["f1"]


def test_a_run_makes_its_own_teacher_and_learns_what_two_commands_would_learn(
    finetuned: Finetuned, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("\n".join(document.text for document in documents(6, 40)), encoding="utf-8")
    student = ["mask_rate=0", f"distillation.files=[{notes}]", "budget.epochs=2"]
    # evaluated as often as the student, which is once in two epochs
    teacher = finetuned("mask_rate=0", "budget.epochs=4", "selection.every_epochs=2")
    expected = finetuned(*student, f"distillation.teachers=[{teacher}]")
    run_dir = tmp_path / "runs" / "run"
    words = [*student, "distillation.own_teachers=1", "distillation.teacher_epochs=4", f"run_dir={run_dir}"]
    run = finetuned(*words)
    own = run / "teachers" / "1"
    for made, other in ((own, teacher), (run, expected)):
        assert (made / "model" / "model.safetensors").read_bytes() == (
            other / "model" / "model.safetensors"
        ).read_bytes()
    results = results_of(run)
    assert results["teachers"]["models"] == [str(own / "model")]
    assert results["teachers"]["seconds"] == results_of(own)["cost"]["seconds"] > 0
    assert results_of(expected)["teachers"] == {
        "models": [str(teacher / "model")], "seconds": 0, "scores": results["teachers"]["scores"]
    }  # fmt: skip
    cost, of_teacher, alone = (results_of(made)["cost"] for made in (run, own, expected))
    assert cost["flops"] == of_teacher["flops"] + alone["flops"]
    assert cost["tokens"] == of_teacher["tokens"] + alone["tokens"]
    assert cost["seconds"] > of_teacher["seconds"]
    assert (cost["steps"], cost["epochs"]) == (alone["steps"], alone["epochs"])
    assert cost["peak_memory_bytes"] >= of_teacher["peak_memory_bytes"]
    assert "test" not in results_of(own)["scores"]
    assert "min of fine-tuning, which are in the cost" in capsys.readouterr().err
    assert [each.folder for each in gather(run_dir.parent).finetuning] == [run]
    assert parts_of(run) == [own]
    # interrupted while the student learnt: the teacher is kept as it is
    (run / "results.json").unlink()
    before = (own / "results.json").stat().st_mtime_ns
    finetuned(*words, "resume=auto")
    assert (own / "results.json").stat().st_mtime_ns == before
    assert "teacher    1 of 1 is finished" in capsys.readouterr().err


def test_several_teachers_of_a_run_have_seeds_of_their_own(finetuned: Finetuned) -> None:
    run = finetuned("distillation.own_teachers=2", "budget.epochs=1", "seed=5")
    facts = [yaml.safe_load((run / "teachers" / n / "config.yaml").read_text("utf-8")) for n in "12"]
    assert [own["seed"] for own in facts] == [5, 6]
    assert results_of(run)["teachers"]["models"] == [str(run / "teachers" / n / "model") for n in "12"]


def test_what_cannot_teach_is_refused_all_at_once(
    corpus: list[str], finetuned: Finetuned, teachers: list[Path], tmp_path: Path
) -> None:
    flat = finetuned("head=flat", "budget.epochs=1")
    other = tmp_path / "other"
    brat_corpus(other)
    for file in other.rglob("*.ann"):
        file.write_text(file.read_text("utf-8").replace("DISO", "MALADIE"), encoding="utf-8")
    words = [
        f"distillation.teachers=[{flat},{teachers[0]},{tmp_path / 'none'}]", "head=nested",
        f"distillation.files=[{tmp_path / 'none.txt'}]", f"run_dir={tmp_path / 'run'}",
        f"task.train={other / 'train'}", f"task.dev={other / 'dev'}", f"task.test={other / 'test'}",
    ]  # fmt: skip
    with pytest.raises(UserError) as refused:
        finetune(composed(*corpus, *words, command="finetune"))
    told = str(refused.value)
    assert f"{flat / 'model'} has head=flat, but teachers need the student's, head=nested" in told
    assert "other labels than the student: DISO, MALADIE" in told
    assert f"{tmp_path / 'none'}: no model that finetune made" in told
    assert f"distillation.files: {tmp_path / 'none.txt'}: no such file" in told
    assert not (tmp_path / "run").exists()


def test_settings_that_do_not_fit_are_named(corpus: list[str], teachers: list[Path]) -> None:
    teacher = f"distillation.teachers=[{teachers[0]}]"
    for words, message in (
        (["distillation.files=[a.txt]"], "nobody labels them"),
        ([teacher, "head=nested", "distillation.weight=2"], "distillation.weight=2.0: from 0 to 1"),
        ([teacher, "head=nested", "distillation.passages=0"], "distillation.passages=0: must be at least 1"),
        (["distillation.own_teachers=-1", "head=nested"], "own_teachers=-1: must be at least 0"),
        (["distillation.teacher_epochs=0"], "teacher_epochs=0.0: must be more than 0"),
        (["distillation.own_teachers=1", "head=nested", "budget.hours=1"], "would take as long again"),
    ):
        found = problems(composed(*corpus, *words, command="finetune"))
        assert len(found) == 1
        assert message in found[0]
