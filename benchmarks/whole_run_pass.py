"""One pass of benchmarks.whole_run, in a process of its own: pretraining with a stopwatch around its parts.

The engine is as it is. Its seams are wrapped from outside: the runtime's feed and compiled loss, the hooks, the
optimizer, the functions of PyTorch that differentiate and clip.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import torch

from benchmarks import whole_run_parts
from benchmarks.devices import now, peak_memory, product_flops
from benchmarks.pretraining_problem import composed, random_corpus
from bertinchamps import pretrain
from bertinchamps.console import tell
from bertinchamps.contract import Batch
from bertinchamps.schemas import PretrainConfig
from bertinchamps.training import assembly, checkpoint
from bertinchamps.training import runtime as runtimes
from bertinchamps.training.distributed import ALONE
from bertinchamps.training.hook import Hook
from bertinchamps.training.hooks import Checkpoints, Evaluation, read_metrics
from bertinchamps.training.run import open_run
from bertinchamps.training.runtime import Runtime
from bertinchamps.training.trainer import Trainer
from bertinchamps.training.updates import Update

Answer = TypeVar("Answer")

EVALUATIONS_EVERY = 0.25  # of the run
CHECKPOINTS = 2  # in the run, besides the model at its end


class Parts:
    """Charges every moment to one part: the innermost that is open.

    Args:
        part: that is open at the start.
        clock: seconds.
    """

    def __init__(self, part: str, clock: Callable[[], float]) -> None:
        self._open, self._clock = part, clock
        self._since = clock()
        self.seconds: Counter[str] = Counter()
        self.updates: list[dict[str, float]] = []
        self._before: Counter[str] = Counter()

    def turn_to(self, part: str) -> str:
        """Open a part from now on; returns the one that was open."""
        at, before = self._clock(), self._open
        self.seconds[before] += at - self._since
        self._open, self._since = part, at
        return before

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Charge what happens inside to a part."""
        before = self.turn_to(name)
        try:
            yield
        finally:
            self.turn_to(before)

    def wrapped(self, name: str, function: Callable[..., Answer]) -> Callable[..., Answer]:
        """The function, charged to a part."""

        @functools.wraps(function)
        def call(*arguments: Any, **named: Any) -> Answer:
            with self.part(name):
                return function(*arguments, **named)

        return call

    def begin_updates(self) -> None:
        """What was charged before belongs to no update."""
        self.turn_to(self._open)
        self._before = self.seconds.copy()

    def end_update(self) -> None:
        """What was charged since the last one's end belongs to this update."""
        self.turn_to(self._open)
        self.updates.append({name: self.seconds[name] - self._before[name] for name in self.seconds})
        self._before = self.seconds.copy()


@dataclass(frozen=True)
class TimedRuntime(Runtime):
    """A runtime whose loss and feed are charged."""

    parts: Parts = field(kw_only=True)

    def compile(self, function: Callable[..., Any], one_graph: bool = True) -> Callable[..., Any]:
        """The loss."""
        return self.parts.wrapped(whole_run_parts.FORWARD, super().compile(function, one_graph))

    def feed(self, batches: Iterator[Batch], ahead: int) -> Generator[Batch]:
        """Batches on the device; waiting for them is charged by the reader inside."""
        stream = super().feed(batches, ahead)
        yield from _charged(stream, self.parts, whole_run_parts.MOVING)


def _charged(stream: Generator[Batch], parts: Parts, name: str) -> Generator[Batch]:
    """The same batches; the time until each is there is charged."""
    with contextlib.closing(stream):
        while True:
            with parts.part(name):
                batch = next(stream, None)
            if batch is None:
                return
            yield batch


class TimedHook(Hook):
    """A hook, charged to its part."""

    def __init__(self, hook: Hook, parts: Parts) -> None:
        kinds = ((Evaluation, whole_run_parts.EVALUATION), (Checkpoints, whole_run_parts.CHECKPOINTS))
        name = next((part for kind, part in kinds if isinstance(hook, kind)), whole_run_parts.LOGGING)
        self._before = parts.wrapped(name, hook.before_training)
        self._after_update = parts.wrapped(name, hook.after_update)
        self._observe = parts.wrapped(name, hook.observe)
        self._after = parts.wrapped(name, hook.after_training)
        self._before_model = parts.wrapped(name, hook.before_model)

    def before_training(self, trainer: Trainer) -> None:
        self._before(trainer)

    def after_update(self, trainer: Trainer) -> None:
        self._after_update(trainer)

    def observe(self, trainer: Trainer, update: Update) -> None:
        self._observe(trainer, update)

    def after_training(self, trainer: Trainer) -> None:
        self._after(trainer)

    def before_model(self, trainer: Trainer) -> None:
        self._before_model(trainer)


