"""Checkpoints while training and at its end, and the finished model."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

from bertinchamps.errors import UserError
from bertinchamps.schemas import CheckpointConfig
from bertinchamps.training import checkpoint
from bertinchamps.training.hook import Hook
from bertinchamps.training.hooks.bar import BudgetBar
from bertinchamps.training.trainer import Trainer

DISK_BYTES_PER_SECOND = 200e6  # estimates the time of the first checkpoint


class Checkpoints(Hook):
    """Writes checkpoints with the state of all hooks, and the finished model at the end.

    Where results take long, a checkpoint at the end of training keeps an interruption from costing the training. It
    goes when the results are there, and no other checkpoint goes for it.

    Args:
        config: how often, and how many are kept.
        folder: the run's directory.
        save_model: writes model and tokenizer files into a directory.
        bar: prints which checkpoint could not be written.
        at_end: results take long.
    """

    AT_END = "at_end"  # a file in the resume state

    def __init__(
        self,
        config: CheckpointConfig,
        folder: Path,
        save_model: Callable[[Path], None],
        bar: BudgetBar,
        at_end: bool = False,
    ) -> None:
        self._config, self._folder, self._save_model, self._bar = config, folder, save_model, bar
        self._wanted_at_end = at_end
        self._ended = False  # the latest checkpoint is that of the end
        self._resumed_at_end = False
        self._saved_at = time.monotonic()
        self._saved_step = -1

    def save(self, folder: Path) -> None:
        if self._ended:
            (folder / self.AT_END).touch()

    def load(self, folder: Path) -> None:
        self._ended = self._resumed_at_end = (folder / self.AT_END).is_file()

    def before_training(self, trainer: Trainer) -> None:
        model_bytes = sum(p.numel() * p.element_size() for p in trainer.model.parameters())
        self._reserve(trainer, model_bytes / DISK_BYTES_PER_SECOND + 0.2)
        self._saved_at = time.monotonic()
        if trainer.step > 0:
            self._saved_step = trainer.step  # resumed: this step has a checkpoint already
        if self._resumed_at_end:
            trainer.converged = True  # a budget in hours might have time for another update by now
            self._resumed_at_end = False
        else:
            self.forget_end()  # the budget was raised

    def after_update(self, trainer: Trainer) -> None:
        due = time.monotonic() - self._saved_at >= self._config.every_minutes * 60
        if due or (self._config.every_steps and trainer.step % self._config.every_steps == 0):
            try:
                self.write(trainer)
            except OSError as error:  # a full disk must not end the run: there may be room at the end
                self._bar.print(f"no checkpoint at step {trainer.step}: {_reason(error)}; training goes on")

    def after_training(self, trainer: Trainer) -> None:
        if trainer.stop_requested:
            try:
                self.write(trainer)
            except OSError as error:
                raise UserError(
                    f"no checkpoint at step {trainer.step}: {_reason(error)}. {self._ways_on()}"
                ) from error
        elif self._wanted_at_end and trainer.step != self._saved_step:
            self._ended = True
            try:
                self.write(trainer, keep_others=True)
            except OSError as error:
                self._ended = False
                self._bar.print(f"no checkpoint at the end of training: {_reason(error)}; the run goes on")

    def before_model(self, trainer: Trainer) -> None:
        if trainer.stop_requested:  # while the model was settled
            return
        try:
            self._write_model()
        except OSError as error:
            raise UserError(
                f"{self._folder / 'model'}: cannot be written ({_reason(error)}). Make room. {self._ways_on()}"
            ) from error

    def after_failure(self, trainer: Trainer, error: BaseException) -> None:
        """Write the weights after the last whole update, whatever the error, and print whether that worked."""
        if not isinstance(error, Exception) or not trainer.consistent or trainer.step == 0:
            return
        try:
            self.write(trainer)
        except Exception as second:  # only printed: the first error is raised
            self._bar.print(f"no checkpoint at step {trainer.step}: {_reason(second)}. {self._ways_on()}")
        else:
            self._bar.print(f"the weights after update {trainer.step} are in a checkpoint. {self._ways_on()}")

    def _write_model(self) -> None:
        """Write the finished model; on a full disk, delete checkpoints and try again."""
        while True:
            try:
                checkpoint.write_directory(self._folder / "model", self._save_model)
            except OSError:
                if not self._made_room():
                    raise
            else:
                return

    def _made_room(self) -> bool:
        """Whether there were checkpoints to delete."""
        if self._ended:
            deleted = "the checkpoint of the end is deleted"
            self.forget_end()
        elif len(checkpoint.all_of(self._folder / "checkpoints")) > 1:
            deleted = "all checkpoints but the last are deleted"
            checkpoint.keep_latest(self._folder / "checkpoints", 1)
        else:
            return False
        self._bar.print(f"the finished model does not fit on the disk: {deleted}")
        return True

    def _ways_on(self) -> str:
        """A sentence: which checkpoint the same command would resume from."""
        whole = checkpoint.all_of(self._folder / "checkpoints")
        if not whole:
            return "The run has no checkpoint: it would start over"
        return f"The same command with resume={self._folder} goes on from {whole[-1].name}"

    def forget_end(self) -> None:
        """Delete the checkpoint of the end, where there is one."""
        if self._ended:
            shutil.rmtree(
                self._folder / "checkpoints" / checkpoint.name_of(self._saved_step), ignore_errors=True
            )
            self._ended, self._saved_step = False, -1

    def write(self, trainer: Trainer, keep_others: bool = False) -> None:
        """Write a checkpoint now, unless this step has one; older ones go, but for the latest."""
        if trainer.step == self._saved_step:
            return
        trainer.flush()  # so that the measured time holds no pending update
        began = time.perf_counter()
        parent = self._folder / "checkpoints"
        name = checkpoint.name_of(trainer.step)

        def save_hooks(folder: Path) -> None:
            for hook in trainer.hooks:
                hook.save(folder)

        optimizer, state = trainer.optimizer.state_dict(), trainer.state()
        checkpoint.write(parent / name, self._save_model, optimizer, state, save_hooks)
        if not keep_others:
            checkpoint.keep_latest(parent, self._config.keep)
        self._reserve(trainer, time.perf_counter() - began)
        self._saved_at, self._saved_step = time.monotonic(), trainer.step

    def _reserve(self, trainer: Trainer, seconds: float) -> None:
        """Keep time for what is written at the end, of which a checkpoint takes so many seconds."""
        trainer.reserve_time("checkpoint", (1 + self._wanted_at_end) * seconds)


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
