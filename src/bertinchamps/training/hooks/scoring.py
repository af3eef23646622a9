"""Scores while training: what `Evaluation` and `Selection` share."""

from __future__ import annotations

import time
from pathlib import Path

from bertinchamps.training.hook import Hook
from bertinchamps.training.hooks.bar import BudgetBar
from bertinchamps.training.hooks.metrics_log import MetricsLog
from bertinchamps.training.trainer import Trainer


class Scoring(Hook):
    """Evaluates the model, once a step at the most, and logs the scores; a subclass decides when.

    An evaluation that a stop breaks off is due when the run goes on, before the next update.

    Attributes:
        split: what is scored, which is the kind of the records in metrics.jsonl.
        print_every: progress between two lines of the bar where there is no terminal.
        scores: of the last evaluation, by name.
        first_scores: those before the first update; None: nothing was scored then.
        seconds: that each evaluation took, those before a resumption included.
    """

    DUE = "evaluation_due"  # a file in the resume state

    split = "held_out"
    print_every = 0.05

    def __init__(self, log: MetricsLog, bar: BudgetBar) -> None:
        self._log, self._bar = log, bar
        self._scored_step = -1
        self._due = False
        self.scores: dict[str, float] = {}
        self.first_scores = log.scores_at(self.split, 0)
        self.seconds = list(log.evaluation_seconds(self.split))

    def save(self, folder: Path) -> None:
        if self._due:
            (folder / self.DUE).touch()

    def load(self, folder: Path) -> None:
        self._due = (folder / self.DUE).is_file()

    def _resume(self, trainer: Trainer) -> None:
        """Reuse the scores that were logged for this step before the run was resumed, if there are any."""
        known = self._log.scores_at(self.split, trainer.step)
        if known is not None:
            self.scores, self._scored_step = known, trainer.step

    def _score(self, trainer: Trainer) -> bool:
        """Evaluate and log, unless this step has been scored; true if there are new scores."""
        if trainer.step == self._scored_step:
            return False
        trainer.flush()  # so that the measured time holds no pending update
        began = time.perf_counter()
        scores = trainer.evaluate()
        self._due = scores is None
        if scores is None:
            return False
        self.scores, self._scored_step = scores, trainer.step
        if trainer.step == 0:
            self.first_scores = self.scores
        seconds = time.perf_counter() - began
        trainer.reserve_time("evaluation", seconds)
        self.seconds.append(seconds)
        values = {**self.scores, "evaluation_seconds": round(seconds, 3)}
        self._log.write(self.split, trainer.clock.spent, values)
        return True
