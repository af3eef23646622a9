#!/usr/bin/env python3
"""Kills commands at random moments, again and again, and compares their results with those of undisturbed ones.

    python scripts/kills.py --kills 100 --folder /tmp/kills
    python scripts/kills.py --kills 4 --scenarios pretraining preparation

Each scenario runs once undisturbed. Then the same command is started, killed with SIGKILL (all its processes at once),
and started again, until it has been killed often enough and has ended by itself. What it leaves must be equal bit for
bit: weights, losses, counts of what was read, scores, predictions, blocks of a corpus.

Every second kill, about, hits the work: it waits until the command has written something, and then for a random share
of the time for which the undisturbed one worked. The others hit any moment from the start. Exit status 1: a
difference, or a command that did not go on. The tally is kills.json in the folder.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import psutil

PYTHON = (sys.executable, "-m")
CORPUS = (
    "data=demo", "data.documents=400", "tokenizer.vocab_size=400", "blocks.sequence_length=32",
    "blocks.held_out_share=0.05", "blocks.workers=1",
)  # fmt: skip
SMALL = ("runtime=eager", "runtime.threads=1", "report.html=false")
# Each update draws dropout and masks anew, so that a random state that is not restored shows.
TRAINING = (
    *CORPUS, *SMALL, "arch=tiny", "arch.dropout=0.1", "batch.micro_batch=4", "batch.size=8", "batch.ramp=0.5",
    "budget.steps=120", "checkpoint.every_steps=3", "evaluation.blocks=8", "evaluation.every=0.2", "run_dir=run",
    "resume=auto",
)  # fmt: skip
TAGGING = (
    "task=demo", "task.documents=60", "model=scratch", "tokenizer.vocab_size=400", "arch=tiny", *SMALL,
    "max_length=48", "budget.epochs=4", "batch.micro_batch=4", "batch.size=8", "checkpoint.every_steps=3",
    "run_dir=run", "resume=auto",
)  # fmt: skip
# A stock model, and how it is trained further.
BASE = (
    (
        "bertinchamps.pretrain", *CORPUS, *SMALL, "arch=modern", "arch.hidden_size=64", "arch.num_hidden_layers=2",
        "arch.num_attention_heads=2", "arch.intermediate_size=128", "batch.size=8", "batch.micro_batch=4",
        "budget.steps=2", "run_dir=base",
    ),
    ("bertinchamps.export", "model=base", "output=exported"),
)  # fmt: skip
CONTINUING = (
    "model=exported", "data=demo", "data.documents=600", "blocks.sequence_length=32", "blocks.held_out_share=0.05",
    "blocks.workers=1", *SMALL, "dropout=0.1", "batch.micro_batch=4", "batch.size=8", "budget.steps=120",
    "checkpoint.every_steps=3", "evaluation.blocks=8", "evaluation.every=0.2", "run_dir=run", "resume=auto",
)  # fmt: skip
COUNTED = ("steps", "tokens", "positions", "flops")  # of what a run spent
OF_UPDATES = ("step", "loss", "tokens", "learning_rate", "gradient_norm")  # those that a record has

Results = dict[str, Any]


@dataclass(frozen=True)
class Scenario:
    """A command, and what is compared of what it leaves.

    Attributes:
        words: of the command.
        results: reads them from the directory in which the command ran.
        before: commands to run there first, which nobody kills.
        output: a file whose name says that the work is done: the same command then refuses to write it again, so where
            a kill comes after it, nothing is left to go on with.
    """

    words: Sequence[str]
    results: Callable[[Path], Results]
    before: Sequence[Sequence[str]] = ()
    output: str | None = None


def of_training(place: Path) -> Results:
    """Weights, the record of each update, where evaluations were, the last scores, and what was counted."""
    run = place / "run"
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    updates = [[r.get(key) for key in OF_UPDATES] for r in records if r["kind"] == "train"]
    evaluations = [r["step"] for r in records if r["kind"] != "train" and "step" in r]
    file = next(file for name in ("summary.json", "results.json") if (file := run / name).is_file())
    summary = json.loads(file.read_text(encoding="utf-8"))
    spent = summary.get("spent", {})
    return {
        **digests(run / "model", "*.safetensors"),
        **digests(run / "model", "tokenizer.json"),
        **digests(run, "predictions/**/*"),
        "updates": updates,
        "steps in order": [step for step, *_ in updates] == list(range(1, len(updates) + 1)),
        "evaluations": evaluations,
        "spent": {key: spent.get(key) for key in COUNTED},
        "scores": summary.get("held_out") or summary.get("scores"),
    }


def of_preparation(place: Path) -> Results:
    """Every block of the corpus, its checksums, and the tokenizer."""
    cache = place / "cache"
    return {
        **digests(cache, "corpora/**/*.bin"),
        **digests(cache, "**/*.sums"),
        **digests(cache, "**/tokenizer.json"),
    }


def of_predictions(place: Path) -> Results:
    """The predictions."""
    return digests(place, "labelled.jsonl")


def digests(folder: Path, pattern: str) -> Results:
    """Path below the folder → digest of the content."""
    files = sorted(file for file in folder.glob(pattern) if file.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


SCENARIOS = {
    "pretraining": Scenario(("bertinchamps.pretrain", *TRAINING), of_training),
    "online": Scenario(("bertinchamps.pretrain", *TRAINING, "data.online=true"), of_training),
    "two_ranks": Scenario(
        (
            "torch.distributed.run",
            "--standalone",
            "--nproc-per-node=2",
            "-m",
            "bertinchamps.pretrain",
            *TRAINING,
        ),
        of_training,
    ),
    "continuing": Scenario(("bertinchamps.pretrain", *CONTINUING), of_training, before=BASE),
    "continuing_new_words": Scenario(
        ("bertinchamps.pretrain", *CONTINUING, "tokenizer.extend=30", "freeze.layers=1"),
        of_training,
        before=BASE,
    ),
    "continuing_lora": Scenario(
        (
            "bertinchamps.pretrain",
            *CONTINUING,
            "tokenizer.extend=30",
            "adapter=lora",
            "adapter.dropout=0.1",
        ),
        of_training,
        before=BASE,
    ),
    "finetuning": Scenario(("bertinchamps.finetune", *TAGGING), of_training),
    "preparation": Scenario(("bertinchamps.prepare", *CORPUS, "data.documents=3000"), of_preparation),
    "predictions": Scenario(
        (
            "bertinchamps.predict",
            "model=run",
            "input=notes.jsonl",
            "output=labelled.jsonl",
            "runtime.threads=1",
        ),
        of_predictions,
        before=(("bertinchamps.finetune", *TAGGING),),
        output="labelled.jsonl",
    ),
}


class Undisturbed(NamedTuple):
    """A command that nobody killed: what it left, and its seconds before and after it first wrote something."""

    results: Results
    starting: float
    working: float


class Failed(Exception):
    """A command ended with an error, or left something else."""


def start(words: Sequence[str], place: Path) -> subprocess.Popen[bytes]:
    """Begin a command in a directory, with a cache of its own there."""
    environment = {**os.environ, "BERTINCHAMPS_CACHE": str(place / "cache"), "OMP_NUM_THREADS": "1"}
    with (place / "log.txt").open("ab") as log:
        return subprocess.Popen([*PYTHON, *words], cwd=place, env=environment, stdout=log, stderr=log)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all that it started, and wait until they are gone."""
    family = [psutil.Process(process.pid)]
    family += family[0].children(recursive=True)
    for one in family:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    psutil.wait_procs(family, timeout=30)
    process.wait(30)


