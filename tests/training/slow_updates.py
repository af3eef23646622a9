"""Run by torchrun: pretraining whose updates 10 to 30 take their time, so that a test can break it off among them."""

from __future__ import annotations

import time

from bertinchamps import command_line
from bertinchamps.training.trainer import Trainer

SLOW = range(10, 30)


def slow_down() -> None:
    """Replace the update of the engine by one that waits first."""
    update = Trainer._update

    def slow(self: Trainer) -> bool:
        time.sleep(0.05 if self.step in SLOW else 0.0)
        return update(self)

    Trainer._update = slow  # type: ignore[method-assign]


if __name__ == "__main__":
    slow_down()
    command_line.run("pretrain")
