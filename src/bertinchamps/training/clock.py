"""Budgets become progress here, and nowhere else.

Progress runs from 0 to 1 and is the only clock that schedules see. Progress is the largest used share of
the given limits, so the smallest budget wins. The rules of the budget are in docs/budget.md.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from bertinchamps.schemas import BudgetConfig

SHARE_OF_HOURS_RESERVED = 0.002  # smallest share of the hours kept for the last evaluation and checkpoint


@dataclass
class Spent:
    """What a run has used so far, over all its resumptions: the whole state of `Clock`."""

    seconds: float = 0.0
    steps: int = 0
    tokens: int = 0
    positions: int = 0
    flops: float = 0.0  # with `sparsity`, at the density of the moment
    flops_dense: float = 0.0  # as if no weight were held at zero

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> Spent:
        """From a checkpoint; those of earlier versions have no zeros, and one count of FLOPs."""
        return cls(**{"flops_dense": state.get("flops", 0.0), **state})


class Clock:
    """Measures what is spent against the budget.

    Wall time runs from `start` (the first batch) to `stop` (the end of training), with compilation, evaluations and
    checkpoints inside. `reserve` seconds are kept for the last evaluation and the last checkpoint.

    Args:
        budget: the limits; a limit of None does not count.
        epoch_length: positions in one epoch.
        flops_per_token: model FLOPs, forward and backward; a function of progress where they change while training.
        spent: from a checkpoint.
        now: the time in seconds.
        dense_flops_per_token: the same without zeros, where weights are held at zero; None: there are none.
    """

    def __init__(
        self,
        budget: BudgetConfig,
        epoch_length: int,
        flops_per_token: float | Callable[[float], float],
        spent: Spent | None = None,
        now: Callable[[], float] = time.monotonic,
        dense_flops_per_token: float | Callable[[float], float] | None = None,
    ) -> None:
        self.epoch_length, self._flops_per_token = epoch_length, flops_per_token
        self._dense_flops_per_token = (
            flops_per_token if dense_flops_per_token is None else dense_flops_per_token
        )
        self.allow(budget)
        self.reserve = 0.0
        self._spent = spent or Spent()
        self._now = now
        self._started_at: float | None = None
        self._seconds_before = self._spent.seconds

    def allow(self, budget: BudgetConfig) -> None:
        """Set the limits, which count from the beginning of the run: what is spent stays spent."""
        limits = {f.name: getattr(budget, f.name) for f in fields(budget)}
        self.limits = {name: limit for name, limit in limits.items() if limit is not None}

    @property
    def flops_per_token(self) -> float:
        """Model FLOPs per token at the present progress, forward and backward: what the budget counts."""
        return self._now_of(self._flops_per_token)

    @property
    def dense_flops_per_token(self) -> float:
        """The same as if no weight were held at zero: what ordinary hardware computes."""
        return self._now_of(self._dense_flops_per_token)

    def _now_of(self, flops: float | Callable[[float], float]) -> float:
        return flops(self.progress()) if callable(flops) else flops

    def start(self) -> None:
        """Start wall time: the first batch comes next."""
        self._started_at = self._now()

    def stop(self) -> None:
        """Stop wall time: training is over."""
        self._seconds_before = self.spent.seconds
        self._started_at = None

    def spend(self, tokens: int, positions: int) -> None:
        """Count one update.

        Args:
            tokens: that the update read.
            positions: of the data stream that the update consumed.
        """
        flops, dense = tokens * self.flops_per_token, tokens * self.dense_flops_per_token
        self._spent.flops += flops  # before progress moves on
        self._spent.flops_dense += dense
        self._spent.steps += 1
        self._spent.tokens += tokens
        self._spent.positions += positions

    def leave_out(self, positions: int) -> None:
        """Count positions of the data stream that no update consumed: an epoch is over without them."""
        self._spent.positions += positions

    def rewind(self, spent: Spent) -> None:
        """Go back to `spent`, before updates that were skipped; the seconds of those updates stay spent."""
        self._spent = replace(spent, seconds=self.spent.seconds)

    def follow(self, seconds: float, reserve: float) -> None:
        """Take over the clock of rank 0, which counts for all processes of a job."""
        self._seconds_before += seconds - self.spent.seconds
        self.reserve = reserve

    @property
    def spent(self) -> Spent:
        """A copy of the current state."""
        if self._started_at is not None:
            self._spent.seconds = self._seconds_before + self._now() - self._started_at
        return Spent(**asdict(self._spent))

    def used(self) -> dict[str, float]:
        """The used share of each given limit; above 1: overrun."""
        spent = self.spent
        amounts = {
            "hours": spent.seconds / 3600,
            "steps": float(spent.steps),
            "tokens": float(spent.tokens),
            "epochs": spent.positions / self.epoch_length,
            "flops": spent.flops,
        }
        limits = dict(self.limits)
        if "hours" in limits:
            limits["hours"] = self._hours_for_updates()
        return {name: amounts[name] / limit for name, limit in limits.items()}

    def _hours_for_updates(self) -> float:
        """The hours without those kept for the last evaluation and checkpoint."""
        hours = float(self.limits["hours"])
        return max(hours - max(self.reserve / 3600, SHARE_OF_HOURS_RESERVED * hours), 1e-9)

    def progress(self) -> float:
        """From 0 at the first batch to 1 where the smallest budget ends."""
        return min(1.0, max(self.used().values()))

    def finished(self, next_update_seconds: float = 0.0) -> bool:
        """True: the budget is used up, or the next update would overrun the hours.

        Args:
            next_update_seconds: predicted time of the next update.
        """
        used = self.used()
        if "hours" in self.limits:
            used["hours"] += next_update_seconds / 3600 / self._hours_for_updates()
        return max(used.values()) >= 1.0 - 1e-12

    def binding(self) -> tuple[str, float, float]:
        """The limit with the largest used share: (name, spent, limit), both in the limit's unit."""
        used = self.used()
        name = max(used, key=lambda key: used[key])
        spent = self.spent
        amount = {
            "hours": spent.seconds / 3600,
            "epochs": spent.positions / self.epoch_length,
        }.get(name, float(getattr(spent, name, 0.0)))
        return name, amount, self.limits[name]