class UpdateBorders(Hook):
    """The last hook: what comes after it belongs to the next update."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.tokens: list[int] = []

    def before_training(self, trainer: Trainer) -> None:
        self._parts.begin_updates()

    def after_update(self, trainer: Trainer) -> None:
        self._parts.end_update()

    def observe(self, trainer: Trainer, update: Update) -> None:
        self.tokens.append(update.tokens)


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Seconds of the parts of one run, and its rates.

    Raises:
        RuntimeError: the engine no longer goes through a seam that is wrapped here.
    """
    waits, cuda = arguments.waits == "waiting", torch.cuda.is_available()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        config = _config(arguments, folder / "run")
        corpus = random_corpus(config, folder)
        device = torch.device("cuda" if cuda and config.runtime.device != "cpu" else "cpu")
        run = open_run("pretrain", config, corpus.fingerprint, "whole-run", tell)
        now(device)  # starts the device, so that both passes find it started
        clock = functools.partial(now, device) if waits else time.perf_counter
        began = clock()
        parts = Parts(whole_run_parts.BUILDING, clock)
        with run.lock, _wrapped(parts) as made:
            pretrain.train(config, corpus, run, ALONE)
        parts.turn_to(whole_run_parts.ELSE)
        wall = clock() - began
        records = read_metrics(run.folder / "metrics.jsonl")
    missing = [
        part for part in (*whole_run_parts.MODEL, whole_run_parts.WAITING) if part not in parts.seconds
    ]
    if missing:
        raise RuntimeError(f"nothing was charged to {', '.join(missing)}: the engine has changed its seams")
    runtime, borders = made.trainer.runtime, made.borders
    return {
        "cuda": device.type == "cuda",
        "device": runtime.describe(),
        "wall_seconds": wall,
        "seconds": parts.seconds,
        "updates": parts.updates,
        "evaluations": sum(record["kind"] == "held_out" for record in records),
        "checkpoints": made.checkpoints + 1,  # and the model
        "tokens": borders.tokens,
        "flops_per_token": made.trainer.clock.flops_per_token,
        "memory_megabytes": peak_memory(device),
        "product_flops": product_flops(
            runtime, config.batch.micro_batch * config.blocks.sequence_length, config.arch
        ),
        "peak_flops": runtime.peak_flops,
        "peak_origin": runtime.peak_origin,
    }


def _config(arguments: argparse.Namespace, run: Path) -> PretrainConfig:
    words = [
        f"budget.steps={arguments.updates}",
        f"evaluation.every={EVALUATIONS_EVERY}",
        f"checkpoint.every_steps={max(1, arguments.updates // CHECKPOINTS)}",
        f"runtime.precision={arguments.precision}",
        f"runtime.compile={arguments.compile}",
        f"run_dir={json.dumps(str(run))}",
    ]
    return composed(arguments, words)


@dataclass
class Made:
    """What the run made: its trainer, the hook at the border of updates, and so many checkpoints."""

    trainer: Trainer = field(init=False)
    borders: UpdateBorders
    checkpoints: int = 0


@contextlib.contextmanager
def _wrapped(parts: Parts) -> Iterator[Made]:
    """While this is open, the trainer that is built is charged to the parts."""
    made = Made(UpdateBorders(parts))

    class TimedTrainer(Trainer):
        def __init__(self, **given: Any) -> None:
            given["hooks"] = [*(TimedHook(hook, parts) for hook in given["hooks"]), made.borders]
            given["runtime"] = TimedRuntime(**vars(given["runtime"]), parts=parts)
            optimizer = given["optimizer"]
            for name in ("step", "zero_grad"):
                setattr(optimizer, name, parts.wrapped(whole_run_parts.OPTIMIZER, getattr(optimizer, name)))
            super().__init__(**given)
            made.trainer = self

        def fit(self) -> None:
            with parts.part(whole_run_parts.ELSE):
                super().fit()
            parts.turn_to(whole_run_parts.ENDING)

    def read_ahead(*given: Any, **named: Any) -> Generator[Batch]:
        return _charged(original_reader(*given, **named), parts, whole_run_parts.WAITING)

    def write(*given: Any, **named: Any) -> None:
        made.checkpoints += 1
        original_write(*given, **named)

    original_reader: Any = runtimes.read_ahead
    original_write: Any = checkpoint.write
    clip, backward = torch.nn.utils.clip_grad_norm_, torch.Tensor.backward
    with (
        mock.patch.object(assembly, "Trainer", TimedTrainer),
        mock.patch.object(runtimes, "read_ahead", read_ahead),
        mock.patch.object(checkpoint, "write", write),
        mock.patch.object(torch.nn.utils, "clip_grad_norm_", parts.wrapped(whole_run_parts.CLIPPING, clip)),
        mock.patch.object(torch.Tensor, "backward", parts.wrapped(whole_run_parts.BACKWARD, backward)),
    ):
        yield made
