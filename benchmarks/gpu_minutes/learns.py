"""The stage `learns`: pretraining on the pack's corpus for the time that is left, and its held-out loss."""

from __future__ import annotations

import itertools
import shutil
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import markdown
from benchmarks.gpu_minutes import files
from benchmarks.gpu_minutes.place import Place
from benchmarks.gpu_minutes.processes import Command
from bertinchamps.records import with_current_keys

# Seconds of the stage that the budget does not hold: Python, imports and the device's start before the first batch,
# the figure after the last.
BEFORE_THE_BUDGET, AFTER_THE_BUDGET = 20.0, 10.0
REHEARSED_BUDGET = 2.0  # seconds
UPDATES_NOT_COUNTED = 5  # at the beginning, of the rate between evaluations

RECIPE = ("experiment=gpu_minutes", "arch=crammed")
REHEARSED_RECIPE = (
    "experiment=gpu_minutes", "arch=tiny", "runtime=eager", "runtime.threads=1", "batch.micro_batch=4",
    "batch.size=8", "evaluation.blocks=8", "evaluation.every=0.25",
)  # fmt: skip


def pretraining(place: Place, budget: str, run: Path) -> list[str]:
    """The command line of a run.

    Args:
        place: where things are.
        budget: a setting.
        run: the run's directory.
    """
    recipe = REHEARSED_RECIPE if place.rehearsal else RECIPE
    words = ["data=prepared", f"data.folder={place.corpus}", *recipe, budget, f"run_dir={run}"]
    return place.module("bertinchamps.pretrain", words)


@dataclass
class Learns:
    """Pretrains.

    Args:
        place: where things are.
    """

    place: Place
    name: str = "learns"
    seconds: float = 60.0  # at the least, where there is more
    takes_what_is_left: bool = True
    grace: float = 10.0  # for a checkpoint
    ask: signal.Signals = signal.SIGTERM
    run: Path = field(init=False)

    def commands(self, seconds: float) -> list[Command]:
        self.run = self.place.new_folder("pretrained")
        budget = REHEARSED_BUDGET
        if not self.place.rehearsal:
            budget = max(1.0, seconds - BEFORE_THE_BUDGET - AFTER_THE_BUDGET)
        words = pretraining(self.place, f"budget.hours={budget / 3600:.6f}", self.run)
        return [Command(words, self.place.logs / "learns.log")]

    def result(self) -> dict[str, Any]:
        """The curve as far as it goes; what the run says of itself, if it came to its end."""
        if (self.run / "loss.png").is_file():
            shutil.copyfile(self.run / "loss.png", self.place.out / "loss.png")
        for name in ("metrics.jsonl", "config.yaml", "summary.json"):
            if (self.run / name).is_file():
                shutil.copyfile(self.run / name, self.place.logs / f"learns_{name}")
        return results_of(self.run)


def results_of(run: Path) -> dict[str, Any]:
    """What the files of a run tell, whole or not."""
    records = files.read_lines(run / "metrics.jsonl")
    updates = [record for record in records if record["kind"] == "train"]
    summary = files.read_json(run / "summary.json")
    result: dict[str, Any] = {
        "held_out": [record for record in records if record["kind"] == "held_out"],
        "updates": len(updates),
        "tokens": updates[-1]["tokens"] if updates else 0,
        "first_update_seconds": updates[0]["seconds"] if updates else None,
        "summary": summary,
    }
    rates = between_evaluations(records)
    if rates:
        result["tokens_per_second"], flops = rates
        if summary:
            result["mfu"] = flops / summary["peak_flops"]
    return result


def between_evaluations(records: list[dict[str, Any]]) -> tuple[float, float] | None:
    """Tokens and FLOPs a second of the updates that follow another update directly, after the first few."""
    pairs = [
        (before, after)
        for before, after in itertools.pairwise(records)
        if before["kind"] == after["kind"] == "train" and before["step"] > UPDATES_NOT_COUNTED
    ]
    seconds = sum(after["seconds"] - before["seconds"] for before, after in pairs)
    if seconds <= 0:
        return None
    tokens = sum(after["tokens"] - before["tokens"] for before, after in pairs)
    flops = sum(after["flops"] - before["flops"] for before, after in pairs)
    return tokens / seconds, flops / seconds


def model_of(work: Path) -> Path | None:
    """The model of the newest run that has one: finished, or else its last checkpoint."""
    for run in sorted(work.glob("pretrained-*"), reverse=True):
        checkpoints = sorted((run / "checkpoints").glob("step-*"), reverse=True)
        for folder in (run / "model", *checkpoints):
            if (folder / "config.json").is_file():
                return folder
    return None


def short(result: dict[str, Any]) -> str:
    """One line."""
    held_out = result.get("held_out")
    if not held_out:
        return ""
    last = held_out[-1]
    return f"held-out loss {last['loss']:.3f} after {last['seconds']:.0f} s, {files.rate(result)}"


def section(result: dict[str, Any]) -> list[str]:
    """Markdown: what was reached, and the way there."""
    held_out = result.get("held_out", [])
    if not held_out:
        return ["No evaluation was reached."]
    summary = with_current_keys(result.get("summary") or {})
    lines = [
        f"{result['updates']:,} updates, {result['tokens']:,} tokens; between evaluations {files.rate(result)}."
    ]
    if result.get("first_update_seconds") is not None:
        lines[0] += f" The first update ended {result['first_update_seconds']:.0f} s after the first batch."
    if summary:
        spent = summary["spent"]["seconds"]
        lines.append(
            f"Over all {spent:.0f} s, with compilation and evaluations: {summary['tokens_per_second']:,.0f} tokens/s, "
            f"{summary['mfu']:.1%} of {summary['peak_flops'] / 1e12:.4g} TFLOP/s "
            f"({summary['peak_origin']}). {summary['parameters']:,} parameters; {summary['device']}."
        )
        lines.append(
            f"Outside the budget: {result['stage']['seconds'] - spent:.0f} s of starting and drawing."
        )
    else:
        lines.append("The run did not come to its end.")
    lines.append("FLOPs, and so MFU, are counted as docs/budget.md says.")
    rows = [
        (
            f"{one['seconds']:.0f}",
            f"{one['step']:,}",
            f"{one['tokens']:,}",
            f"{one['loss']:.4f}",
            f"{one['accuracy']:.1%}",
        )
        for one in held_out
    ]
    header = ("seconds", "updates", "tokens", "held-out loss (nats)", "masked tokens right")
    return [*lines, "", *markdown.table(header, 0, rows)]
