"""An update whose numbers are not finite is left out with its data; a card without memory gets half as much at once."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_stepping import AHEAD, FP16
from test_trainer import EAGER, Recorder, Regression, trainer_of
from torch import Tensor, nn

from bertinchamps.contract import Batch, Output
from bertinchamps.schemas import BudgetConfig
from bertinchamps.training.clock import Clock
from bertinchamps.training.runtime import Runtime
from bertinchamps.training.updates import NonFiniteLoss


class Poisoned(Regression):
    """Positions whose targets are no numbers; without them, if `gone`."""

    def __init__(self, bad: range, gone: bool = False) -> None:
        super().__init__()
        self._bad, self._gone = bad, gone

    def batches(self, cursor: int, micro_batch: int, rank: int = 0, world_size: int = 1) -> Iterator[Batch]:
        for batch in super().batches(cursor, micro_batch, rank, world_size):
            if batch.next_cursor - micro_batch not in self._bad:
                yield batch
            elif not self._gone:
                yield replace(batch, inputs={**batch.inputs, "y": batch.inputs["y"] * math.nan})


@pytest.mark.parametrize("runtime", [EAGER, AHEAD])
def test_an_update_that_is_not_finite_is_left_out_with_its_data(
    runtime: Runtime, capsys: pytest.CaptureFixture[str]
) -> None:
    recorder = Recorder()
    trainer = trainer_of(Poisoned(range(20, 24)), 4, 12, runtime=runtime, retries=1, hooks=[recorder])
    trainer.fit()
    assert [update.step for update in recorder.updates] == list(range(1, 13))
    assert (trainer.step, trainer.cursor, trainer.clock.spent.positions) == (12, 52, 52)
    assert trainer.clock.spent.tokens == 48
    assert trainer.state()["left_out"] == [[20, 24]]
    told = capsys.readouterr().err
    assert (
        "update 6: its loss or gradient is not finite; left out, with positions 20 to 23 of the data (1 of 1 in"
        in told
    )
    good = trainer_of(Poisoned(range(20, 24), gone=True), 4, 12, runtime=runtime)
    good.fit()
    for mine, theirs in zip(trainer.model.parameters(), good.model.parameters(), strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize("runtime", [EAGER, AHEAD])
def test_too_many_in_a_row_end_the_run_and_others_in_between_do_not(runtime: Runtime) -> None:
    class Often(Poisoned):
        def __init__(self) -> None:
            super().__init__(range(0, 400, 3))  # micro-batches of 4: one of three

    trainer = trainer_of(Often(), 4, 12, runtime=runtime, retries=1)
    trainer.fit()
    assert len(trainer.state()["left_out"]) >= 4
    trainer = trainer_of(Poisoned(range(20, 400)), 4, 12, runtime=runtime, retries=2)
    with pytest.raises(
        NonFiniteLoss, match=r"update 6: .* on positions 28 to 31 of the data. So it was on the 2 upd"
    ):
        trainer.fit()
    assert (trainer.step, trainer.cursor) == (5, 28)
    assert all(parameter.isfinite().all() for parameter in trainer.model.parameters())


class Small(Regression):
    """On a card that has memory for two sequences at once."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most, self.seen = most, list[int]()

    def batches(self, cursor: int, micro_batch: int, rank: int = 0, world_size: int = 1) -> Iterator[Batch]:
        for batch in super().batches(cursor, micro_batch, rank, world_size):
            yield replace(
                batch,
                inputs={**batch.inputs, "used": torch.ones(micro_batch, dtype=torch.bool)},
                targets=micro_batch,
            )

    def loss(self, model: nn.Module, inputs: Mapping[str, Tensor]) -> Output:
        if len(inputs["x"]) > self._most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.seen.append(len(inputs["x"]))
        return super().loss(model, inputs)


@pytest.mark.parametrize("runtime", [EAGER, AHEAD, FP16])
def test_a_card_without_memory_gets_half_as_much_and_the_update_is_the_same(
    runtime: Runtime, capsys: pytest.CaptureFixture[str]
) -> None:
    recorders = []
    for most in (2, 4):
        recorders.append(Recorder())
        task = Small(most)
        trainer = trainer_of(task, 8, 6, runtime=runtime, hooks=[recorders[-1]])
        trainer.fit()
        assert task.seen == ([2] * 4 * 6 if most == 2 else [4] * 2 * 6)
        assert (trainer.cursor, trainer.clock.spent.tokens) == (48, 48)
    halved, whole = ([update.loss for update in recorder.updates] for recorder in recorders)
    assert halved == pytest.approx(whole, rel=1e-4)
    assert [update.sequences for update in recorders[0].updates] == [8] * 6
    assert (
        "2 sequences go through the model at once from now on; an update averages as many as"
        in capsys.readouterr().err
    )


def test_where_one_sequence_is_too_much_the_error_is_told() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        trainer_of(Small(0), 8, 6).fit()


def test_a_run_counts_what_it_left_out(quick_run: object, tmp_path: Path) -> None:
    run = quick_run("budget.steps=2", "checkpoint.every_steps=1")  # type: ignore[operator]
    state = json.loads((run / "checkpoints" / "step-00000002" / "resume" / "state.json").read_text())
    assert state["left_out"] == []


def test_a_clock_that_jumps_changes_no_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    hours = iter(range(10**9, 0, -(10**6)))  # set back by days at each look
    monkeypatch.setattr(time, "time", lambda: float(next(hours)))
    trainer = trainer_of(Regression(), 4, 12)
    trainer.clock = Clock(BudgetConfig(hours=1, steps=12), 100, 1.0)
    trainer.fit()
    assert trainer.step == 12
    assert 0 < trainer.clock.spent.seconds < 600
