"""python -m benchmarks.whole_run: where the wall time of a pretraining run goes, and what is not the model.

One run as `python -m bertinchamps.pretrain` does it, from importing and building to the summary: loader, masking,
clipping, optimizer, metrics, evaluations, checkpoints, the finished model. Blocks are random tokens, and the corpus is
there before the run begins. Every moment is charged to one part, so that the parts add up to the wall time, which is
measured on its own and shown beside their sum. What the loader's thread takes from the processor meanwhile
shows in the other parts.

Parts of an update are medians over the updates after the first; what the first one takes above that, compiling for
the most part, is a row of its own. A short run evaluates and saves more than a long one, so the last column puts
together, from the same measurements, a run of --hours with evaluations and checkpoints as often as the defaults have
them.

On CUDA the parts are measured in a pass that waits for the device at the borders of each part; a second pass,
a process of its own, runs without waiting, and its wall time and rates are those that count. In the
second pass work is charged where it is waited for, so its parts are not shown.

    FLOP/s                = tokens/s x FLOPs a token
    share of the product  = FLOP/s / FLOP/s of [tokens of a micro-batch, hidden] x [hidden, intermediate], same process
    share of the peak     = FLOP/s / runtime.peak_flops

FLOPs a token are those of docs/budget.md: matrix products only, forward and backward, and only masked positions in the
last layer and the head. The peak is the data sheet's dense 16-bit rate on GPUs that runtime.py lists, and measured with
a square product elsewhere.
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
from benchmarks.whole_run_parts import (
    BUILDING,
    CHECKPOINTS,
    ENDING,
    EVALUATION,
    FIRST,
    MODEL,
    OF_UPDATES,
    PARTS,
)
from bertinchamps.command_line.running import SPIN_COUNT
from bertinchamps.schemas import CheckpointConfig, EvaluationConfig


def parser() -> argparse.ArgumentParser:
    """The command line."""
    words = running.parser("whole_run", __doc__)
    pretraining_problem.add_options(words)
    words.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto", help="(%(default)s)")
    words.add_argument("--compile", choices=("auto", "on", "off"), default="auto", help="(%(default)s)")
    words.add_argument("--updates", type=int, default=40, help="of the run, at least 2 (%(default)s)")
    words.add_argument("--hours", type=float, default=24, help="of the run put together (%(default)s)")
    results.add_options(words, "whole_run.json", "shares of the parts")
    words.add_argument(
        "--pass", dest="waits", choices=("waiting", "free"), help=argparse.SUPPRESS
    )  # of a child
    return words


def benchmark(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run the passes; returns what goes into the JSON file.

    Raises:
        UserError: a setting that does not exist or has no such value.
        SystemExit: a pass failed.
    """
    pretraining_problem.composed(arguments, [])  # a mistake is reported before anything is measured
    parts = _in_a_process("waiting")
    whole = _in_a_process("free") if parts["cuda"] else parts
    return {
        **results.facts("whole_run"),
        "shape": {name: getattr(arguments, name) for name in pretraining_problem.SHAPE},
        "device": parts["device"],
        "updates": len(parts["updates"]),
        "hours": arguments.hours,
        "wall_seconds": whole["wall_seconds"],
        "wall_seconds_of_the_parts": parts["wall_seconds"],
        "sum_of_the_parts": sum(parts["seconds"].values()),
        "rows": rows(parts, arguments.hours * 3600),
        "rates": rates(whole),
        "memory_megabytes": whole["memory_megabytes"],
    }


def _in_a_process(waits: str) -> dict[str, Any]:
    try:
        measured = running.measured_apart("whole_run", f"--pass={waits}")
    except running.ProcessFailed as failure:
        sys.exit(f"benchmarks.whole_run: a pass failed:\n{failure}")
    print(f"{waits} pass done", file=sys.stderr)
    return measured


def rows(measured: Mapping[str, Any], long_run: float) -> list[dict[str, Any]]:
    """Seconds, median of an update and shares of each part.

    Args:
        measured: of a pass: seconds of each part in all and in each update, evaluations, checkpoints.
        long_run: seconds of the run to be put together.
    """
    first, *others = measured["updates"]
    medians = {part: statistics.median(update.get(part, 0.0) for update in others) for part in OF_UPDATES}
    seconds = dict.fromkeys(PARTS, 0.0) | measured["seconds"]
    for part in MODEL:
        above = first.get(part, 0.0) - medians[part]
        seconds[part] -= above
        seconds[FIRST] += above
    long = _long_run(seconds, medians, measured, long_run)
    wall = sum(seconds.values())
    return [
        {
            "part": part,
            "model": part in MODEL,
            "seconds": seconds[part],
            "share": seconds[part] / wall,
            "median_update_seconds": medians.get(part),
            "long_run_share": long[part] / sum(long.values()),
        }
        for part in PARTS
    ]


