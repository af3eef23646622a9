"""python -m benchmarks.startup: seconds from a command to its help, and to the first finished update.

Help is timed to the end of the process, beside `python -c pass`, `import torch` and `import transformers`, which say
what a start costs anybody. One round before the repeats is not counted: it reads from disk what later ones find in
memory.

The first update is that of `python -m bertinchamps.pretrain` on a small corpus that is prepared before, in the same
way as any other: importing, checking, opening the corpus, building the model, a first evaluation (of a held-out part
so small that it takes little), compiling. It is over when its line is in RUN/metrics.jsonl, which this process
looks at every few milliseconds; that line also says how much of the time was spent since the first batch. Rows
differ in runtime.compile, and in whether PyTorch's caches of compiled code are empty or filled by the same command
just before. Every measurement is a process of its own, and the rows take turns.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import figures, markdown, results, running
from benchmarks.sentences import documents

COMMANDS = ("pretrain", "finetune", "predict", "prepare")
YARDSTICKS = {
    "python -c pass": "pass",
    "import torch": "import torch",
    "import transformers": "import transformers",
}
COMPILE = ("off", "auto", "on")
SECONDS_BETWEEN_LOOKS = 0.005
VOCABULARY = 2000
DOCUMENTS = 4000  # a few hundred blocks


class FirstUpdate(NamedTuple):
    """One start of pretraining.

    Attributes:
        seconds: from the command to the end of the first update.
        to_first_batch: those of them before the first batch.
    """

    seconds: float
    to_first_batch: float


def parser() -> argparse.ArgumentParser:
    """The command line."""
    words = running.parser("startup", __doc__)
    words.add_argument("--repeats", type=int, default=5, help="processes of each row (%(default)s)")
    words.add_argument(
        "--commands", nargs="*", choices=COMMANDS, default=COMMANDS, metavar="COMMAND", help="for help (all)"
    )
    words.add_argument("--compile", nargs="*", choices=COMPILE, default=COMPILE, help="for updates (all)")
    words.add_argument("--arch", default="small", help="of configs/arch/ (%(default)s)")
    words.add_argument("--micro-batch", type=int, default=32, help="sequences of an update (%(default)s)")
    words.add_argument("--sequence-length", type=int, default=128, help="tokens (%(default)s)")
    results.add_options(words, "startup.json", "seconds of each row")
    return words


def benchmark(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure everything; returns what goes into the JSON file.

    Raises:
        SystemExit: a yardstick or the preparation failed.
    """
    return {
        **results.facts("startup"),
        "shape": {name: getattr(arguments, name) for name in ("arch", "micro_batch", "sequence_length")},
        "help": _help_rows(arguments),
        "first_update": _first_update_rows(arguments, folder),
    }


# ------------------------------------------------------------------------------------------- help


