"""python -m benchmarks: what there is; python -m benchmarks all --folder DIR: all of them, and one page.

Each benchmark runs in processes of its own, one after the other, with the settings that matter on this machine: its
GPU's if there is one, the processor's otherwise. Where one fails, the page says so and the others go on. DIR gets
README.md with all tables, and of each benchmark a JSON file, a figure and its log.
"""

from __future__ import annotations

import argparse
import importlib.util
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks import markdown, results

BENCHMARKS = {
    "startup": "seconds to the end of --help and to the first update, beside importing torch",
    "whole_run": "where the time of a pretraining run goes, and the share of the device's arithmetic it reaches",
    "device": "minutes of one GPU: compiled updates, beside stock classes, and what CUDA graphs, fp8 and others give",
    "launches": "what bounds an update on a GPU, estimated without one: launches, products or memory",
    "pretraining": "tokens a second of pretraining updates, beside stock classes and transformers.Trainer",
    "preparation": "seconds and memory from documents to tokens on disk, beside the plainest script",
    "finetuning": "seconds of fine-tuning, beside transformers.Trainer",
    "prediction": "seconds from new text to entities",
}
# Not among `all`: they need models or corpora of one's own, or packages of an extra.
BY_HAND = {
    "peers": "F1 and minutes of recognising entities, beside EDS-NLP and spaCy",
    "suggesting": "F1 after k annotated documents, chosen by each method of bertinchamps.suggest",
    "onnx": "texts a second of PyTorch, onnxruntime, and onnxruntime with weights of 8 bits",
    "objectives": "held-out loss and scores after fine-tuning of objectives of pretraining, at equal wall clock",
    "sparsity": "the time of an update with weights held at zero, and of 2:4 products on a GPU",
    "rows": "the time of an update with local layers, and with documents that do not see each other",
    "serving": "requests a second and latencies of the service, by the number of clients",
}
LINES_OF_A_FAILURE = 5


class Job(NamedTuple):
    """One benchmark with settings.

    Attributes:
        file: of its results, without its ending.
        benchmark: the module's name.
        words: of its command line, without the names of files.
    """

    file: str
    benchmark: str
    words: Sequence[str] = ()


GPU_UPDATES = ("--arch", "crammed", "--sequence-length", "128")
# Compiled updates are the device's.
GPU_PRETRAINING = (*GPU_UPDATES, "--precisions", "bf16", "--compile", "off", "--updates", "20")
GPU_MEMORY = (
    *GPU_UPDATES, "--micro-batch", "128", "--engines", "bertinchamps", "--precisions", "bf16", "fp32",
    "--updates", "10",
)  # fmt: skip
ON_A_GPU = (
    Job("startup", "startup"),
    Job("device", "device"),
    Job("launches", "launches"),
    Job("whole_run", "whole_run", (*GPU_UPDATES, "--micro-batch", "128", "--updates", "200")),
    Job("pretraining_128", "pretraining", (*GPU_PRETRAINING, "--micro-batch", "128")),
    Job("memory", "pretraining", GPU_MEMORY),
    Job(
        "memory_activation_checkpointing",
        "pretraining",
        ("runtime.activation_checkpointing=true", *GPU_MEMORY),
    ),
    Job("preparation", "preparation"),
    Job("finetuning", "finetuning"),
    Job("prediction", "prediction"),
)
ON_A_PROCESSOR = (
    Job("startup", "startup"),
    Job("launches", "launches"),
    Job("whole_run_small", "whole_run", ("--arch", "small", "--micro-batch", "64")),
    Job("pretraining_small", "pretraining", ("--arch", "small", "--micro-batch", "64")),
    Job("pretraining_crammed", "pretraining", ("--arch", "crammed", "--micro-batch", "16")),
    Job("preparation", "preparation"),
    Job("finetuning", "finetuning"),
    Job("prediction", "prediction"),
)
TINY = ("--arch", "tiny", "--micro-batch", "4", "--sequence-length", "32")
QUICK = (
    Job("startup", "startup", (*TINY, "--repeats", "1", "--compile", "off")),
    Job("whole_run", "whole_run", (*TINY, "--vocabulary", "300", "--updates", "4", "--compile", "off")),
    Job("device", "device", ("--rehearse",)),
    Job("launches", "launches", ("--archs", "tiny", "--vocabulary", "300")),
    Job(
        "pretraining",
        "pretraining",
        (
            *(*TINY, "--vocabulary", "300", "--updates", "1", "--warmup", "1", "--repeats", "1"),
            *("--precisions", "fp32", "--compile", "off", "--engines", "bertinchamps", "bert"),
        ),
    ),
    Job("preparation", "preparation", ("--sizes", "0.05", "0.1", "--repeats", "1", "--vocab-size", "300")),
    Job(
        "finetuning",
        "finetuning",
        ("arch=tiny", "tokenizer.vocab_size=300", "--sentences", "20", "--epochs", "1", "--repeats", "1"),
    ),
    Job("prediction", "prediction", ("--arch", "tiny", "--sentences", "20", "--repeats", "1")),
)


