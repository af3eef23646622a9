"""python -m benchmarks.launches: an estimate, without a card, of what bounds an update: launches, products or memory.

Counts one pretraining update of one micro-batch: forward, backward, clipping, optimizer. No kernel runs.

    launches   eager: ATen operators that start a kernel, one kernel each; operators over lists of tensors start as
               many as CUDA's limits need. Compiled: kernels after the compiler's fusions and operators that it calls,
               for forward and backward; clipping and optimizer are not compiled. The compiler is asked on the CPU,
               with the rules of its GPU backend, so its numbers are a proxy.
    products   FLOPs of docs/budget.md, and those of the optimizer's own products
    memory     bytes that everything but matrix products reads and writes, each input and output of a kernel once

Launching goes on while the device works; the device does products and the rest one after the other:

    time of an update = max(launches x time of a launch, FLOPs / rate of products + bytes / rate of memory)
    MFU at most       = model FLOPs / data sheet's rate / time of an update

The rates are assumptions, and options. Not counted: Python's time around compiled functions (guards, one gradient for
each parameter), reading, logging, and kernels that a library needs beyond one for an operator.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import figures, markdown, pretraining_problem, results, running
from bertinchamps.composing import config_dir
from bertinchamps.schemas import PretrainConfig

COUNTED_AT = (16, 32)  # micro-batches; launches are those of the second, bytes grow with tokens along a line
SHAPE = ("sequence_length", "vocabulary", "mask_rate")
ASSUMPTIONS = (
    "eager_microseconds",
    "compiled_microseconds",
    "product_tflops",
    "peak_tflops",
    "memory_terabytes",
)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    words = running.parser("launches", __doc__)
    words.add_argument(
        "--archs",
        nargs="+",
        default=["small", "crammed"],
        choices=_archs(),
        metavar="ARCH",
        help="of configs/arch/ (%(default)s)",
    )
    words.add_argument(
        "--optimizers", nargs="+", choices=("adamw", "muon"), default=["adamw", "muon"], help="(%(default)s)"
    )
    words.add_argument(
        "--micro-batches", nargs="+", type=int, default=[8, 16, 32, 64, 128, 256, 512], metavar="SEQUENCES",
        help="(%(default)s)",
    )  # fmt: skip
    words.add_argument("--sequence-length", type=int, default=128, help="tokens (%(default)s)")
    words.add_argument("--vocabulary", type=int, default=32768, help="entries (%(default)s)")
    words.add_argument("--mask-rate", type=float, default=0.15, help="share of the tokens (%(default)s)")
    words.add_argument(
        "--eager-microseconds",
        type=float,
        default=10.0,
        help="of the host for an eager operator (%(default)s)",
    )
    words.add_argument(
        "--compiled-microseconds",
        type=float,
        default=2.5,
        help="of the host for a compiled kernel (%(default)s)",
    )
    words.add_argument(
        "--product-tflops", type=float, default=600.0, help="reached by large bf16 products (%(default)s)"
    )
    words.add_argument("--peak-tflops", type=float, default=989.0, help="of the data sheet (%(default)s)")
    words.add_argument("--memory-terabytes", type=float, default=3.0, help="a second (%(default)s)")
    results.add_options(words, "launches.json", "largest possible MFU by micro-batch, compiled")
    return words


def _archs() -> list[str]:
    return sorted(file.stem for file in (config_dir() / "arch").glob("*.yaml"))


def benchmark(arguments: argparse.Namespace) -> dict[str, Any]:
    """Count and estimate; returns what goes into the JSON file."""
    from benchmarks.launch_counts import counted_model, counted_step

    models = []
    for arch in arguments.archs:
        model = counted_model(_composed(arguments, arch), COUNTED_AT)
        for optimizer in arguments.optimizers:
            step = counted_step(_composed(arguments, arch, f"optim={optimizer}"))
            rows = [estimate(model, step, micro_batch, arguments) for micro_batch in arguments.micro_batches]
            models.append({"arch": arch, "optimizer": optimizer, "model": model, "step": step, "rows": rows})
        print(f"{arch}: counted", file=sys.stderr)
    return {
        **results.facts("launches"),
        "shape": {name: getattr(arguments, name) for name in SHAPE},
        "assumptions": {name: getattr(arguments, name) for name in ASSUMPTIONS},
        "models": models,
    }


def _composed(arguments: argparse.Namespace, arch: str, *settings: str) -> PretrainConfig:
    shape = argparse.ArgumentParser()
    pretraining_problem.add_options(shape)
    words = [f"--{name.replace('_', '-')}={getattr(arguments, name)}" for name in SHAPE]
    return pretraining_problem.composed(shape.parse_args([*settings, f"--arch={arch}", *words]), [])


def estimate(
    model: Mapping[str, Any], step: Mapping[str, int], micro_batch: int, assumed: argparse.Namespace
) -> dict[str, Any]:
    """Milliseconds of an update of so many sequences, and what binds them, eager and compiled.

    Args:
        model: of `launch_counts.counted_model`.
        step: of `launch_counts.counted_step`.
        micro_batch: sequences.
        assumed: the rates, and the length of the sequences.
    """
    tokens = micro_batch * assumed.sequence_length
    model_flops = model["flops_per_token"] * tokens
    products = 1e3 * (model_flops + step["flops"]) / (assumed.product_tflops * 1e12)
    row: dict[str, Any] = {"micro_batch": micro_batch, "products": products}
    for way, microseconds in (
        ("eager", assumed.eager_microseconds),
        ("compiled", assumed.compiled_microseconds),
    ):
        counts = model[way]
        launching = (counts["launches"] * microseconds + step["launches"] * assumed.eager_microseconds) / 1e3
        moved = counts["bytes"] + counts["bytes_per_token"] * tokens + step["bytes"]
        memory = 1e3 * moved / (assumed.memory_terabytes * 1e12)
        working = products + memory
        row[way] = {
            "launches": launching,
            "memory": memory,
            "binds": "launches" if launching > working else "products" if products >= memory else "memory",
            "mfu_at_most": 1e3 * model_flops / (assumed.peak_tflops * 1e12) / max(launching, working),
        }
    return row


def table(result: Mapping[str, Any]) -> str:
    """A table for each architecture and optimizer, in Markdown."""
    header = (
        "micro-batch", "products, ms", "eager: launches, ms", "memory, ms", "binds", "MFU at most",
        "compiled: launches, ms", "memory, ms", "binds", "MFU at most",
    )  # fmt: skip
    lines = []
    for model in result["models"]:
        counts = model["model"]
        lines += [
            f"`{model['arch']}`, `optim={model['optimizer']}`: {counts['eager']['launches']:,} launches of forward and "
            f"backward eager, {counts['compiled']['launches']:,} compiled; {model['step']['launches']:,} after it; "
            f"{counts['flops_per_token'] / 1e6:.1f} MFLOP a token",
            "",
            *markdown.table(header, 1, map(_line, model["rows"])),
            "",
        ]
    return "\n".join([*lines, _assumptions(result["assumptions"])])


def _line(row: Mapping[str, Any]) -> Sequence[object]:
    ways = (row["eager"], row["compiled"])
    cells = [
        (f"{way['launches']:.2f}", f"{way['memory']:.2f}", way["binds"], f"{way['mfu_at_most']:.0%}")
        for way in ways
    ]
    return row["micro_batch"], f"{row['products']:.2f}", *cells[0], *cells[1]


def _assumptions(assumed: Mapping[str, float]) -> str:
    return (
        f"Assumed: {assumed['eager_microseconds']:g} µs of the host for an eager launch, "
        f"{assumed['compiled_microseconds']:g} in compiled code; {assumed['product_tflops']:g} TFLOP/s of products, "
        f"{assumed['memory_terabytes']:g} TB/s of memory; data sheet {assumed['peak_tflops']:g} TFLOP/s."
    )


def plot(result: Mapping[str, Any], file: Path) -> None:
    """The largest possible MFU by micro-batch, compiled."""
    panels = []
    for model in result["models"]:
        bars = [
            figures.Bar(f"{row['micro_batch']} ({way['binds']})", 100 * way["mfu_at_most"], True)
            for row in model["rows"]
            for way in [row["compiled"]]
        ]
        panels.append(figures.Panel(f"{model['arch']}, {model['optimizer']}: MFU at most, %", bars))
    figures.draw(panels, file)


def main() -> None:
    """Entry point of `python -m benchmarks.launches`."""
    arguments = parser().parse_args()
    running.run("launches", arguments, lambda _: benchmark(arguments), table, plot)


if __name__ == "__main__":
    main()