def _help_rows(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    commands = {
        **{name: [sys.executable, "-c", code] for name, code in YARDSTICKS.items()},
        **{
            f"bertinchamps.{name} --help": [sys.executable, "-m", f"bertinchamps.{name}", "--help"]
            for name in arguments.commands
        },
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for repeat in range(arguments.repeats + 1):
        for name in running.rotated(list(commands), repeat):
            taken = _process_seconds(commands[name])
            if repeat:
                seconds[name].append(taken)
                print(f"{repeat}/{arguments.repeats} {name}: {taken:.2f} s", file=sys.stderr)
    medians = {name: statistics.median(own) for name, own in seconds.items()}
    return [
        {
            "command": name,
            "ours": name.startswith("bertinchamps."),
            "seconds": medians[name],
            "ratio_to_python": medians[name] / medians["python -c pass"],
            "ratio_to_torch": medians[name] / medians["import torch"],
            "repeats": seconds[name],
        }
        for name in commands
    ]


def _process_seconds(command: Sequence[str]) -> float:
    began = time.perf_counter()
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    if ran.returncode:
        sys.exit(f"benchmarks.startup: {' '.join(command)} failed:\n{ran.stderr}")
    return seconds


# ----------------------------------------------------------------------------------- first update


def _first_update_rows(arguments: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    if not arguments.compile:
        return []
    words = _prepared(arguments, folder)
    taken: dict[tuple[str, str], list[FirstUpdate | str]] = {}
    for compiled in arguments.compile:
        for cache in ("none",) if compiled == "off" else ("empty", "filled"):
            taken[compiled, cache] = []
    for repeat in range(arguments.repeats):
        for compiled in running.rotated(list(arguments.compile), repeat):
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                # What the first row leaves in the cache is what the second one finds.
                for cache in (own for mode, own in taken if mode == compiled):
                    update = _first_update(words, compiled, Path(scratch), f"run-{cache}")
                    taken[compiled, cache].append(update)
                    shown = update if isinstance(update, str) else f"{update.seconds:.2f} s"
                    print(
                        f"{repeat + 1}/{arguments.repeats} {_described(compiled, cache)}: {shown}",
                        file=sys.stderr,
                    )
    return [_summary(*row, own) for row, own in taken.items()]


def _prepared(arguments: argparse.Namespace, folder: Path) -> list[str]:
    """Write and prepare a corpus; returns the settings of pretraining on it."""
    file = folder / "documents.jsonl"
    with file.open("w", encoding="utf-8") as stream:
        for number, document in enumerate(documents(DOCUMENTS)):
            # A number of its own keeps each apart from the others.
            stream.write(json.dumps({"text": f"{number} {document.text}"}, ensure_ascii=False) + "\n")
    words = [
        "data=files",
        f"data.files=[{json.dumps(str(file))}]",
        f"tokenizer.vocab_size={VOCABULARY}",
        f"blocks.sequence_length={arguments.sequence_length}",
        f"blocks.cache_dir={json.dumps(str(folder / 'cache'))}",
    ]
    _process_seconds([sys.executable, "-m", "bertinchamps.prepare", *words])
    size = arguments.micro_batch
    batch = [f"batch.micro_batch={size}", f"batch.size={size}", "batch.ramp=0"]
    return [*words, f"arch={arguments.arch}", *batch, "budget.steps=1"]


def _first_update(words: Sequence[str], compiled: str, scratch: Path, run: str) -> FirstUpdate | str:
    """Start pretraining and look at its metrics until there is an update; the last line of its errors if it fails."""
    metrics, errors = scratch / run / "metrics.jsonl", scratch / f"{run}.log"
    command = [sys.executable, "-m", "bertinchamps.pretrain", *words, f"runtime.compile={compiled}"]
    caches = {"TORCHINDUCTOR_CACHE_DIR": str(scratch / "cache"), "TRITON_CACHE_DIR": str(scratch / "triton")}
    with errors.open("w", encoding="utf-8") as stream:
        began = time.perf_counter()
        process = subprocess.Popen(
            [*command, f"run_dir={json.dumps(str(scratch / run))}"],
            stdout=stream,
            stderr=stream,
            env={**os.environ, **caches},
        )
        record = None
        while (record := _update_of(metrics)) is None and process.poll() is None:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        seconds = time.perf_counter() - began
        # It goes on to its end, with all of its caches written, before the next one starts.
        process.wait()
    record = record or _update_of(metrics)
    if process.returncode or record is None:
        return running.last_line(errors.read_text(encoding="utf-8"))
    return FirstUpdate(seconds, seconds - record["seconds"])


def _update_of(metrics: Path) -> dict[str, Any] | None:
    """The record of the first update, once it is there."""
    try:
        lines = metrics.read_text(encoding="utf-8").splitlines(keepends=True)
    except FileNotFoundError:
        return None
    records = (json.loads(line) for line in lines if line.endswith("\n"))
    return next((record for record in records if record["kind"] == "train"), None)


def _summary(compiled: str, cache: str, own: Sequence[FirstUpdate | str]) -> dict[str, Any]:
    row: dict[str, Any] = {"compile": compiled, "cache": cache}
    problem = next((update for update in own if isinstance(update, str)), None)
    if problem is not None:
        return {**row, "problem": problem}
    done = [update for update in own if isinstance(update, FirstUpdate)]
    return {
        **row,
        "seconds": statistics.median(update.seconds for update in done),
        "to_first_batch": statistics.median(update.to_first_batch for update in done),
        "repeats": [update.seconds for update in done],
    }


# ---------------------------------------------------------------------------------------- results


def _described(compiled: str, cache: str) -> str:
    return f"compile={compiled}" if cache == "none" else f"compile={compiled}, {cache} cache"


def table(result: Mapping[str, Any]) -> str:
    """The rows for people, in Markdown."""
    helps = [
        (
            row["command"],
            f"{row['seconds']:.2f}",
            f"{row['ratio_to_python']:.1f}",
            f"{row['ratio_to_torch']:.2f}",
        )
        for row in result["help"]
    ]
    lines = markdown.table(("to the end of", "seconds", "÷ python", "÷ import torch"), 1, helps)
    if not result["first_update"]:
        return "\n".join(lines)
    updates = [
        (row["compile"], row["cache"], f"failed: {row['problem']}", "", "")
        if "problem" in row
        else (
            row["compile"],
            row["cache"],
            f"{row['to_first_batch']:.2f}",
            f"{row['seconds'] - row['to_first_batch']:.2f}",
            f"{row['seconds']:.2f}",
        )
        for row in result["first_update"]
    ]
    header = ("compile", "cache", "to the first batch, s", "from it to the first update, s", "together, s")
    return "\n".join(itertools.chain(lines, [""], markdown.table(header, 2, updates)))


def plot(result: Mapping[str, Any], file: Path) -> None:
    """Seconds of each row that did not fail."""
    helps = [figures.Bar(row["command"], row["seconds"], row["ours"]) for row in result["help"]]
    updates = [
        figures.Bar(_described(row["compile"], row["cache"]), row["seconds"], True)
        for row in result["first_update"]
        if "problem" not in row
    ]
    panels = [figures.Panel("seconds to the end of the process", helps, "{:.2f}")]
    if updates:
        panels.append(figures.Panel("seconds to the first update of pretraining", updates, "{:.2f}"))
    figures.draw(panels, file)


def main() -> None:
    """Entry point of `python -m benchmarks.startup`."""
    arguments = parser().parse_args()
    running.run("startup", arguments, lambda folder: benchmark(arguments, folder), table, plot)


if __name__ == "__main__":
    main()
