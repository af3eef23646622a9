"""A fine-tuning that a signal ends outside of its updates goes on, and all that it leaves is as if none had come."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bertinchamps.errors import Stopped
from bertinchamps.finetune import finetune
from bertinchamps.signals import interrupting
from bertinchamps.tasks.texts import predictor
from support import composed, metrics
from tiny_corpora import opinions
from tiny_encoders import make_encoder

WORDS = [
    "task=classification", "runtime=eager", "runtime.threads=1", "max_length=16", "budget.epochs=2", "batch.size=8",
    "batch.micro_batch=8", "batch.evaluation=4", "optim.learning_rate=3e-3", "selection.temperature=true",
    "report.html=false",
]  # fmt: skip
A_PASS = 10  # batches of a split
NOT_COMPARED = ("finished", "cost", "settings", "command")


class Batches:
    """Counts the batches that are scored, and sends this process a signal before one of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count, self.last = 0, 0
        self._pass = predictor.each
        monkeypatch.setattr(predictor, "each", self._each)

    def _each(self, batches: Any, compute: Any) -> Iterator[Any]:
        for item in self._pass(batches, compute):
            self.count += 1
            if self.count == self.last:
                os.kill(os.getpid(), signal.SIGTERM)
            yield item


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("opinions")
    splits = [f"task.{split}={opinions(folder / f'{split}.jsonl')}" for split in ("train", "dev", "test")]
    return [*WORDS, *splits, f"model={make_encoder('bert', folder / 'bert')}"]


def run(words: list[str], folder: Path, *more: str) -> Path:
    with interrupting():  # as a command is
        return finetune(composed(*words, f"run_dir={folder}", *more, command="finetune"))


def left(folder: Path) -> dict[str, Any]:
    """What a run left, as far as it does not tell of times and places."""
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    files = [folder / "model" / "model.safetensors", *sorted((folder / "predictions").rglob("*.jsonl"))]
    return {
        "results": {key: value for key, value in results.items() if key not in NOT_COMPARED},
        "files": {str(file.relative_to(folder)): file.read_bytes() for file in files},
        "losses": [
            (record["step"], record["loss"]) for kind in ("train", "dev") for record in metrics(folder, kind)
        ],
    }


def test_a_signal_in_any_pass_over_examples_changes_no_result(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the first and the last evaluation, in what is settled after it, in the predictions of test."""
    with monkeypatch.context() as patch:
        counted = Batches(patch)
        whole = left(run(words, tmp_path / "whole"))
    assert counted.count == A_PASS * (2 + 3 + 3)  # evaluations; calibration, temperature, calibration; splits
    assert list((tmp_path / "whole" / "checkpoints").iterdir()) == []
    for last, of_the_end in ((1, False), (A_PASS + 5, False), (3 * A_PASS + 5, True), (8 * A_PASS - 1, True)):
        folder = tmp_path / str(last)
        with monkeypatch.context() as patch:
            batches = Batches(patch)
            batches.last = last
            with pytest.raises(Stopped, match=f"resume={folder} goes on") as stopped:
                run(words, folder)
        assert stopped.value.number == signal.SIGTERM
        assert batches.count == last
        assert not (folder / "results.json").exists()
        capsys.readouterr()
        assert left(run(words, folder, "resume=auto")) == whole
        assert ("/step-00000010\n" in capsys.readouterr().err) == (last > A_PASS), "nothing is trained again"
        assert (list((folder / "checkpoints").iterdir()) == []) == of_the_end