class Outcome(NamedTuple):
    """What came of a job.

    Attributes:
        job: that was run.
        table: in Markdown; empty if it failed.
        problem: the last lines of its errors, if it failed.
    """

    job: Job
    table: str
    problem: str


def parser() -> argparse.ArgumentParser:
    """The command line."""
    words = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    words.add_argument("what", nargs="?", choices=("list", "all"), default="list", help="(%(default)s)")
    words.add_argument("--folder", metavar="DIR", type=Path, help="for the results, with all")
    words.add_argument("--quick", action="store_true", help="the smallest settings: do they run at all?")
    words.add_argument("--only", nargs="+", choices=BENCHMARKS, metavar="NAME", help="of the list (all)")
    return words


def listing() -> str:
    """The benchmarks, a line each."""
    lines, by_hand = (
        [f"  python -m benchmarks.{name:<12} {what}" for name, what in listed.items() if _exists(name)]
        for listed in (BENCHMARKS, BY_HAND)
    )
    runs_all = (
        "--help of each says what it measures; python -m benchmarks all --folder DIR runs all of these."
    )
    return "\n".join([*lines, "", runs_all, "By hand, with a model and a corpus:", "", *by_hand])


def jobs(quick: bool, only: Sequence[str] | None) -> list[Job]:
    """What is run on this machine."""
    wanted = QUICK if quick else ON_A_GPU if _has_gpu() else ON_A_PROCESSOR
    return [job for job in wanted if _exists(job.benchmark) and (only is None or job.benchmark in only)]


def _exists(benchmark: str) -> bool:
    return importlib.util.find_spec(f"benchmarks.{benchmark}") is not None


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def run(job: Job, folder: Path) -> Outcome:
    """Run one job; its results go into the folder."""
    output, figure, log = (folder / f"{job.file}.{ending}" for ending in ("json", "png", "log"))
    for old in (output, figure):
        old.unlink(missing_ok=True)
    files = [f"--output={output}", f"--figure={figure}"]
    command = [sys.executable, "-m", f"benchmarks.{job.benchmark}", *job.words, *files]
    with log.open("w", encoding="utf-8") as errors:
        ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=errors, text=True, check=False)
    if ran.returncode or not output.is_file():
        lines = log.read_text(encoding="utf-8").strip().splitlines() or [f"status {ran.returncode}"]
        return Outcome(job, "", "\n".join(lines[-LINES_OF_A_FAILURE:]))
    table = [line for line in ran.stdout.splitlines() if line != str(output)]
    return Outcome(job, "\n".join(table).strip(), "")


def page(outcomes: Sequence[Outcome], folder: Path, date: str) -> str:
    """All tables as one page in Markdown.

    Args:
        outcomes: in their order.
        folder: where the figures are.
        date: when the first one began.
    """
    machine = {"date": date, **results.hardware(), **results.versions()}
    lines = ["# Benchmarks", "", *markdown.table(("what", "on this page"), 2, machine.items())]
    for job, table, problem in outcomes:
        command = shlex.join(["python", "-m", f"benchmarks.{job.benchmark}", *job.words])
        lines += ["", f"## {job.file}", "", _sentence(BENCHMARKS[job.benchmark]), "", f"    {command}", ""]
        if problem:
            lines += ["Failed:", "", *(f"    {line}" for line in problem.splitlines())]
            continue
        lines.append(table)
        if (folder / f"{job.file}.png").is_file():
            lines += ["", f"![{job.file}]({job.file}.png)"]
    return "\n".join(lines) + "\n"


def _sentence(clause: str) -> str:
    return f"{clause[0].upper()}{clause[1:]}."


def main() -> None:
    """Entry point of `python -m benchmarks`."""
    words = parser()
    arguments = words.parse_args()
    if arguments.what == "list":
        print(listing())
        return
    if arguments.folder is None:
        words.error("all: give --folder DIR for the results")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    date = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    outcomes = []
    for job in jobs(arguments.quick, arguments.only):
        began = time.perf_counter()
        outcomes.append(run(job, arguments.folder))
        came = "failed" if outcomes[-1].problem else "done"
        print(f"{job.file}: {came} in {time.perf_counter() - began:.0f} s", file=sys.stderr)
        # After each, so that a run that is cut short leaves what it has.
        (arguments.folder / "README.md").write_text(page(outcomes, arguments.folder, date), encoding="utf-8")
    print(page(outcomes, arguments.folder, date))
    if any(outcome.problem for outcome in outcomes):
        sys.exit(1)


if __name__ == "__main__":
    main()
