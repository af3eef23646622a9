"""Budgets become progress: whichever way they are given, the smallest wins, and time ends on time."""

from __future__ import annotations

import pytest

from bertinchamps.schemas import BudgetConfig
from bertinchamps.training.clock import Clock, Spent, budget_problems, most_flops


class FakeTime:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def clock_of(budget: BudgetConfig, time: FakeTime | None = None, spent: Spent | None = None) -> Clock:
    clock = Clock(budget, epoch_length=50, flops_per_token=10.0, spent=spent, now=time or FakeTime())
    clock.start()
    return clock


@pytest.mark.parametrize(
    ("budget", "updates"),
    [
        (BudgetConfig(steps=4), 4),
        (BudgetConfig(tokens=1000), 10),  # 100 tokens an update
        (BudgetConfig(epochs=2), 20),  # 5 positions an update, 50 an epoch
        (BudgetConfig(flops=3000), 3),  # 10 FLOP a token
        (BudgetConfig(steps=100, tokens=1000, epochs=2, flops=7000), 7),
    ],
)
def test_each_budget_ends_after_its_own_unit_and_the_smallest_wins(
    budget: BudgetConfig, updates: int
) -> None:
    clock = clock_of(budget)
    done = 0
    while not clock.finished():
        assert clock.progress() == pytest.approx(done / updates)
        clock.spend(tokens=100, positions=5)
        done += 1
    assert done == updates


def test_hours_run_from_the_first_batch_and_keep_a_reserve_for_the_end() -> None:
    time = FakeTime()
    clock = Clock(BudgetConfig(hours=1), 50, 10.0, now=time)
    time.seconds += 500  # preparation: not counted
    clock.start()
    clock.reserve = 600
    time.seconds += 1500
    assert clock.progress() == pytest.approx(1500 / 3000)
    assert not clock.finished()
    assert clock.finished(next_update_seconds=2200)
    time.seconds += 1500
    assert clock.finished()
    assert clock.progress() == 1.0


def test_a_resumed_clock_has_the_same_budget_left() -> None:
    time = FakeTime()
    first = clock_of(BudgetConfig(hours=1, steps=10), time)
    time.seconds += 900
    first.spend(100, 5)
    again = clock_of(BudgetConfig(hours=1, steps=10), FakeTime(), first.spent)
    assert again.progress() == pytest.approx(first.progress())
    assert again.spent == first.spent


def test_time_stands_still_once_stopped() -> None:
    time = FakeTime()
    clock = clock_of(BudgetConfig(hours=1), time)
    time.seconds += 60
    clock.stop()
    time.seconds += 60
    assert clock.spent.seconds == 60


def test_the_binding_budget_is_named_in_its_own_unit() -> None:
    clock = clock_of(BudgetConfig(steps=100, epochs=1))
    clock.spend(100, 25)
    assert clock.binding() == ("epochs", 0.5, 1)


def test_mistakes_in_a_budget_are_named() -> None:
    assert "+budget=10m" in budget_problems(BudgetConfig())[0]
    assert budget_problems(BudgetConfig(hours=0, steps=-3, tokens=5)) == [
        "budget.hours=0: must be above zero",
        "budget.steps=-3: must be above zero",
    ]


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (BudgetConfig(hours=2), 2 * 3600 * 100),
        (BudgetConfig(steps=7), 7 * 20 * 3),
        (BudgetConfig(tokens=50), 50 * 3),
        (BudgetConfig(epochs=0.5), 0.5 * 1000 * 3),
        (BudgetConfig(flops=10, hours=2, steps=7), 10),
    ],
)
def test_the_most_a_budget_can_buy(budget: BudgetConfig, expected: float) -> None:
    assert most_flops(budget, 100.0, flops_per_token=3.0, tokens_per_step=20, tokens=1000) == expected