def newest(place: Path) -> float:
    """When something below a directory was last written, the log apart."""
    times = [0.0]
    for folder, _, files in os.walk(place):
        for file in (Path(folder) / name for name in files if name != "log.txt"):
            with suppress(OSError):  # it was renamed in the meantime
                times.append(file.stat().st_mtime)
    return max(times)


def until_written(process: subprocess.Popen[bytes], place: Path) -> None:
    """Wait until a command writes something, or ends."""
    before = newest(place)
    while process.poll() is None and newest(place) <= before:
        time.sleep(0.02)


def ended(process: subprocess.Popen[bytes], place: Path) -> None:
    """Raise Failed unless a command that ended by itself was content."""
    if process.returncode != 0:
        lines = (place / "log.txt").read_text(encoding="utf-8", errors="replace").splitlines()[-8:]
        raise Failed(
            "\n  ".join([f"exit status {process.returncode}; {place / 'log.txt'} ends with:", *lines])
        )


def prepared(scenario: Scenario, place: Path, notes: str) -> None:
    """An empty directory in which the commands before the scenario have run."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    (place / "notes.jsonl").write_text(notes, encoding="utf-8")
    for words in scenario.before:
        process = start(words, place)
        process.wait()
        ended(process, place)


def undisturbed(scenario: Scenario, place: Path, notes: str) -> Undisturbed:
    """Run a scenario without a kill."""
    prepared(scenario, place, notes)
    began = time.monotonic()
    process = start(scenario.words, place)
    until_written(process, place)
    wrote = time.monotonic()
    process.wait()
    ended(process, place)
    results = scenario.results(place)
    if not results:
        raise Failed(f"{place}: nothing to compare")
    return Undisturbed(results, wrote - began, time.monotonic() - wrote)


def killed(
    scenario: Scenario, place: Path, notes: str, whole: Undisturbed, kills: int, dice: random.Random
) -> Iterator[str]:
    """Kill a scenario and start it again until there are enough kills; compare each time that it ends by itself.

    Yields:
        Where each kill hit: "starting" or "working".

    Raises:
        Failed: it did not go on, or left something else.
    """
    prepared(scenario, place, notes)
    done = 0
    while True:
        process = start(scenario.words, place)
        if done < kills:
            if working := dice.random() < 0.5:
                until_written(process, place)
            longest = whole.working if working else whole.starting + whole.working
            until = time.monotonic() + dice.random() * longest
            while process.poll() is None and time.monotonic() < until:
                time.sleep(0.005)
        else:
            process.wait()
        if process.poll() is None:
            kill(process)
            done += 1
            yield "working" if working else "any moment"
            if scenario.output is None or not (place / scenario.output).exists():
                continue
        else:
            ended(process, place)
        compare(whole.results, scenario.results(place))
        if done >= kills:
            return
        prepared(scenario, place, notes)


def compare(expected: Results, found: Results) -> None:
    """Raise Failed with the names of what differs."""
    different = [
        name for name in sorted(expected.keys() | found.keys()) if expected.get(name) != found.get(name)
    ]
    if different:
        raise Failed(f"another result than undisturbed: {', '.join(different)}")


def main() -> int:
    """Entry point; returns the exit status."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--kills", type=int, default=100, help="in all, shared by the scenarios (%(default)s)")
    words.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=list(SCENARIOS), help="(all)")
    words.add_argument("--seed", type=int, default=0, help="of the moments (%(default)s)")
    words.add_argument(
        "--folder", type=Path, default=Path("kills"), help="for runs, logs, tally (%(default)s)"
    )
    arguments = words.parse_args()
    folder, dice = arguments.folder.absolute(), random.Random(arguments.seed)
    folder.mkdir(parents=True, exist_ok=True)
    notes = "".join(  # three portions of `predict`
        json.dumps({"text": f"Le patient {number} tousse. "}) + "\n" for number in range(12_000)
    )
    tally: dict[str, Any] = {}
    for number, name in enumerate(arguments.scenarios):
        scenario, moments = SCENARIOS[name], Counter[str]()
        kills = (arguments.kills + number) // len(arguments.scenarios)
        try:
            whole = undisturbed(scenario, folder / name / "whole", notes)
            moments.update(killed(scenario, folder / name / "killed", notes, whole, kills, dice))
            outcome = f"equal: {len(whole.results)} results"
        except Failed as problem:
            outcome = f"FAILED: {problem}"
        tally[name] = {"kills": sum(moments.values()), **moments, "outcome": outcome}
        (folder / "kills.json").write_text(json.dumps(tally, indent=2) + "\n", encoding="utf-8")
        print(f"{name}: {sum(moments.values())} kills ({dict(moments)}), {outcome}", flush=True)
    return int(any(one["outcome"].startswith("FAILED") for one in tally.values()))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main())
