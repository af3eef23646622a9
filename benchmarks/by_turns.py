"""Variants of a pretraining run, trained by turns in one process: the time of an update of each."""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import markdown, pretraining_problem, running


def add_options(words: argparse.ArgumentParser) -> None:
    """Those of `pretraining_problem`, and how long is measured."""
    pretraining_problem.add_options(words)
    words.add_argument("--updates", type=int, default=2, help="of each model in a turn (%(default)s)")
    words.add_argument("--turns", type=int, default=5, help="(%(default)s)")


def updates(arguments: argparse.Namespace, variants: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """A row for each variant: seconds of an update, the median of its turns, and its ratio to the first variant's.

    On a processor the seconds are this process' own (of all its threads), on a GPU those of the clock.

    Args:
        arguments: of the command line.
        variants: settings of each, by its name.
    """
    import torch

    from benchmarks.devices import now
    from benchmarks.pretraining_rows import trainer_of
    from bertinchamps.training.hook import Hook
    from bertinchamps.training.runtime import build_runtime

    trainers: dict[str, Any] = {}
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    with tempfile.TemporaryDirectory() as folder:
        for name, settings in variants.items():
            config = pretraining_problem.composed(arguments, [*settings, "budget.steps=1"])
            runtime, corpus = (
                build_runtime(config.runtime),
                pretraining_problem.random_corpus(config, Path(folder)),
            )
            trainers[name] = trainer_of(config, corpus, runtime, Hook())
            trainers[name].hooks = ()
            trainers[name].fit()  # compiles, and allocates
        on_gpu = runtime.device.type == "cuda"
        for turn in range(arguments.turns):
            for name in running.rotated(list(variants), turn):
                trainer = trainers[name]
                trainer.clock.allow(replace(config.budget, steps=trainer.step + arguments.updates))
                began = now(runtime.device) if on_gpu else time.process_time()
                trainer.fit()
                ended = now(runtime.device) if on_gpu else time.process_time()
                seconds[name].append((ended - began) / arguments.updates)
    rows = {name: statistics.median(found) for name, found in seconds.items()}
    first = next(iter(rows.values()))
    return [
        {"name": name, "seconds": found, "ratio": found / first, "torch": torch.__version__}
        for name, found in rows.items()
    ]


def table(rows: Sequence[Mapping[str, Any]], what: str, of: str) -> list[str]:
    """The rows of `updates` as lines of markdown.

    Args:
        rows: of `updates`.
        what: names the first column.
        of: names the first variant.
    """
    shown = [(row["name"], f"{row['seconds']:.3f}", f"{row['ratio']:.3f}") for row in rows]
    return list(markdown.table((what, "seconds an update", f"of {of}"), 1, shown))
