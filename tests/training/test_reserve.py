"""What hooks measure is their own time, not that of an update which the device still works at."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from test_stepping import AHEAD, Machine
from test_trainer import Regression, trainer_of
from torch import nn

from bertinchamps.contract import Output
from bertinchamps.schemas import BudgetConfig, CheckpointConfig, EvaluationConfig, SelectionConfig
from bertinchamps.training.clock import Clock
from bertinchamps.training.hooks import (
    BudgetBar,
    Checkpoints,
    Evaluation,
    MetricsLog,
    Selection,
    read_metrics,
)
from bertinchamps.training.runtime import Runtime
from bertinchamps.training.trackers import trackers
from bertinchamps.training.trainer import RESERVE_MARGIN

SECONDS = 2.0


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A device that takes ten seconds for an update."""
    machine = Machine()
    monkeypatch.setattr(Runtime, "fetch", lambda self, numbers: machine.fetch(self, numbers))
    monkeypatch.setattr("time.perf_counter", lambda: machine.now)
    return machine


@pytest.mark.parametrize("kind", ["evaluation", "selection"])
def test_the_time_that_is_kept_for_an_evaluation_is_that_of_one(
    kind: str, machine: Machine, tmp_path: Path
) -> None:
    class Scored(Regression):
        def evaluate(self, model: nn.Module) -> dict[str, float]:
            machine.now += SECONDS
            return {"loss": 0.0}

    log = MetricsLog(
        tmp_path / "metrics.jsonl", 0, trackers.build("none", run_dir=tmp_path, settings={}), print
    )
    hook = (
        Evaluation(EvaluationConfig(every=0.4), log, BudgetBar())
        if kind == "evaluation"
        else Selection(SelectionConfig(every_epochs=0.04), "loss", log, BudgetBar())
    )
    trainer = trainer_of(Scored(), size=4, steps=4, runtime=AHEAD, hooks=[hook])
    trainer.fit()
    measured = [record["evaluation_seconds"] for record in read_metrics(tmp_path / "metrics.jsonl")]
    assert len(measured) > 2  # between updates, too
    assert measured == [SECONDS] * len(measured)
    assert trainer.reserve["evaluation"] == pytest.approx(RESERVE_MARGIN * SECONDS)


def test_the_time_that_is_kept_for_a_checkpoint_is_that_of_one(machine: Machine, tmp_path: Path) -> None:
    def save(folder: Path) -> None:
        machine.now += SECONDS
        (folder / "model").write_text("weights")

    hook = Checkpoints(CheckpointConfig(every_steps=3), tmp_path, save, BudgetBar())
    trainer = trainer_of(Regression(), size=4, steps=4, runtime=AHEAD, hooks=[hook])
    trainer.fit()
    assert (tmp_path / "checkpoints" / "step-00000003" / "model").is_file()
    assert trainer.reserve["checkpoint"] == pytest.approx(RESERVE_MARGIN * SECONDS)


def test_evaluations_take_three_percent_of_the_hours_at_most(machine: Machine, tmp_path: Path) -> None:
    class Timed(Regression):
        def loss(self, model: nn.Module, inputs: Mapping[str, torch.Tensor]) -> Output:
            machine.now += 1.0
            return super().loss(model, inputs)

        def evaluate(self, model: nn.Module) -> dict[str, float]:
            machine.now += SECONDS
            return {"loss": 0.0}

    def run(hours: float) -> list[dict[str, Any]]:
        log = MetricsLog(
            tmp_path / "metrics.jsonl", 0, trackers.build("none", run_dir=tmp_path, settings={}), print
        )
        hook = Evaluation(EvaluationConfig(every=0.1), log, BudgetBar())
        trainer = trainer_of(Timed(), size=4, steps=10**6, hooks=[hook])
        trainer.clock = Clock(BudgetConfig(hours=hours), 100, 1.0, now=lambda: machine.now)
        trainer.fit()
        records = read_metrics(tmp_path / "metrics.jsonl")
        assert sum(record["evaluation_seconds"] for record in records) <= 0.03 * 3600 * hours
        return records

    enough_for_forty, enough_for_six = (times * SECONDS / 0.03 / 3600 for times in (40, 6))
    assert len(run(enough_for_forty)) == 11
    records = run(enough_for_six)
    assert 3 <= len(records) <= 6
    assert records[0]["step"] == 0
    assert records[-1]["seconds"] > 0.9 * 3600 * enough_for_six  # after the last update, too
