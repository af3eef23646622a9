"""Which weights a fine-tuned model gets: those that score best on dev."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from bertinchamps.contract import Settles
from bertinchamps.schemas import SelectionConfig
from bertinchamps.training.hooks.bar import BudgetBar
from bertinchamps.training.hooks.metrics_log import MetricsLog
from bertinchamps.training.hooks.scoring import Scoring
from bertinchamps.training.trainer import Trainer


class Selection(Scoring):
    """Scores on dev at the end of epochs; the weights that scored best are the model's at the end.

    The best weights are kept in memory, and in the checkpoints, without frozen ones. Where two scores are equal, the
    earlier weights stay.

    Args:
        config: how often to score, and when to stop early.
        metric: the dev score that decides, the higher the better.
        log: records every score.
        bar: prints every score.

    Attributes:
        best: "value" of the metric, "step" and "epoch" of the best weights, "evaluations_since" the best.
    """

    split = "dev"
    print_every = 1.0  # a line an epoch is printed here
    FACTS, WEIGHTS = "selection.json", "best.safetensors"

    def __init__(self, config: SelectionConfig, metric: str, log: MetricsLog, bar: BudgetBar) -> None:
        super().__init__(log, bar)
        self._config, self.metric = config, metric
        self.best: dict[str, Any] = {"value": -math.inf, "step": 0, "epoch": 0.0, "evaluations_since": 0}
        self._weights: dict[str, torch.Tensor] = {}
        self._mark = 0

    def save(self, folder: Path) -> None:
        super().save(folder)
        if self._weights:
            (folder / self.FACTS).write_text(json.dumps(self.best), encoding="utf-8")
            save_file(self._weights, folder / self.WEIGHTS)

    def load(self, folder: Path) -> None:
        super().load(folder)
        if (folder / self.FACTS).is_file():
            self.best = json.loads((folder / self.FACTS).read_text(encoding="utf-8"))
            self._weights = load_file(folder / self.WEIGHTS)

    def before_training(self, trainer: Trainer) -> None:
        self._mark = self._marks(trainer)
        if self._weights:
            self._resume(trainer)
        trainer.converged = self._converged()
        if self._due:
            self._evaluate(trainer)

    def after_update(self, trainer: Trainer) -> None:
        mark = self._marks(trainer)
        if mark > self._mark:
            self._mark = mark
            self._evaluate(trainer)

    def after_training(self, trainer: Trainer) -> None:
        # a stopped run writes its checkpoint without delay
        if not trainer.stop_requested and not trainer.converged:
            self._evaluate(trainer)

    def before_model(self, trainer: Trainer) -> None:
        trainer.model.load_state_dict({**trainer.model.state_dict(), **self._weights})
        if isinstance(trainer.task, Settles):
            trainer.settle()

    def _epochs(self, trainer: Trainer) -> float:
        return trainer.clock.spent.positions / trainer.clock.epoch_length

    def _marks(self, trainer: Trainer) -> int:
        return math.floor(self._epochs(trainer) / self._config.every_epochs + 1e-9)

    def _evaluate(self, trainer: Trainer) -> None:
        if not self._score(trainer):
            return
        if isinstance(trainer.task, Settles):
            passes = 3 if self._config.temperature else 1  # over dev
            trainer.reserve_time("settling", passes * self.seconds[-1])
        value = self.scores[self.metric]
        better = not self._weights or value > self.best["value"]
        if better:
            self._keep(trainer, value)
        elif self.best["value"] != 0:  # a head that finds nothing yet, with an F1 of 0, has not converged
            self.best["evaluations_since"] += 1
        self._bar.print(
            f"epoch {self._epochs(trainer):.4g}: dev {self.metric} {value:.4f}"
            + (", the best so far" if better else f" (best: {self.best['value']:.4f})")
            + (f" · loss {self.scores['loss']:.4f}" if "loss" in self.scores else "")
        )
        trainer.converged = self._converged()

    def _keep(self, trainer: Trainer, value: float) -> None:
        """Copy the current weights, which are the best so far."""
        epoch = round(self._epochs(trainer), 3)
        self.best = {"value": value, "step": trainer.step, "epoch": epoch, "evaluations_since": 0}
        named = trainer.model.named_parameters(remove_duplicate=False)
        frozen = {name for name, parameter in named if not parameter.requires_grad}
        state = trainer.model.state_dict()
        self._weights = {
            name: weights.detach().cpu().clone() for name, weights in state.items() if name not in frozen
        }

    def _converged(self) -> bool:
        patience = self._config.patience
        return patience is not None and bool(self.best["evaluations_since"] >= patience)
