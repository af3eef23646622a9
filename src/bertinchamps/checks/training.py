"""What can be wrong with the settings that all commands that train share."""

from __future__ import annotations

from bertinchamps.checks.rules import broken
from bertinchamps.schemas import FinetuneConfig, PretrainConfig, named
from bertinchamps.training.clock import budget_problems
from bertinchamps.training.hook import hook_problems
from bertinchamps.training.optim import optimizer_problems
from bertinchamps.training.run import place_problems
from bertinchamps.training.runtime import runtime_problems
from bertinchamps.training.schedules import batch_problems, schedule_problems
from bertinchamps.training.trackers import tracker_problems


def training_problems(config: PretrainConfig | FinetuneConfig) -> list[str]:
    """Mistakes in budget, optimizer, schedule, batch, runtime, tracker, place, and single numbers."""
    clipping, checkpoint = config.gradient_clipping, config.checkpoint
    minutes, steps = checkpoint.every_minutes, checkpoint.every_steps
    return [
        *budget_problems(config.budget),
        *optimizer_problems(*named(config.optim)),
        *schedule_problems(*named(config.schedule)),
        *batch_problems(config.batch),
        *runtime_problems(config.runtime),
        *tracker_problems(*named(config.tracker)),
        *hook_problems(config.hooks),
        *place_problems(config),
        *broken(
            ("seed", config.seed, config.seed >= 0, "must be at least 0"),
            (
                "gradient_clipping",
                clipping,
                clipping is None or clipping > 0,
                "must be above zero; null turns it off",
            ),
            (
                "checkpoint.every_minutes",
                minutes,
                minutes >= 0,
                "must be at least 0, which is after each update",
            ),
            ("checkpoint.every_steps", steps, steps is None or steps >= 1, "must be at least 1, or null"),
            ("checkpoint.retries", checkpoint.retries, checkpoint.retries >= 0, "must be at least 0"),
            ("checkpoint.keep", checkpoint.keep, checkpoint.keep >= 1, "must be at least 1"),
        ),
    ]
