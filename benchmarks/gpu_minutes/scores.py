"""The stage `scores`: the model of `learns`, fine-tuned on both parts of QUAERO at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import markdown
from benchmarks.gpu_minutes import files
from benchmarks.gpu_minutes.learns import REHEARSED_BUDGET, model_of
from benchmarks.gpu_minutes.place import Place
from benchmarks.gpu_minutes.processes import Command
from bertinchamps.errors import UserError

QUAERO = "QUAERO_FrenchMed_brat.zip"
CORPORA = ("emea", "medline")

# Seconds of the stage that the budget does not hold: Python, imports, the device's start and reading before the first
# batch, predictions of all splits after the last.
AROUND_THE_BUDGET = 40.0

# Beside what the task's file says. They change no update: dev is scored in larger batches, and half as often.
SETTINGS = ("head=nested", "batch.evaluation=64", "selection.every_epochs=2")
REHEARSED_SETTINGS = ("runtime=eager", "runtime.threads=1")


@dataclass
class Scores:
    """Fine-tunes, side by side: on a GPU a batch of 8 takes as long as launching its kernels does.

    Args:
        place: where things are.
    """

    place: Place
    name: str = "scores"
    seconds: float = 110.0
    takes_what_is_left: bool = False
    grace: float = 3.0
    ask: signal.Signals = signal.SIGTERM
    runs: dict[str, Path] = field(default_factory=dict, init=False)
    model: Path | None = field(default=None, init=False)

    def commands(self, seconds: float) -> list[Command]:
        self.model = model_of(self.place.work)
        if self.model is None:
            raise UserError("no model of `learns`: give --work the folder of a call that had one")
        budget = REHEARSED_BUDGET if self.place.rehearsal else max(1.0, seconds - AROUND_THE_BUDGET)
        rehearsed = REHEARSED_SETTINGS if self.place.rehearsal else ()
        folder = self.place.new_folder("scores")
        self.runs = {corpus: folder / corpus for corpus in CORPORA}
        return [
            Command(
                self.place.module(
                    "bertinchamps.finetune",
                    [
                        f"task=quaero_{corpus}", f"task.path={self.place.pack / QUAERO}", f"model={self.model}",
                        *SETTINGS, *rehearsed, f"budget.hours={budget / 3600:.6f}", f"run_dir={run}",
                    ],
                ),
                self.place.logs / f"scores_{corpus}.log",
            )
            for corpus, run in self.runs.items()
        ]  # fmt: skip

    def result(self) -> dict[str, Any]:
        """Scores of the runs that came to their end, and dev's curve of all; predictions go into a zip."""
        left_out = files.archive(self.place.out / "predictions.zip", _predictions(self.runs))
        assert self.model is not None
        return {
            "model": self.place.plain(str(self.model)),
            "finished_model": self.model.name == "model",
            "predictions_left_out": left_out,
            "corpora": {corpus: _results_of(run) for corpus, run in self.runs.items()},
        }


def _results_of(run: Path) -> dict[str, Any]:
    dev = [record for record in files.read_lines(run / "metrics.jsonl") if record["kind"] == "dev"]
    return {"dev": dev, **files.read_json(run / "results.json")}


def _predictions(runs: dict[str, Path]) -> Iterator[tuple[str, Path]]:
    """Of test, then of dev."""
    for split in ("test", "dev"):
        for corpus, run in runs.items():
            folder = run / "predictions"
            for file in sorted(folder.rglob("*")):
                name = file.relative_to(folder) if file.is_file() else None
                if name and name.parts[0].split(".")[0].split("_")[0] == split:
                    yield f"{corpus}/{name}", file


def short(result: dict[str, Any]) -> str:
    """One line."""
    shown = [
        f"{corpus.upper()} {found['scores']['test']['nested_exact']['f1']:.1%}"
        for corpus, found in result.get("corpora", {}).items()
        if "scores" in found
    ]
    return f"F1 of nested exact on test: {', '.join(shown)}" if shown else ""


def section(result: dict[str, Any]) -> list[str]:
    """Markdown: the scores of the best weights on dev; on test they were computed once."""
    corpora = result.get("corpora")
    if not corpora:
        return ["Nothing was fine-tuned."]
    header = (
        "corpus", "epochs", "updates", "seconds of training", "dev, nested exact F1", "test, nested exact F1",
        "precision", "recall", "test, strict F1",
    )  # fmt: skip
    rows = [_row(corpus, found) for corpus, found in corpora.items()]
    model = "the model" if result["finished_model"] else "the last checkpoint, as no model was finished,"
    return [
        f"{model.capitalize()} of `learns`, fine-tuned with the task's own settings (batches of 8) within a budget of "
        "time, one seed, both corpora side by side. Dev chose the weights, test was scored once. docs/metrics.md says "
        "what the scores count.",
        "",
        *markdown.table(header, 1, rows),
    ]


def _row(corpus: str, found: dict[str, Any]) -> tuple[object, ...]:
    if "scores" not in found:
        best = max((f"{one['nested_exact_f1']:.1%}" for one in found["dev"]), default="")
        return (corpus.upper(), "did not end", "", "", best, "", "", "", "")
    cost, test = found["cost"], found["scores"]["test"]
    nested = test["nested_exact"]
    return (
        corpus.upper(),
        f"{cost['epochs']:.1f}",
        f"{cost['steps']:,}",
        f"{cost['training_seconds']:.0f}",
        f"{found['scores']['dev']['nested_exact']['f1']:.1%}",
        *(f"{nested[name]:.1%}" for name in ("f1", "precision", "recall")),
        f"{test['strict']['f1']:.1%}",
    )
