"""python -m benchmarks.device: minutes of one GPU, turned into the figures that a GPU has to give.

One GPU, `crammed`, sequences of 128, bf16, compiled, updates of one micro-batch with clipping and optimizer: ours with
loader, masking and hooks, beside BertForMaskedLM and ModernBertForMaskedLM (sparse prediction) in a plain loop whose
batches are on the device before. Then what only a card can judge, each beside the plain way measured again just
before it: CUDA graphs, linear_cross_entropy, Muon, fp8 products, texts packed without padding, autotuned products.

Every row is a process of its own. All compile at once, as many as the device's memory holds by estimate, and are then
measured one at a time, in order of value, until --seconds are over; the file is written whole after each. What was not
reached says so.

    tokens/s          tokens of an update / median seconds between its end and that of the one before (CUDA events)
    MFU               FLOPs a token of docs/budget.md (the row's own model) x tokens/s / dense 16-bit rate of the data
                      sheet; of products, their FLOP/s / that rate
    first update, s   compiling included, while other rows compile; with whatever the compiler's caches hold
    outside kernels   1 - union of the kernels' intervals / time from the first one's start to the last one's end
    ratio             tokens/s / those of the row in `against`

--rehearse runs the same code on a CPU in seconds: `tiny`, micro-batches of 2, 4 and 8, not compiled, operators in place
of kernels, and no row that needs CUDA.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import device_plan, figures, markdown, results, running
from benchmarks.device_plan import OURS, Memory, Row, Settings
from benchmarks.device_schedule import Limits, Schedule, Worker
from bertinchamps.durable import write_json
from bertinchamps.launch import cores

NOT_REACHED = "not reached"
LINES_OF_A_LOG = 15
SHARE_OF_MEMORY = 0.82
FORMULA = "MFU = FLOPs a token (docs/budget.md) x tokens/s / data sheet's dense 16-bit FLOP/s"
MEASUREMENTS = "benchmarks.device_rows"
PRELOADED = [
    MEASUREMENTS,
    "transformers.models.bert.modeling_bert",
    "transformers.models.modernbert.modeling_modernbert",
]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    words = running.parser("device", __doc__)
    words.add_argument("--seconds", type=float, default=150.0, help="in all (%(default)s)")
    words.add_argument(
        "--rehearse", action="store_true", help="the same code on a CPU, with the smallest settings"
    )
    words.add_argument("--arch", help="of configs/arch/ (crammed; tiny in the rehearsal)")
    words.add_argument(
        "--micro-batches",
        nargs="+",
        type=int,
        metavar="SEQUENCES",
        help="(128 256 512; 2 4 8 in the rehearsal)",
    )
    words.add_argument(
        "--gigabytes", type=float, default=70.0, help="of the device, at the most (%(default)s)"
    )
    results.add_options(words, "device.json", "tokens a second of each row")
    return words


def settings_of(arguments: argparse.Namespace) -> tuple[Settings, Sequence[int]]:
    """What all rows share, and the micro-batches."""
    if arguments.rehearse:
        settings = Settings(arguments.arch or "tiny", 32, 512, 0.15, "auto", False, 0.0, 0.05, 2, 2)
        return settings, arguments.micro_batches or (2, 4, 8)
    settings = Settings(arguments.arch or "crammed", 128, 32768, 0.15, "bf16", True, 0.5, 2.0, 10, 6)
    return settings, arguments.micro_batches or (128, 256, 512)


class Collected:
    """The result as far as it is known, in a file that is whole at any moment.

    Args:
        rows: all that are planned.
        facts: what else the file holds.
        output: the file.
    """

    def __init__(self, rows: Sequence[Row], facts: Mapping[str, Any], output: Path) -> None:
        self._facts, self._output = facts, output
        self._rows: dict[str, list[dict[str, Any]]] = {
            row.name: [{**_facts_of(row), "problem": NOT_REACHED}] for row in rows
        }
        self._kernels: list[Mapping[str, Any]] = []
        self._kernels_of = rows[0].name
        self.write()

    def ready(self, row: Row, first_update: float | None) -> None:
        """The row has compiled and run."""
        if first_update is not None:
            self._rows[row.name][0]["first_update_seconds"] = first_update
            self.write()
        print(f"{row.name}: ready", file=sys.stderr)

    def measured(self, row: Row, message: Mapping[str, Any], plain: float | None) -> None:
        """The row's figures, as far as they are known."""
        rows = [{**_facts_of(row), **measured} for measured in message["rows"]]
        for each in rows:
            if plain and "ratio" not in each and row.against:
                each |= {"against": row.against, "ratio": each["tokens_per_second"] / plain}
            elif "ratio" not in each:
                each.pop("against", None)
        self._rows[row.name] = rows
        if row.name == self._kernels_of and message["kernels"]:
            self._kernels = list(message["kernels"])
        self.write()
        if message["last"]:
            for each in rows:
                print(f"{each['name']}: {each['tokens_per_second']:,.0f} tokens/s", file=sys.stderr)

    def failed(self, row: Row, problem: str, log: str) -> None:
        """Why there is no more of the row; figures that were reported before stay."""
        for each in self._rows[row.name]:
            each["problem"] = problem
        self.write()
        print("\n    ".join([f"{row.name}: {problem}", *log.splitlines()[-LINES_OF_A_LOG:]]), file=sys.stderr)

    def result(self) -> dict[str, Any]:
        """What goes into the file."""
        rows = [each for measured in self._rows.values() for each in measured]
        return {**self._facts, "rows": rows, "kernels": self._kernels}

    def write(self) -> None:
        """The file, whole."""
        write_json(self._output, self.result())


