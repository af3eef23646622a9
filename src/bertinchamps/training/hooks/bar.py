"""Progress through the budget, on a terminal or in a log."""

from __future__ import annotations

import contextlib
import math

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from bertinchamps.training.plan import length
from bertinchamps.training.trainer import Trainer
from bertinchamps.training.updates import Update


class BudgetBar:
    """A progress bar through the budget on a terminal; elsewhere, lines at even progress.

    Args:
        print_every: progress between two lines where there is no terminal.
    """

    def __init__(self, print_every: float = 0.05) -> None:
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        self.print_every, self._next_line = print_every, 0.0
        self._bar = Progress(
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:>5.1f}%"),
            TextColumn("{task.fields[amount]}"),
            TimeRemainingColumn(),
            expand=True,
        )
        self._task = self._bar.add_task("training", total=1.0, amount="first update, which compiles …")
        self._status = Text()
        self._live = Live(Group(self._bar, self._status), console=self.console, refresh_per_second=2)

    def start(self) -> None:
        if self.console.is_terminal:
            with contextlib.suppress(OSError):  # here and below: a closed terminal must not end the run
                self._live.start()

    def show(self, trainer: Trainer, update: Update, tokens_per_second: float, mfu: float) -> None:
        name, spent, limit = trainer.clock.binding()
        amount = f"{_amount(name, spent)} of {_amount(name, limit)}"
        status = (
            f"step {update.step} · loss {update.loss:.3f} · lr {update.learning_rate:.1e} · batch {update.sequences}"
            f" · {tokens_per_second:,.0f} tokens/s · {mfu:.0%} MFU"
        )
        progress = update.progress
        if self.console.is_terminal:
            self._bar.update(self._task, completed=progress, amount=amount)
            self._status.plain = status
        elif progress >= self._next_line:
            self.print(f"{progress:>6.1%} {amount} · {status}{_left(update)}")
            self._next_line = math.floor(progress / self.print_every + 1) * self.print_every

    def print(self, message: str) -> None:
        """Print a line above the bar."""
        with contextlib.suppress(OSError):
            self.console.print(message)

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._live.stop()


def _left(update: Update) -> str:
    """About how long it takes until the budget ends, where nobody sees the bar."""
    if not 0 < update.progress < 1:
        return ""
    return f" · about {length(update.spent.seconds * (1 - update.progress) / update.progress)} left"


def _amount(limit: str, value: float) -> str:
    if limit == "hours":
        minutes, seconds = divmod(round(value * 3600), 60)
        return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"
    return f"{value:,.0f} {limit}" if limit in ("steps", "tokens") else f"{value:.3g} {limit}"
