"""python -m benchmarks.pretraining: tokens a second of pretraining updates, beside stock classes of transformers.

Ours is the engine as `python -m bertinchamps.pretrain` runs it, loader, masking on the device, clipping, optimizer and
hooks included. The peers are BertForMaskedLM, and ModernBertForMaskedLM with its sparse prediction, in a plain loop and
in transformers.Trainer: the same layers, widths, vocabulary, sequences, share of masked tokens, AdamW (fused) and
clipping, no dropout; in float32 and, where the device multiplies it in hardware, bfloat16; as they are and compiled.

Every measurement is a process of its own; the rows take turns, and a row's figure is the median of its updates after
the first ones, then of its repeats. Blocks are random tokens. FLOPs are those that the row's own model needs, counted
as in docs/budget.md: matrix products only; in the last layer and the head of ours, and in ModernBERT's head, those of
masked positions only. The product beside them multiplies [tokens of a micro-batch, hidden] with [hidden, intermediate]
in the same precision. The share of the peak is FLOPs a token · tokens a second ÷ the data sheet's dense 16-bit rate on
a GPU (its MFU), and ÷ a measured square product elsewhere.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import figures, markdown, pretraining_problem, results, running
from bertinchamps.command_line.running import SPIN_COUNT

OURS = "bertinchamps"
PEERS = ("bert", "modernbert")
ENGINES = (OURS, *PEERS, *(f"trainer:{peer}" for peer in PEERS))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    words = running.parser("pretraining", __doc__)
    pretraining_problem.add_options(words)
    words.add_argument(
        "--engines", nargs="+", choices=ENGINES, default=list(ENGINES), metavar="ENGINE", help="(all)"
    )
    words.add_argument(
        "--precisions", nargs="+", choices=("fp32", "bf16"), help="(those that the device has in hardware)"
    )
    words.add_argument(
        "--compile", nargs="+", choices=("on", "off"), default=["on", "off"], help="(%(default)s)"
    )
    words.add_argument("--updates", type=int, default=6, help="measured (%(default)s)")
    words.add_argument("--warmup", type=int, default=3, help="updates before them (%(default)s)")
    words.add_argument("--repeats", type=int, default=3, help="processes of each row (%(default)s)")
    results.add_options(words, "pretraining.json", "tokens a second and memory of each row")
    words.add_argument("--row", help=argparse.SUPPRESS)  # of a child: what it measures, as JSON
    return words


def rows(arguments: argparse.Namespace) -> list[dict[str, str]]:
    """Engine, precision and compilation of each row. transformers.Trainer is not compiled."""
    precisions = arguments.precisions or ["fp32", *(["bf16"] if _fast_bf16() else [])]
    return [
        {"engine": engine, "precision": precision, "compile": compiled}
        for engine in arguments.engines
        for precision in precisions
        for compiled in arguments.compile
        if compiled == "off" or not engine.startswith("trainer:")
    ]


def _fast_bf16() -> bool:
    import torch

    from bertinchamps.training.device import has_fast_bf16

    return has_fast_bf16(torch.device("cuda" if torch.cuda.is_available() else "cpu"))


def benchmark(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure all rows in turn; returns what goes into the JSON file.

    Raises:
        UserError: a setting that does not exist or has no such value.
    """
    pretraining_problem.composed(arguments, [])  # a mistake is reported before anything is measured
    wanted = rows(arguments)
    measured: list[list[dict[str, Any]]] = [[] for _ in wanted]
    for repeat in range(arguments.repeats):
        for row, own in running.rotated(list(zip(wanted, measured, strict=True)), repeat):
            own.append(_in_a_process(row))
            shown = own[-1].get("problem") or f"{own[-1]['tokens_per_second']:,.0f} tokens/s"
            print(f"{repeat + 1}/{arguments.repeats} {_name(row)}: {shown}", file=sys.stderr)
    done = [_summary(row, own) for row, own in zip(wanted, measured, strict=True)]
    ours = [row["tokens_per_second"] for row in done if row["engine"] == OURS and "problem" not in row]
    for row in done:
        if "problem" not in row:
            row["ratio"] = max(ours, default=row["tokens_per_second"]) / row["tokens_per_second"]
    return {
        **results.facts("pretraining"),
        "shape": {name: getattr(arguments, name) for name in pretraining_problem.SHAPE},
        "rows": done,
    }


def _in_a_process(row: Mapping[str, str]) -> dict[str, Any]:
    try:
        return running.measured_apart("pretraining", f"--row={json.dumps(row)}")
    except running.ProcessFailed as failure:
        return {"problem": running.last_line(str(failure))}


def _summary(row: Mapping[str, str], repeats: list[dict[str, Any]]) -> dict[str, Any]:
    problem = next((repeat["problem"] for repeat in repeats if "problem" in repeat), None)
    if problem is not None:
        return {**row, "problem": problem}
    medians = {key: statistics.median(repeat[key] for repeat in repeats) for key in repeats[0]}
    return {**row, **medians, "repeats": [repeat["tokens_per_second"] for repeat in repeats]}


def _name(row: Mapping[str, Any]) -> str:
    return f"{row['engine']}, {row['precision']}, {'compiled' if row['compile'] == 'on' else 'eager'}"


def table(result: Mapping[str, Any]) -> str:
    """The rows for people, in Markdown."""
    header = (
        "engine", "precision", "compiled", "tokens/s", "ours ÷ it", *markdown.RATES,
        "first update, s", "memory, MB",
    )  # fmt: skip
    lines = [
        (row["engine"], row["precision"], row["compile"], *["failed: " + row["problem"]], *[""] * 6)
        if "problem" in row
        else (
            row["engine"],
            row["precision"],
            row["compile"],
            f"{row['tokens_per_second']:,.0f}",
            f"{row['ratio']:.2f}",
            *markdown.rates(row["flops"], row["product_flops"], row["peak_flops"]),
            f"{row['first_update_seconds']:.1f}",
            f"{row['memory_megabytes']:,.0f}",
        )
        for row in _fastest_first(result)
    ]
    return "\n".join(markdown.table(header, 3, lines))


def _fastest_first(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows: ours, then the others, each from the fastest to those that failed."""
    return sorted(result["rows"], key=lambda row: (row["engine"] != OURS, -row.get("tokens_per_second", 0)))


def plot(result: Mapping[str, Any], file: Path) -> None:
    """Tokens a second and memory of the rows that did not fail."""
    done = [row for row in _fastest_first(result) if "problem" not in row]
    panels = [
        figures.Panel(quantity, [figures.Bar(_name(row), row[key], row["engine"] == OURS) for row in done])
        for quantity, key in (
            ("tokens a second", "tokens_per_second"),
            ("peak memory, MB", "memory_megabytes"),
        )
    ]
    figures.draw(panels, file, side_by_side=True)


def main() -> None:
    """Entry point of `python -m benchmarks.pretraining`."""
    arguments = parser().parse_intermixed_args()
    if arguments.row:
        from benchmarks.pretraining_rows import measure

        print(json.dumps(measure(arguments, json.loads(arguments.row))))
        return
    os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)  # as our commands do, for all rows
    running.run("pretraining", arguments, lambda _: benchmark(arguments), table, plot)


if __name__ == "__main__":
    main()
