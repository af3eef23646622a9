"""What the first process of a run writes down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, cast

from bertinchamps.schemas import CheckpointConfig, CostConfig, Node
from bertinchamps.training import hooks
from bertinchamps.training.hook import Hook
from bertinchamps.training.run import Run
from bertinchamps.training.trackers import Guarded

Scores = Callable[[hooks.MetricsLog, hooks.BudgetBar], hooks.Scoring]


class Recorded(Protocol):
    """The settings that are read here, of any command that trains; a dataclass."""

    @property
    def checkpoint(self) -> CheckpointConfig: ...
    @property
    def cost(self) -> CostConfig: ...
    @property
    def tracker(self) -> Node: ...


class Records:
    """The records of a run, which the first process writes: metrics, scores, checkpoints.

    Args:
        config: of tracker and checkpoints.
        run: the run's directory.
        step: updates done before a resumption; later records are dropped, because those updates are done again.
        scores: builds the hook that scores.
        save: writes model and tokenizer into a folder.
        at_end: a checkpoint is written at the end of training.
    """

    def __init__(
        self,
        config: Recorded,
        run: Run,
        step: int,
        scores: Scores,
        save: Callable[[Path], None],
        at_end: bool = False,
    ) -> None:
        settings = asdict(cast(Any, config))
        self._bar = hooks.BudgetBar()
        self._tracker = Guarded(config.tracker, run.folder, settings, self._bar.print)
        log = hooks.MetricsLog(run.folder / "metrics.jsonl", step, self._tracker, self._bar.print)
        self.scoring = scores(log, self._bar)
        self._bar.print_every = self.scoring.print_every
        self.costs = hooks.Costs(config.cost)
        self.checkpoints = hooks.Checkpoints(config.checkpoint, run.folder, save, self._bar, at_end)
        self.hooks: list[Hook] = [hooks.Logging(log, self._bar), self.scoring, self.costs, self.checkpoints]

    def close(self) -> None:
        """Close the progress bar and the tracker."""
        self._bar.stop()
        self._tracker.close()