def most_flops(
    budget: BudgetConfig, flops_per_second: float, flops_per_token: float, tokens_per_step: int, tokens: int
) -> float:
    """Upper bound of the FLOPs of a run.

    Args:
        budget: the limits.
        flops_per_second: turns hours into FLOPs.
        flops_per_token: forward and backward.
        tokens_per_step: upper bound.
        tokens: of an epoch.
    """
    worth = {
        "hours": 3600 * flops_per_second,
        "steps": tokens_per_step * flops_per_token,
        "tokens": flops_per_token,
        "epochs": tokens * flops_per_token,
        "flops": 1.0,
    }
    limits: dict[str, float | None] = {name: getattr(budget, name) for name in worth}
    return min(limit * worth[name] for name, limit in limits.items() if limit is not None)


def most_updates(budget: BudgetConfig, size: int, epoch_length: int) -> int | None:
    """The updates after which steps or epochs of a budget end, whichever is first; None: it has neither.

    Args:
        budget: the limits; others may end a run earlier.
        size: positions of the data stream that an update consumes.
        epoch_length: positions in one epoch.
    """
    worth = {"steps": 1.0, "epochs": epoch_length / size}
    limits: dict[str, float | None] = {name: getattr(budget, name) for name in worth}
    updates = [limit * worth[name] for name, limit in limits.items() if limit is not None]
    return max(1, math.ceil(min(updates) - 1e-9)) if updates else None


def flops_in_words(spent: Mapping[str, Any]) -> str:
    """The FLOPs of a run as it is printed; where weights were held at zero, the dense ones beside them.

    Args:
        spent: of a summary; earlier versions wrote no dense FLOPs, and held no weights at zero.
    """
    flops, dense = spent["flops"], spent.get("flops_dense", spent["flops"])
    return f"{flops:.3g} FLOP" + (f" at density, {dense:.3g} dense" if dense != flops else "")


def budget_problems(budget: BudgetConfig) -> list[str]:
    """Mistakes in a budget, in the user's key names."""
    limits = {f.name: getattr(budget, f.name) for f in fields(budget)}
    if all(limit is None for limit in limits.values()):
        return [
            "no budget given: add +budget=10m (or 1m, 3m, 30m, 1h, 8h, 24h), or one of "
            "budget.hours, budget.steps, budget.tokens, budget.epochs, budget.flops"
        ]
    return [
        f"budget.{name}={limit}: must be above zero"
        for name, limit in limits.items()
        if limit is not None and not limit > 0
    ]
