"""Each update into the metrics and onto the progress bar."""

from __future__ import annotations

import math
import statistics

from bertinchamps.training.hook import Hook
from bertinchamps.training.hooks.bar import BudgetBar
from bertinchamps.training.hooks.metrics_log import MetricsLog
from bertinchamps.training.trainer import Trainer
from bertinchamps.training.updates import Update

UPDATES_WATCHED = 5  # updates whose optimizer time is measured


class Logging(Hook):
    """Each update into the metrics and onto the progress bar."""

    def __init__(self, log: MetricsLog, bar: BudgetBar) -> None:
        self._log, self._bar = log, bar
        self._in_optimizer: list[float] = []  # share of each watched update's time

    def before_training(self, trainer: Trainer) -> None:
        self._bar.start()

    def observe(self, trainer: Trainer, update: Update) -> None:
        tokens_per_second = update.tokens / update.seconds
        mfu = tokens_per_second * trainer.clock.dense_flops_per_token / trainer.runtime.peak_flops
        values = {
            "loss": update.loss,
            "gradient_norm": update.gradient_norm,
            "learning_rate": update.learning_rate,
            "sequences": update.sequences,
            "tokens_per_second": round(tokens_per_second, 1),
            "mfu": round(mfu, 4),
            "progress": round(update.progress, 6),
        }
        # JSON has no NaN and no infinity: loss and norm of an update that fp16 skipped are left out.
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        self._log.write("train", update.spent, finite)
        self._bar.show(trainer, update, tokens_per_second, mfu)
        self._watch_optimizer(update)

    def _watch_optimizer(self, update: Update) -> None:
        """Print once if the optimizer takes more time than the model."""
        if update.optimizer_seconds is None or len(self._in_optimizer) == UPDATES_WATCHED:
            return
        self._in_optimizer.append(update.optimizer_seconds / update.seconds)
        if len(self._in_optimizer) == UPDATES_WATCHED and statistics.median(self._in_optimizer) > 0.5:
            self._bar.print(
                f"the optimizer takes {statistics.median(self._in_optimizer):.0%} of the time of an update: "
                "optim=adamw steps faster, and a larger batch.size steps less often"
            )

    def after_training(self, trainer: Trainer) -> None:
        self._bar.stop()

    def after_failure(self, trainer: Trainer, error: BaseException) -> None:
        self._bar.stop()
