"""python -m benchmarks.finetuning: how long this engine and `transformers.Trainer` take to fine-tune one model.

Both train AutoModelForTokenClassification from the same weights on the same windows of the same sentences, tags at
words' first subwords, with the same batch size, epochs, dropout, AdamW (fused) and clipping, on as many threads, in
one process. The peer pads every example to a fixed length or, in rows of their own, to the longest of its batch;
in float32 and, where the device multiplies bfloat16 in hardware, in bfloat16, too: its faster one is what counts.
Our side is `python -m bertinchamps.finetune` with its defaults: precision by the device, examples of similar length
together, only those rows of the embedding trained that the texts use.

Measured is the training loop alone, from the first batch to the last update. Outside are, on both sides: importing,
reading, tokenising, building model, optimizer and engine, evaluating, logging and saving. The sides take turns, in
an order that rotates; a row's figure is its median. Our last update may go on into the next epoch, by less than a
batch; an epoch of the peer ends with a smaller one. FLOPs are those that the examples need, forward and backward,
counted as in docs/budget.md, none for padding, and so the same on both sides; the product beside them multiplies
[tokens of a mean micro-batch, hidden] with [hidden, intermediate] in our precision. The share of the peak is FLOP/s ÷
the data sheet's dense 16-bit rate on a GPU, and ÷ a measured square product elsewhere. Two settings of this package
help the peer, too, because they hold for the process: the C library keeps freed memory, and OpenMP's threads do not
spin for long.

Without --data it writes sentences of its own, and without --model a random model with a tokenizer of these texts;
its vocabulary is small then, and an embedding with few rows flatters the peer.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks import figures, markdown, results, running
from benchmarks.finetuning_settings import (
    composed,
    corpus,
    own_sentences,
    random_model,
    refuse_unequal,
    shared,
)
from bertinchamps.command_line.running import SPIN_COUNT
from bertinchamps.console import tell
from bertinchamps.contract import AnnotatedText
from bertinchamps.errors import UserError
from bertinchamps.schemas import FinetuneConfig, named

if TYPE_CHECKING:  # torch reads the environment when it is imported, which `main` sets first
    from benchmarks.engines import Problem, Timing

PACKAGES = (*results.PACKAGES, "accelerate")
OURS, PEER = "bertinchamps", "transformers.Trainer"


class Row(NamedTuple):
    """One way to train.

    Attributes:
        engine: whose.
        padding: "128" where all examples are filled up to it, "longest" (of the batch), or "longest, sorted" where
            those of similar length are together.
        precision: of matrix products.
        train: does it once.
    """

    engine: str
    padding: str
    precision: str
    train: Callable[[], Timing]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    words = running.parser("finetuning", __doc__)
    words.add_argument("--data", metavar="PATH", help="the QUAERO release; its part EMEA is trained on")
    words.add_argument(
        "--sentences", type=int, default=400, help="to write where there are no data (%(default)s)"
    )
    words.add_argument("--model", metavar="DIR", help="a model's directory, or its name on the Hub")
    words.add_argument(
        "--epochs",
        type=float,
        default=3,
        help="or a part of one, only to try it: too few batches to time (%(default)s)",
    )
    words.add_argument("--repeats", type=int, default=3, help="trainings of each row (%(default)s)")
    words.add_argument("--threads", type=int, help="(all cores)")
    words.add_argument(
        "--padding",
        type=int,
        default=128,
        help="tokens to which the peer pads; longer sentences are windowed (%(default)s)",
    )
    results.add_options(words, "benchmark.json", "examples a second of each row")
    words.add_argument(
        "settings",
        nargs="*",
        metavar="KEY=VALUE",
        help="settings of bertinchamps.finetune, such as task.corpus=MEDLINE, or task=ner task.train=FOLDER "
        "instead of --data",
    )
    return words


def benchmark(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Train all rows in turn.

    Args:
        arguments: of the command line.
        folder: for what is written on the way.

    Returns:
        What goes into the JSON file.

    Raises:
        UserError: the settings are wrong, or such that the two sides would not do the same.
    """
    of_corpus = corpus(arguments, folder)
    config = composed([*shared(arguments), *of_corpus, *arguments.settings])
    from bertinchamps.tasks.readers import readers

    refuse_unequal(config)
    train = readers.build(**config.task).read()["train"]
    if not isinstance(train[0], AnnotatedText):
        raise UserError("task: only tasks of entities are compared")
    if arguments.model is None:
        config.model = random_model(config, train, folder / "model")
    from benchmarks.engines import flops_per_example, open_problem

    title = "own sentences" if own_sentences(arguments) else "_".join(map(str, _names(config)))
    problem = open_problem(config, title, train)
    rows = _rows(problem, folder)
    timings: list[list[Timing]] = [[] for _ in rows]
    for repeat in range(arguments.repeats):
        for row, own in running.rotated(list(zip(rows, timings, strict=True)), repeat):
            own.append(row.train())
            tell(f"{repeat + 1}/{arguments.repeats} {_name(row):<60} {own[-1].seconds:8.2f} s")
    measured = [_measured(row, own) for row, own in zip(rows, timings, strict=True)]
    needed = flops_per_example(problem)
    for figures_of_one in measured:
        figures_of_one["ratio"] = figures_of_one["seconds"] / measured[0]["seconds"]
        figures_of_one["flops"] = needed * figures_of_one["examples_per_second"]
    return {**_facts(arguments, problem), "rows": measured, "fastest": _fastest(measured)}


