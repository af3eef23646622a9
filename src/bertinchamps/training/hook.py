"""A hook runs between updates (logging, evaluation, checkpoints), and may carry state."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bertinchamps.registry import Registry
from bertinchamps.schemas import Node, named
from bertinchamps.training.updates import Update

if TYPE_CHECKING:
    from bertinchamps.training.trainer import Trainer


class Hook:
    """Called by the trainer at the moments that the methods name; each does nothing unless it is overridden."""

    def before_training(self, trainer: Trainer) -> None:
        """The clock has started; no update yet."""

    def after_update(self, trainer: Trainer) -> None:
        """The weights have just changed, or on a GPU are about to."""

    def observe(self, trainer: Trainer, update: Update) -> None:
        """Receives the measurements of an update: at once, or on a GPU after the next update was launched."""

    def after_training(self, trainer: Trainer) -> None:
        """The last update is done."""

    def before_model(self, trainer: Trainer) -> None:
        """Training is over, no stop was requested, and what follows decides on the finished model and writes it."""

    def after_failure(self, trainer: Trainer, error: BaseException) -> None:
        """Training ends with an error, which is raised again after all hooks were called."""

    def save(self, folder: Path) -> None:
        """Write this hook's state into the `resume` folder of a checkpoint; file names are the hook's own."""

    def load(self, folder: Path) -> None:
        """Read what `save` wrote; a file may be missing, as in older checkpoints."""


# Hooks that a configuration adds (`hooks=[{name: …}]`), a file each in `training/hooks/`.
hooks: Registry[Hook] = Registry("hook", "hooks", package="bertinchamps.training.hooks")


def hook_problems(nodes: Sequence[Node]) -> list[str]:
    """Mistakes in the hooks that a configuration adds, in the user's key names."""
    return [problem for node in nodes for problem in hooks.problems(*named(node))]
