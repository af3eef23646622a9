"""Cross-validation: every text once, by a model that has not seen it; resumable; what the run says of it."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from bertinchamps.checks.finetuning import problems
from bertinchamps.contract import LabelledText
from bertinchamps.errors import UserError
from bertinchamps.finetune import finetune
from bertinchamps.reporting.runs import gather
from bertinchamps.tasks.examples import Examples
from bertinchamps.tasks.folds import folds_of
from bertinchamps.tasks.kinds import kinds
from bertinchamps.training.run_files import last_finished
from support import composed
from tiny_corpora import brat_corpus

QUICK = [
    "runtime=eager", "runtime.compile=off", "runtime.threads=1", "max_length=48", "batch.evaluation=16",
    "model=scratch", "arch=tiny", "tokenizer.vocab_size=300", "tokenizer.min_frequency=1", "budget.epochs=1",
    "head=nested", "report.intervals=100",
]  # fmt: skip


def texts(count: int, dev: int = 0) -> Examples:
    """Texts of one class each, a third of them of the class b, two of them copies."""
    every = [
        LabelledText(f"t {n}", f"texte {n // 2 if n < 2 else n}", None, ("ab"[n % 3 == 0],))
        for n in range(count)
    ]
    splits = {"train": every[dev:], "dev": every[:dev], "test": every[:1]}
    return Examples("toy", kinds.build("single_label"), splits, ("a", "b"), (), "f0")


def test_each_text_is_held_out_once_and_no_model_sees_it() -> None:
    examples = texts(60, dev=10)
    folds = folds_of(examples, 5, 0.2)
    held = [record.text for fold in folds for record in fold.splits["test"]]
    pool = [record.text for split in ("train", "dev") for record in examples.splits[split]]
    assert Counter(held) == Counter(pool)
    for fold in folds:
        sides = [{record.text for record in fold.splits[split]} for split in ("train", "dev", "test")]
        assert not sides[0] & sides[1]
        assert not sides[2] & (sides[0] | sides[1])
        assert sum(record.target == ("b",) for record in fold.splits["test"]) in (3, 4, 5)
        assert len(fold.splits["test"]) in (11, 12, 13)
    assert len({fold.fingerprint for fold in folds}) == 5
    assert [fold.splits for fold in folds_of(examples, 5, 0.2)] == [fold.splits for fold in folds]


def test_too_many_folds_are_refused() -> None:
    with pytest.raises(UserError, match=r"selection.folds=9: train and dev have only 7 different texts"):
        folds_of(texts(8), 9, 0.2)
    config = composed("task=demo", "model=scratch", "selection.folds=1", command="finetune")
    assert "selection.folds=1: must be at least 2; null: no folds" in problems(config)


def test_a_run_with_folds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        *QUICK,
        *brat_corpus(tmp_path / "corpus"),
        "selection.folds=2",
        f"run_dir={tmp_path / 'runs' / 'run'}",
    ]
    run = finetune(composed(*words, command="finetune"))
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    found = results["cross_validation"]
    by_fold: list[dict[str, Any]] = [
        json.loads((run / "folds" / str(n) / "results.json").read_text(encoding="utf-8")) for n in (1, 2)
    ]
    f1 = [own["scores"]["test"]["nested_exact"]["f1"] for own in by_fold]
    assert found["scores"]["nested_exact"]["f1"]["by_fold"] == f1
    assert found["scores"]["nested_exact"]["f1"]["mean"] == pytest.approx(sum(f1) / 2)
    counts = [
        sum(own["scores"]["test"]["nested_exact"][key] for own in by_fold) for key in ("tp", "fp", "fn")
    ]
    together = 2 * counts[0] / max(1, 2 * counts[0] + counts[1] + counts[2])
    assert found["scores"]["nested_exact"]["f1"]["together"] == pytest.approx(together)
    lines = (run / "predictions" / "cross_validation.jsonl").read_text(encoding="utf-8").splitlines()
    documents = sum(results["data"][split]["documents"] for split in ("train", "dev"))
    assert len(lines) == len({json.loads(line)["id"] for line in lines}) == documents == found["documents"]
    assert "test" in results["scores"]  # scored once, by the run's own model
    said = capsys.readouterr().err
    assert "(2 folds)" in said
    assert "Cross-validation" in (run / "report.html").read_text(encoding="utf-8")
    assert [own.folder for own in gather(run.parent).finetuning] == [run]
    assert last_finished(str(run.parent), "finetune") == run
    # a run that was interrupted in its last fold: finished folds are kept as they are
    (run / "results.json").unlink()
    shutil.rmtree(run / "folds" / "2")
    before = (run / "folds" / "1" / "results.json").stat().st_mtime_ns
    finetune(composed(*words, "resume=auto", command="finetune"))
    assert (run / "folds" / "1" / "results.json").stat().st_mtime_ns == before
    said = capsys.readouterr().err
    assert "fold       1 of 2 is finished" in said
    again = json.loads((run / "results.json").read_text(encoding="utf-8"))
    assert again["cross_validation"]["scores"] == found["scores"]