def _rows(problem: Problem, folder: Path) -> list[Row]:
    """Ours, and the peer's: each padding in each precision that the device has."""
    from benchmarks.engines import train_ours, train_peer
    from bertinchamps.training.device import has_fast_bf16

    runtime = problem.runtime
    dtype = (
        "float32" if runtime.autocast_dtype is None else str(runtime.autocast_dtype).removeprefix("torch.")
    )
    rows = [Row(OURS, "longest, sorted", dtype, partial(train_ours, problem))]
    for padding, shown in (
        ("max_length", str(problem.facts.max_length)),
        ("longest", "longest"),
    ):
        for bf16 in (False, True) if has_fast_bf16(runtime.device) else (False,):
            train = partial(train_peer, problem, padding, bf16, folder / "peer")
            rows.append(Row(PEER, shown, "bfloat16" if bf16 else "float32", train))
    return rows


def _name(row: Row) -> str:
    return f"{row.engine}, padded to {row.padding}, {row.precision}"


def _measured(row: Row, timings: Sequence[Timing]) -> dict[str, Any]:
    seconds = [timing.seconds for timing in timings]
    last = timings[-1]
    return {
        "engine": row.engine,
        "padding": row.padding,
        "precision": row.precision,
        "seconds": statistics.median(seconds),
        "examples_per_second": last.examples / statistics.median(seconds),
        "repeats": seconds,
        "examples": last.examples,
        "updates": last.updates,
        "mean_training_loss": last.loss,
    }


def _fastest(measured: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The peer's faster precision for each padding."""
    peers = [row for row in measured if row["engine"] == PEER]
    paddings = dict.fromkeys(row["padding"] for row in peers)
    best = [min((row for row in peers if row["padding"] == padding), key=_seconds) for padding in paddings]
    return [{key: row[key] for key in ("padding", "precision", "seconds", "ratio")} for row in best]


def _seconds(row: Mapping[str, Any]) -> float:
    return float(row["seconds"])


def _facts(arguments: argparse.Namespace, problem: Problem) -> dict[str, Any]:
    import torch

    from benchmarks.engines import product_of_a_batch

    config, data = problem.config, problem.task.facts("train")
    _, optimizer = named(config.optim)
    facts = results.facts("finetuning", PACKAGES)
    return {
        **facts,
        "hardware": {**facts["hardware"], "device": problem.runtime.describe()},
        "threads": torch.get_num_threads(),
        "product_flops": product_of_a_batch(problem),
        "peak_flops": problem.runtime.peak_flops,
        "task": {
            "title": problem.facts.title,
            **{name: data[name] for name in ("documents", "examples", "windows", "words", "entities")},
            "classes": len(problem.task.representation.classes),
            "mean_tokens": statistics.mean(problem.lengths),
            "longest": max(problem.lengths),
        },
        "model": arguments.model or "random",
        "settings": {
            "epochs": config.budget.epochs,
            "repeats": arguments.repeats,
            "padding": config.max_length,
            "batch": config.batch.size,
            "micro_batch": config.batch.micro_batch,
            "dropout": config.dropout,
            "gradient_clipping": config.gradient_clipping,
            **optimizer,
        },
    }


def _names(config: FinetuneConfig) -> list[Any]:
    return [config.task[key] for key in ("name", "corpus") if key in config.task]


def table(result: Mapping[str, Any]) -> str:
    """The rows for people, in Markdown."""
    rows = [
        (
            *(row[name] for name in ("engine", "padding", "precision")),
            f"{row['seconds']:.2f}",
            f"{row['examples_per_second']:.1f}",
            f"{row['ratio']:.2f}",
            *markdown.rates(row["flops"], result["product_flops"], result["peak_flops"]),
        )
        for row in result["rows"]
    ]
    header = (
        "engine", "padded to", "precision", "seconds", "examples/s", "÷ ours", *markdown.RATES,
    )  # fmt: skip
    lines = [*markdown.table(header, 3, rows), ""]
    for best in result["fastest"]:
        padding, precision, ratio = best["padding"], best["precision"], best["ratio"]
        lines.append(f"{PEER}, padded to {padding}, at its fastest ({precision}): {ratio:.2f} × our seconds")
    return "\n".join(lines)


def plot(result: Mapping[str, Any], file: Path) -> None:
    """Examples a second of the rows."""
    bars = [
        figures.Bar(
            f"{row['engine']}, {row['precision']},\npadded to {row['padding']}",
            row["examples_per_second"],
            row["engine"] == OURS,
        )
        for row in result["rows"]
    ]
    figures.draw([figures.Panel("examples a second", bars, "{:,.1f}")], file)


def main() -> None:
    """Entry point of `python -m benchmarks.finetuning`."""
    arguments = parser().parse_intermixed_args()
    os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)  # read when torch is imported
    from transformers.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # of new heads, which are meant to be
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    running.run("finetuning", arguments, lambda folder: benchmark(arguments, folder), table, plot)


if __name__ == "__main__":
    main()
