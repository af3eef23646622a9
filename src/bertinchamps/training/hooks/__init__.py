"""The hooks, a file each. `training/hook.py` defines when they are called, `training/assembly.py` in which order."""

from __future__ import annotations

from bertinchamps.training.hooks.bar import BudgetBar
from bertinchamps.training.hooks.checkpoints import Checkpoints
from bertinchamps.training.hooks.costs import Costs
from bertinchamps.training.hooks.evaluation import Evaluation
from bertinchamps.training.hooks.logging import Logging
from bertinchamps.training.hooks.metrics_log import MetricsLog, read_metrics
from bertinchamps.training.hooks.scoring import Scoring
from bertinchamps.training.hooks.selection import Selection

__all__ = [
    "BudgetBar",
    "Checkpoints",
    "Costs",
    "Evaluation",
    "Logging",
    "MetricsLog",
    "Scoring",
    "Selection",
    "read_metrics",
]
