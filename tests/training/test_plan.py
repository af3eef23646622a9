"""What is said of a run before it begins."""

from __future__ import annotations

import time

from bertinchamps.schemas import BatchConfig, BudgetConfig
from bertinchamps.training.clock import Clock, Spent
from bertinchamps.training.plan import length, plan_lines


def plan(budget: BudgetConfig, spent: Spent | None = None, ramp: float = 0.0) -> str:
    noon = time.mktime((2026, 11, 27, 12, 0, 0, 0, 0, -1))
    [line] = plan_lines(Clock(budget, 100, 1.0, spent), BatchConfig(size=8, ramp=ramp), noon)
    return line.removeprefix("budget     ")


def test_the_budget_in_words() -> None:
    assert plan(BudgetConfig(hours=1.5)) == "1 h 30 min (until about 13:30)"
    assert plan(BudgetConfig(hours=24)) == "24 h 00 min (until about 2026-11-28 12:00)"
    assert plan(BudgetConfig(epochs=4)) == "4 epochs (50 updates of 8)"
    assert plan(BudgetConfig(epochs=4), ramp=0.5) == "4 epochs"
    assert (
        plan(BudgetConfig(steps=2000, tokens=10**6))
        == "2,000 updates or 1,000,000 tokens, whichever is first"
    )
    resumed = plan(BudgetConfig(hours=2), Spent(seconds=3600, steps=70))
    assert resumed == "2 h 00 min (until about 13:00); 70 updates are done"


def test_lengths_of_time() -> None:
    assert [length(seconds) for seconds in (4, 89, 120, 5340, 7500)] == [
        "4 s",
        "89 s",
        "2 min",
        "89 min",
        "2 h 05 min",
    ]
