"""Held-out scores at even marks of progress."""

from __future__ import annotations

import math

from bertinchamps.schemas import EvaluationConfig
from bertinchamps.training.hooks.bar import BudgetBar
from bertinchamps.training.hooks.metrics_log import MetricsLog
from bertinchamps.training.hooks.scoring import Scoring
from bertinchamps.training.trainer import Trainer

MOST_OF_THE_HOURS = 0.03  # that all evaluations may take, where the budget has hours


class Evaluation(Scoring):
    """Held-out scores before the first update, at even marks of progress, and after the last update.

    Marks are left out where the evaluations would take more than 3 % of the hours: time that is not learnt in.
    """

    def __init__(self, config: EvaluationConfig, log: MetricsLog, bar: BudgetBar) -> None:
        super().__init__(log, bar)
        self._every = config.every
        self._mark = 0

    def before_training(self, trainer: Trainer) -> None:
        self._mark = self._marks(trainer)
        self._resume(trainer)
        # the first scores are those before learning, and tell the time that an evaluation takes
        if trainer.step == 0 or self._due:
            self._evaluate(trainer)

    def after_update(self, trainer: Trainer) -> None:
        mark = self._marks(trainer)
        if mark > self._mark and trainer.clock.progress() < 1.0:  # the last evaluation is after training
            self._mark = mark
            if self._affordable(trainer):
                self._evaluate(trainer)

    def after_training(self, trainer: Trainer) -> None:
        if not trainer.stop_requested:  # a stopped run writes its checkpoint without delay
            self._evaluate(trainer)

    def _affordable(self, trainer: Trainer) -> bool:
        """True: with one now and the last one, evaluations stay within their share of the hours so far."""
        hours: float | None = trainer.clock.limits.get("hours")
        if hours is None or not self.seconds:
            return True
        expected: float = sum(self.seconds) + 2 * self.seconds[-1]
        return expected <= MOST_OF_THE_HOURS * 3600 * hours * trainer.clock.progress()

    def _marks(self, trainer: Trainer) -> int:
        return math.floor(trainer.clock.progress() / self._every + 1e-9)

    def _evaluate(self, trainer: Trainer) -> None:
        if self._score(trainer):
            shown = " · ".join(f"{name} {value:.4f}" for name, value in self.scores.items())
            self._bar.print(f"step {trainer.step}: held-out {shown}")