def _facts_of(row: Row) -> dict[str, Any]:
    return {"name": row.name, "kind": row.kind, "micro_batch": row.micro_batch}


def benchmark(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure what the time allows; returns what is in the JSON file by then.

    Args:
        arguments: of the command line.
        folder: for logs.

    Raises:
        UserError: a setting that does not exist or has no such value.
    """
    settings, micro_batches = settings_of(arguments)
    rows = device_plan.plan(micro_batches)
    arch = device_plan.composed(rows[0], settings).arch
    memory = {row.name: device_plan.memory(row, settings, arch) for row in rows}
    facts = {
        **results.facts("device"),
        "rehearsal": arguments.rehearse,
        "arch": settings.arch,
        "sequence_length": settings.sequence_length,
        "formula": FORMULA,
    }
    collected = Collected(rows, facts, arguments.output)
    limits = Limits(
        arguments.seconds,
        compiling=0.8 * arguments.seconds,
        measuring=max(15.0, 0.3 * arguments.seconds),
        gigabytes=arguments.gigabytes or SHARE_OF_MEMORY * _gigabytes(),
        processes=max(2, cores()),
    )
    # A forked process cannot use a GPU that its parent has touched; without one it need not import everything again.
    context = multiprocessing.get_context("forkserver" if arguments.rehearse else "spawn")
    if arguments.rehearse:
        context.set_forkserver_preload(PRELOADED)
    schedule = Schedule(rows, memory, limits, collected, partial(_started, context, settings, folder))
    with _stopped_by_signals():
        schedule.run()
    return collected.result()


def _started(context: Any, settings: Settings, folder: Path, row: Row, memory: Memory) -> Worker:
    log = folder / f"{row.name.replace(' ', '_').replace('/', '_')}.log"
    return Worker(row, memory, context, (MEASUREMENTS, settings, device_plan.composed(row, settings)), log)


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """SIGTERM ends the rows' processes, too."""

    def stop(*_: Any) -> None:
        sys.exit("benchmarks.device: stopped")

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def table(result: Mapping[str, Any]) -> str:
    """The rows and the kernels for people, in Markdown; of any part of a result."""
    header = (
        "row",
        "tokens/s",
        "MFU",
        "ratio",
        "against",
        "memory, MB",
        "first update, s",
        "outside kernels",
    )
    rows = result.get("rows", [])
    lines = markdown.table(header, 1, map(_line, rows))
    missing = [row["name"] for row in rows if row.get("problem") == NOT_REACHED]
    problems = [row for row in rows if row.get("problem") not in (None, NOT_REACHED)]
    lines += ["", *(f"- {row['name']}: {row['problem']}" for row in problems)]
    if missing:
        lines.append(f"- not reached: {'; '.join(missing)}")
    kernels = result.get("kernels", [])
    if kernels:
        cells = [
            (
                f"`{each['name'][:80]}`",
                f"{each['microseconds']:,.0f}",
                f"{each['calls']:g}",
                f"{each['share']:.1%}",
            )
            for each in kernels
        ]
        lines += ["", *markdown.table(("kernel of our update", "µs", "calls", "of all kernels"), 1, cells)]
    return "\n".join([*lines, "", result.get("formula", FORMULA)])


def _line(row: Mapping[str, Any]) -> Sequence[str]:
    forms = {
        "tokens_per_second": "{:,.0f}",
        "mfu": "{:.1%}",
        "ratio": "{:.2f}",
        "against": "{}",
        "memory_megabytes": "{:,.0f}",
        "first_update_seconds": "{:.1f}",
        "outside_kernels": "{:.1%}",
    }
    return [
        row["name"],
        *("" if row.get(key) is None else form.format(row[key]) for key, form in forms.items()),
    ]


def plot(result: Mapping[str, Any], file: Path) -> None:
    """Tokens a second of the updates that were measured."""
    done = [row for row in result["rows"] if "tokens_per_second" in row and not row["name"].startswith("fp8")]
    bars = [figures.Bar(row["name"], row["tokens_per_second"], row["kind"] == OURS) for row in done]
    figures.draw([figures.Panel("tokens a second", bars)], file)


def _gigabytes() -> float:
    """Of the first GPU, asked without starting it in this process; those of a large one where nobody says."""
    if shutil.which("nvidia-smi"):
        words = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
        listed = subprocess.run(words, capture_output=True, text=True, check=False).stdout.split()
        if listed and listed[0].isdigit():
            return int(listed[0]) * 2**20 / 1e9
    return 80.0


def _has_gpu() -> bool:
    if results.hardware()["device"] != "CPU":
        return True
    import torch

    return torch.cuda.is_available()


def main() -> None:
    """Entry point of `python -m benchmarks.device`."""
    words = parser()
    arguments = words.parse_args()
    if not arguments.rehearse and not _has_gpu():
        words.error("there is no GPU here; --rehearse runs the same code without one")
    os.environ.setdefault("OMP_NUM_THREADS", "1" if arguments.rehearse else "2")
    os.environ.setdefault(
        "TORCHINDUCTOR_COMPILE_THREADS", str(max(1, cores() // 4))
    )  # of each row's compiler
    with tempfile.TemporaryDirectory() as folder:
        result = benchmark(arguments, Path(folder))
    results.conclude(result, arguments, table, plot)


if __name__ == "__main__":
    main()