def _long_run(
    seconds: Mapping[str, float], medians: Mapping[str, float], measured: Mapping[str, Any], length: float
) -> dict[str, float]:
    """Seconds of each part in a run of this length that evaluates and saves as often as the defaults have it."""
    evaluations = round(1 / EvaluationConfig().every) + 1  # one comes before the first update
    checkpoints = int(length / 60 / CheckpointConfig().every_minutes) + 1  # the last one is the model
    once = {part: seconds[part] for part in (FIRST, BUILDING, ENDING)}
    once[EVALUATION] = evaluations * seconds[EVALUATION] / measured["evaluations"]
    once[CHECKPOINTS] = checkpoints * seconds[CHECKPOINTS] / measured["checkpoints"]
    updates = max(0.0, length - sum(once.values())) / sum(medians.values())
    return once | {part: updates * medians[part] for part in OF_UPDATES}


def rates(measured: Mapping[str, Any]) -> dict[str, Any]:
    """Tokens and FLOPs a second of the median update and of the whole run, and their shares."""
    update = statistics.median(
        sum(update.get(part, 0.0) for part in OF_UPDATES) for update in measured["updates"][1:]
    )
    found: dict[str, Any] = {
        "product_flops": measured["product_flops"],
        "peak_flops": measured["peak_flops"],
        "peak_origin": measured["peak_origin"],
    }
    for what, tokens_per_second in (
        ("median update", statistics.median(measured["tokens"][1:]) / update),
        ("whole run", sum(measured["tokens"]) / measured["wall_seconds"]),
    ):
        flops = tokens_per_second * measured["flops_per_token"]
        found[what] = {
            "tokens_per_second": tokens_per_second,
            "flops": flops,
            "share_of_product": flops / measured["product_flops"],
            "mfu": flops / measured["peak_flops"],
        }
    return found


def table(result: Mapping[str, Any]) -> str:
    """The parts and rates for people, in Markdown."""
    return "\n".join(
        [
            *_parts_table(result),
            "",
            f"{result['updates']} updates on {result['device']}: parts together {result['sum_of_the_parts']:.3f} s, "
            f"wall time of their pass {result['wall_seconds_of_the_parts']:.3f} s, wall time that counts "
            f"{result['wall_seconds']:.3f} s; peak memory {result['memory_megabytes']:,.0f} MB",
            "",
            *_rates_table(result["rates"]),
        ]
    )


def _parts_table(result: Mapping[str, Any]) -> list[str]:
    parts = [
        (
            row["part"],
            f"{row['seconds']:.2f}",
            f"{row['share']:.1%}",
            "" if row["median_update_seconds"] is None else f"{1000 * row['median_update_seconds']:.2f}",
            f"{row['long_run_share']:.2%}",
        )
        for row in result["rows"]
    ]
    outside = [row for row in result["rows"] if not row["model"]]
    parts.append(
        (
            "**not the model**",
            f"{sum(row['seconds'] for row in outside):.2f}",
            f"{sum(row['share'] for row in outside):.1%}",
            f"{1000 * sum(row['median_update_seconds'] or 0 for row in outside):.2f}",
            f"{sum(row['long_run_share'] for row in outside):.2%}",
        )
    )
    header = ("part", "seconds", "of this run", "median update, ms", f"of {result['hours']:g} h, computed")
    return markdown.table(header, 1, parts)


def _rates_table(measured: Mapping[str, Any]) -> list[str]:
    of_product = f"of the product ({measured['product_flops'] / 1e12:.3g} TFLOP/s)"
    of_peak = f"of the peak ({measured['peak_flops'] / 1e12:.3g} TFLOP/s, {measured['peak_origin']})"
    speeds = [
        (
            what,
            f"{measured[what]['tokens_per_second']:,.0f}",
            f"{measured[what]['flops'] / 1e9:,.1f}",
            f"{measured[what]['share_of_product']:.1%}",
            f"{measured[what]['mfu']:.1%}",
        )
        for what in ("median update", "whole run")
    ]
    return markdown.table(("rate of", "tokens/s", "GFLOP/s", of_product, of_peak), 1, speeds)


def plot(result: Mapping[str, Any], file: Path) -> None:
    """Shares of this run and of the long one; the model's parts in colour."""
    panels = [
        figures.Panel(
            quantity,
            [figures.Bar(row["part"], 100 * row[key], row["model"]) for row in result["rows"]],
            form,
        )
        for quantity, key, form in (
            (f"% of a run of {result['updates']} updates", "share", "{:.1f}"),
            (f"% of {result['hours']:g} h, computed", "long_run_share", "{:.2f}"),
        )
    ]
    figures.draw(panels, file, side_by_side=True)


def main() -> None:
    """Entry point of `python -m benchmarks.whole_run`."""
    words = parser()
    arguments = words.parse_intermixed_args()
    if arguments.updates < 2:
        words.error(f"--updates {arguments.updates}: the first one compiles, so there must be others")
    if arguments.waits:
        from benchmarks.whole_run_pass import measure

        print(json.dumps(measure(arguments)))
        return
    os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)  # as our commands do
    running.run("whole_run", arguments, lambda _: benchmark(arguments), table, plot)


if __name__ == "__main__":
    main()
