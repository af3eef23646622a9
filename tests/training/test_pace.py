"""How long the next update should take, by what is known so far."""

from __future__ import annotations

import pytest
import torch
from test_trainer import EAGER, Regression, trainer_of

from bertinchamps.schemas import BudgetConfig
from bertinchamps.training.clock import Clock
from bertinchamps.training.pace import Pace


def test_one_update_tells_how_long_the_next_takes() -> None:
    pace = Pace(compiled=False)
    assert pace.update(4) == 0.0
    pace.learn(8.0, rounds=2)
    assert pace.update(4) == 16.0


def test_an_update_that_compiled_tells_nothing() -> None:
    pace = Pace(compiled=True)
    pace.learn_first(60.0)
    assert pace.first_update(1) == 0.0
    pace.learn(60.0, rounds=1)
    assert pace.update(1) == 0.0
    pace.learn(3.0, rounds=1)
    assert pace.update(1) == 3.0


def test_micro_batches_tell_of_the_first_update_and_are_forgotten_then() -> None:
    pace = Pace(compiled=True)
    pace.learn_first(60.0)
    pace.learn_first(5.0)
    assert pace.first_update(3) == 15.0
    pace.learn(80.0, rounds=4)
    assert pace.update(1) == 5.0
    pace.learn(28.0, rounds=4)
    assert pace.first_update(3) == 0.0
    assert pace.update(1) == 7.0


def test_one_slow_update_among_many_is_forgotten() -> None:
    pace = Pace(compiled=False)
    for seconds in (1.0, 1.0, 50.0, 1.0, 1.0):
        pace.learn(seconds, rounds=1)
    assert pace.update(2) == 2.0


@pytest.mark.parametrize(("micro_batches", "hours_end"), [(4, 110.0), (1, 110.0)])
def test_a_slow_machine_does_not_overrun_by_an_update(
    micro_batches: int, hours_end: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every micro-batch takes 40 seconds: four are never begun to the end, of single ones two fit."""
    now = 0.0

    class Slow(Regression):
        def loss(self, model, inputs):  # type: ignore[no-untyped-def]
            nonlocal now
            now += 40.0
            return super().loss(model, inputs)

    monkeypatch.setattr("time.perf_counter", lambda: now)
    trainer = trainer_of(Slow(), size=4 * micro_batches, steps=100, runtime=EAGER)
    trainer.clock = Clock(BudgetConfig(hours=hours_end / 3600), 100, 1.0, now=lambda: now)
    before = [parameter.clone() for parameter in trainer.model.parameters()]
    trainer.fit()
    assert now <= hours_end
    assert trainer.step == (2 if micro_batches == 1 else 0)
    unchanged = all(
        torch.equal(mine, old) for mine, old in zip(trainer.model.parameters(), before, strict=True)
    )
    assert unchanged is (trainer.step == 0)
