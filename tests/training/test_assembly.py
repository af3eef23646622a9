"""A run is put together in one place: it can be fitted again, off the main thread, with hooks that carry state."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch

from bertinchamps.checks.pretraining import problems
from bertinchamps.data.preparation import prepare
from bertinchamps.errors import Stopped
from bertinchamps.objectives import build_objective
from bertinchamps.schemas import BatchConfig, PretrainConfig
from bertinchamps.training.assembly import Training, assemble
from bertinchamps.training.distributed import Processes
from bertinchamps.training.hook import Hook, hooks
from bertinchamps.training.hooks import Evaluation
from bertinchamps.training.plan import idle_lines
from bertinchamps.training.run import open_run
from bertinchamps.training.runtime import build_runtime
from bertinchamps.training.trainer import Trainer
from bertinchamps.training.updates import Update
from support import QUICK, composed, losses, metrics

PLAIN = [*QUICK, "schedule=constant", "batch.ramp=0", "arch.dropout=0.1"]


@hooks.register("counting")
class Counting(Hook):
    """Counts updates, and asks for a stop after some of them.

    Args:
        stop_after: updates of one process' life; 0: never.
    """

    seen: list[int] = []  # noqa: RUF012, of the test

    def __init__(self, stop_after: int = 0) -> None:
        self._stop_after, self._here, self._count = stop_after, 0, 0

    def observe(self, trainer: Trainer, update: Update) -> None:
        self._count += 1
        self._here += 1
        self.seen.append(self._count)
        trainer.stop_requested = trainer.stop_requested or self._here == self._stop_after

    def save(self, folder: Path) -> None:
        (folder / "counting.json").write_text(json.dumps(self._count), encoding="utf-8")

    def load(self, folder: Path) -> None:
        self._count = json.loads((folder / "counting.json").read_text(encoding="utf-8"))


def training_of(config: PretrainConfig, more: list[Hook], flops: Any = None) -> Training:
    corpus = prepare(config, print)
    runtime = build_runtime(config.runtime)
    objective = build_objective(config, corpus, runtime.device)
    if flops is not None:
        objective.flops_per_token = flops  # type: ignore[method-assign]
    run = open_run("pretrain", config, corpus.fingerprint, "assembly", print)
    return assemble(config, objective, runtime, run, partial(Evaluation, config.evaluation), more_hooks=more)


def test_a_fit_off_the_main_thread_goes_on_where_the_one_before_ended(tmp_path: Path) -> None:
    whole = composed(*PLAIN, "budget.steps=6", f"run_dir={tmp_path / 'whole'}")
    with training_of(whole, []) as reference:
        reference.fit()
    rounds = composed(*PLAIN, "budget.steps=3", f"run_dir={tmp_path / 'rounds'}")
    counting = Counting()
    with training_of(rounds, []) as training:
        training.fit()
        training.trainer.clock.allow(replace(rounds.budget, steps=6))
        training.trainer.hooks = [*training.trainer.hooks, counting]
        thread = Thread(target=training.fit)
        thread.start()
        thread.join()
        training.conclude()
    assert training.trainer.step == 6
    assert counting._count == 3
    assert losses(tmp_path / "rounds") == losses(tmp_path / "whole")
    pairs = zip(training.trainer.model.parameters(), reference.trainer.model.parameters(), strict=True)
    assert all(torch.equal(ours, theirs) for ours, theirs in pairs)


def test_the_state_of_a_configured_hook_is_in_checkpoints(quick_run: Callable[..., Path]) -> None:
    Counting.seen.clear()
    budget = "budget.steps=5"
    with pytest.raises(Stopped):
        quick_run(budget, "hooks=[{name: counting, stop_after: 2}]")
    assert Counting.seen == [1, 2]
    with pytest.raises(Exception, match="was started with other settings"):
        quick_run(budget, "resume=auto", "hooks=[{name: counting, stop_after: 3}]")
    with pytest.raises(Stopped):
        quick_run(budget, "resume=auto", "hooks=[{name: counting, stop_after: 2}]")
    run = quick_run(budget, "resume=auto", "hooks=[{name: counting, stop_after: 2}]")
    assert Counting.seen == [1, 2, 3, 4, 5]
    assert len(metrics(run)) == 5


def test_a_hook_that_does_not_exist_is_told_with_the_menu() -> None:
    config = composed(*PLAIN, "budget.steps=1", "hooks=[{name: countin}]")
    assert problems(config) == ["hooks=countin: no such hook; did you mean 'counting'? (one of: counting)"]


def test_flops_may_depend_on_progress(tmp_path: Path) -> None:
    config = composed(*PLAIN, "budget.steps=4", f"run_dir={tmp_path / 'run'}")
    with training_of(config, [], flops=lambda model: lambda progress: 100.0 * (1 + progress)) as training:
        training.fit()
    tokens = config.batch.size * config.blocks.sequence_length
    spent = training.trainer.clock.spent
    assert spent.flops == pytest.approx(100.0 * tokens * (1.0 + 1.25 + 1.5 + 1.75))


def test_a_run_of_a_version_that_knew_fewer_settings_goes_on(quick_run: Callable[..., Path]) -> None:
    run = quick_run("budget.steps=2", "checkpoint.every_steps=1")
    (run / "summary.json").unlink()
    settings = (run / "config.yaml").read_text(encoding="utf-8")
    assert "hooks: []\n" in settings
    (run / "config.yaml").write_text(settings.replace("hooks: []\n", ""), encoding="utf-8")
    assert quick_run("budget.steps=2", "checkpoint.every_steps=1", f"resume={run}") == run


def test_processes_without_a_micro_batch_are_reported() -> None:
    batch = BatchConfig(micro_batch=8, size=16, ramp=0.0)
    assert idle_lines(batch, Processes(world_size=2)) == []
    (note,) = idle_lines(batch, Processes(world_size=3))
    assert "3 processes share 2 micro-batches an update" in note
