"""What happens beside the updates: logging, evaluation, checkpoints, stopping on a signal."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import signal
import statistics
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text
from safetensors.torch import load_file, save_file

from bertinchamps.durable import write_file
from bertinchamps.errors import ProcessEnded, UserError
from bertinchamps.schemas import CheckpointConfig, EvaluationConfig, SelectionConfig
from bertinchamps.training import checkpoint
from bertinchamps.training.clock import Spent
from bertinchamps.training.trackers import Tracker
from bertinchamps.training.trainer import Hook, Trainer, Update

RESERVE_MARGIN = 1.3  # the last evaluation and checkpoint may take so much longer than the ones measured
UPDATES_WATCHED = 5  # before it is judged where their time goes
NOT_SCORES = ("kind", "step", "tokens", "seconds", "flops", "evaluation_seconds")  # of an evaluation's record
DISK_BYTES_PER_SECOND = 200e6  # for the time of the first checkpoint, before one was measured


class MetricsLog:
    """RUN/metrics.jsonl: one JSON object a line, numbers only; survives being killed at any moment.

    Where the disk is full, records are kept in memory until there is room again: training goes on.

    Args:
        file: its path.
        step: where a resumed run goes on; later records, of updates that will be done again, are dropped.
        tracker: is told the same.
        warn: is told of records that cannot be written or read.
    """

    def __init__(self, file: Path, step: int, tracker: Tracker, warn: Callable[[str], None]) -> None:
        self._file, self._tracker, self._warn = file, tracker, warn
        self._unwritten: list[str] = []
        self._kept: list[dict[str, Any]] = []
        if step:
            records, damaged = _read_records(file)
            self._kept = [record for record in records if record["step"] <= step]
            if damaged:
                aside = file.with_name(f"{file.name}.damaged")
                shutil.copyfile(file, aside)
                warn(f"{file}: {damaged} damaged lines were left out; the file as it was is {aside.name}")
        write_file(file, "".join(json.dumps(record) + "\n" for record in self._kept))

    def write(self, kind: str, spent: Spent, values: dict[str, float]) -> None:
        """Append a record of a kind ("train" or "held_out"), with what was spent then."""
        record = {
            "kind": kind,
            "step": spent.steps,
            "tokens": spent.tokens,
            "seconds": round(spent.seconds, 3),
        }
        record |= {"flops": spent.flops, **values}
        self._unwritten.append(json.dumps(record) + "\n")
        self._append()
        self._tracker.log(spent.steps, {f"{kind}/{name}": value for name, value in values.items()})

    def _append(self) -> None:
        size = self._file.stat().st_size if self._file.exists() else 0
        try:
            with self._file.open("a", encoding="utf-8") as stream:
                stream.writelines(self._unwritten)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.truncate(self._file, size)  # half a line would spoil the next one
            if len(self._unwritten) == 1:
                self._warn(
                    f"{self._file}: cannot be written ({error.strerror or error}); training goes on, and what it "
                    "should hold is kept in memory until there is room"
                )
        else:
            self._unwritten.clear()

    def scores_at(self, kind: str, step: int) -> dict[str, float] | None:
        """What an evaluation of this step wrote before the run was resumed, or None."""
        for record in reversed(self._kept):
            if record["kind"] == kind and record["step"] == step:
                return {name: value for name, value in record.items() if name not in NOT_SCORES}
        return None


def read_metrics(file: Path) -> list[dict[str, Any]]:
    """The records of a metrics.jsonl; damaged lines, such as a last one that a kill cut short, are left out."""
    return _read_records(file)[0]


def _read_records(file: Path) -> tuple[list[dict[str, Any]], int]:
    """The records, and how many lines before the last one are damaged."""
    lines = file.read_bytes().split(b"\n") if file.exists() else []
    records, damaged = [], 0
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            records.append({"kind": str(record["kind"]), "step": int(record["step"])} | record)
        except (ValueError, KeyError, TypeError):
            damaged += bool(line) and number < len(lines)
    return records, damaged


class Logging(Hook):
    """Each update into the metrics and onto the progress bar."""

    def __init__(self, log: MetricsLog, bar: BudgetBar) -> None:
        self._log, self._bar = log, bar
        self._in_optimizer: list[float] = []  # share of the time of each update, until enough are known

    def before_training(self, trainer: Trainer) -> None:
        self._bar.start()

    def observe(self, trainer: Trainer, update: Update) -> None:
        tokens_per_second = update.tokens / update.seconds
        share_of_peak = tokens_per_second * trainer.clock.flops_per_token / trainer.runtime.peak_flops
        values = {
            "loss": update.loss,
            "gradient_norm": update.gradient_norm,
            "learning_rate": update.learning_rate,
            "sequences": update.sequences,
            "tokens_per_second": round(tokens_per_second, 1),
            "share_of_peak_flops": round(share_of_peak, 4),
            "progress": round(update.progress, 6),
        }
        # JSON has no numbers that are not finite: those of an update that fp16 left out are missing.
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        self._log.write("train", update.spent, finite)
        self._bar.show(trainer, update, tokens_per_second, share_of_peak)
        self._watch_optimizer(update)

    def _watch_optimizer(self, update: Update) -> None:
        """Say once if the optimizer takes more time than the model."""
        if update.optimizer_seconds is None or len(self._in_optimizer) == UPDATES_WATCHED:
            return
        self._in_optimizer.append(update.optimizer_seconds / update.seconds)
        if len(self._in_optimizer) == UPDATES_WATCHED and statistics.median(self._in_optimizer) > 0.5:
            self._bar.say(
                f"the optimizer takes {statistics.median(self._in_optimizer):.0%} of the time of an update: "
                "optim=adamw steps faster, and a larger batch.size steps less often"
            )

    def after_training(self, trainer: Trainer) -> None:
        self._bar.stop()

    def after_failure(self, trainer: Trainer, error: BaseException) -> None:
        self._bar.stop()


class BudgetBar:
    """A progress bar against the budget on a terminal; on anything else a line now and then.

    Args:
        lines_every: progress between two lines where there is no terminal.
    """

    def __init__(self, lines_every: float = 0.05) -> None:
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._lines_every, self._next_line = lines_every, 0.0
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
            with contextlib.suppress(OSError):  # here and below: a terminal that was closed costs no run
                self._live.start()

    def show(self, trainer: Trainer, update: Update, tokens_per_second: float, share_of_peak: float) -> None:
        name, spent, limit = trainer.clock.binding()
        amount = f"{_amount(name, spent)} of {_amount(name, limit)}"
        status = (
            f"step {update.step} · loss {update.loss:.3f} · lr {update.learning_rate:.1e} · batch {update.sequences}"
            f" · {tokens_per_second:,.0f} tokens/s · {share_of_peak:.0%} of peak"
        )
        progress = update.progress
        if self.console.is_terminal:
            self._bar.update(self._task, completed=progress, amount=amount)
            self._status.plain = status
        elif progress >= self._next_line:
            self.say(f"{progress:>6.1%} {amount} · {status}")
            self._next_line = math.floor(progress / self._lines_every + 1) * self._lines_every

    def say(self, message: str) -> None:
        """Print a line above the bar."""
        with contextlib.suppress(OSError):
            self.console.print(message)

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._live.stop()


def _amount(limit: str, value: float) -> str:
    if limit == "hours":
        minutes, seconds = divmod(round(value * 3600), 60)
        return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"
    return f"{value:,.0f} {limit}" if limit in ("steps", "tokens") else f"{value:.3g} {limit}"


class Evaluation(Hook):
    """Held-out scores at even marks of progress, before the first update and after the last."""

    def __init__(self, config: EvaluationConfig, log: MetricsLog, bar: BudgetBar) -> None:
        self._every, self._log, self._bar = config.every, log, bar
        self._mark = 0
        self._scored_step = -1
        self.scores: dict[str, float] = {}

    def before_training(self, trainer: Trainer) -> None:
        self._mark = self._marks(trainer)
        known = self._log.scores_at("held_out", trainer.step)
        if known is not None:  # written before the run was resumed
            self.scores, self._scored_step = known, trainer.step
        if trainer.step == 0:
            self._evaluate(trainer)  # where learning starts from, and how long an evaluation takes

    def after_update(self, trainer: Trainer) -> None:
        mark = self._marks(trainer)
        if mark > self._mark and trainer.clock.progress() < 1.0:  # the last evaluation is after training
            self._mark = mark
            self._evaluate(trainer)

    def after_training(self, trainer: Trainer) -> None:
        if not trainer.stop_requested:  # who asked for a stop waits for the checkpoint
            self._evaluate(trainer)

    def _marks(self, trainer: Trainer) -> int:
        return math.floor(trainer.clock.progress() / self._every + 1e-9)

    def _evaluate(self, trainer: Trainer) -> None:
        if trainer.step == self._scored_step:
            return
        self._scored_step = trainer.step
        trainer.settle()  # an update that the device still works at has its own time
        began = time.perf_counter()
        self.scores = trainer.evaluate()
        seconds = time.perf_counter() - began
        trainer.reserve["evaluation"] = RESERVE_MARGIN * seconds
        self._log.write(
            "held_out", trainer.clock.spent, {**self.scores, "evaluation_seconds": round(seconds, 3)}
        )
        shown = " · ".join(f"{name} {value:.4f}" for name, value in self.scores.items())
        self._bar.say(f"step {trainer.step}: held-out {shown}")


class Selection(Hook):
    """Scores on dev at the end of epochs; the weights that scored best are the model's at the end.

    The weights are kept in memory, and in the checkpoints. Where two scores are equal, the earlier stays.

    Args:
        config: how often, and when to give up.
        metric: the dev score that decides, the higher the better.
        log: is told every score.
        bar: says it.
        resumed_from: the checkpoint to go on from.
    """

    FILES = ("resume/selection.json", "resume/best.safetensors")

    def __init__(
        self,
        config: SelectionConfig,
        metric: str,
        log: MetricsLog,
        bar: BudgetBar,
        resumed_from: Path | None = None,
    ) -> None:
        self._config, self._log, self._bar = config, log, bar
        self.metric = metric
        self.best: dict[str, Any] = {"value": -math.inf, "step": 0, "epoch": 0.0, "evaluations_since": 0}
        self._weights: dict[str, torch.Tensor] = {}
        self._mark, self._scored_step = 0, -1
        if resumed_from is not None and (resumed_from / self.FILES[0]).is_file():
            self.best = json.loads((resumed_from / self.FILES[0]).read_text(encoding="utf-8"))
            self._weights = load_file(resumed_from / self.FILES[1])

    def save(self, folder: Path) -> None:
        """Write the state into a checkpoint, if there is any yet."""
        if self._weights:
            (folder / self.FILES[0]).write_text(json.dumps(self.best), encoding="utf-8")
            save_file(self._weights, folder / self.FILES[1])

    def before_training(self, trainer: Trainer) -> None:
        self._mark = self._marks(trainer)
        if self._log.scores_at("dev", trainer.step) is not None and self._weights:
            self._scored_step = trainer.step  # before the run was resumed
        trainer.converged = self._converged()

    def after_update(self, trainer: Trainer) -> None:
        mark = self._marks(trainer)
        if mark > self._mark:
            self._mark = mark
            self._evaluate(trainer)

    def after_training(self, trainer: Trainer) -> None:
        if trainer.stop_requested:  # who asked for a stop waits for the checkpoint
            return
        if not trainer.converged:
            self._evaluate(trainer)
        trainer.model.load_state_dict(self._weights)

    def _epochs(self, trainer: Trainer) -> float:
        return trainer.clock.spent.positions / trainer.clock.epoch_length

    def _marks(self, trainer: Trainer) -> int:
        return math.floor(self._epochs(trainer) / self._config.every_epochs + 1e-9)

    def _evaluate(self, trainer: Trainer) -> None:
        if trainer.step == self._scored_step:
            return
        self._scored_step = trainer.step
        trainer.settle()  # an update that the device still works at has its own time
        began = time.perf_counter()
        scores = trainer.evaluate()
        seconds = time.perf_counter() - began
        trainer.reserve["evaluation"] = RESERVE_MARGIN * seconds
        self._log.write("dev", trainer.clock.spent, {**scores, "evaluation_seconds": round(seconds, 3)})
        better = not self._weights or scores[self.metric] > self.best["value"]
        if better:
            epoch = round(self._epochs(trainer), 3)
            self.best = {
                "value": scores[self.metric],
                "step": trainer.step,
                "epoch": epoch,
                "evaluations_since": 0,
            }
            state = trainer.model.state_dict()
            self._weights = {name: value.detach().cpu().clone() for name, value in state.items()}
        elif self.best["value"] != 0:  # a head that says nothing yet, with an F1 of 0, has not converged
            self.best["evaluations_since"] += 1
        self._bar.say(
            f"epoch {self._epochs(trainer):.4g}: dev {self.metric} {scores[self.metric]:.4f}"
            + (", the best so far" if better else f" (best: {self.best['value']:.4f})")
            + (f" · loss {scores['loss']:.4f}" if "loss" in scores else "")
        )
        trainer.converged = self._converged()

    def _converged(self) -> bool:
        patience = self._config.patience
        return patience is not None and bool(self.best["evaluations_since"] >= patience)


class Checkpoints(Hook):
    """Writes checkpoints, and the finished model at the end.

    Args:
        config: how often, and how many are kept.
        folder: the run's directory.
        save_model: writes model and tokenizer files into a directory.
        bar: is told of a checkpoint that could not be written.
        selection: whose best weights go into checkpoints, too.
    """

    def __init__(
        self,
        config: CheckpointConfig,
        folder: Path,
        save_model: Callable[[Path], None],
        bar: BudgetBar,
        selection: Selection | None = None,
    ) -> None:
        self._config, self._folder, self._save_model, self._bar = config, folder, save_model, bar
        self._selection = selection
        self._saved_at = time.monotonic()
        self._saved_step = -1

    def before_training(self, trainer: Trainer) -> None:
        model_bytes = sum(p.numel() * p.element_size() for p in trainer.model.parameters())
        trainer.reserve["checkpoint"] = RESERVE_MARGIN * (model_bytes / DISK_BYTES_PER_SECOND + 0.2)
        self._saved_at = time.monotonic()
        if trainer.step > 0:
            self._saved_step = trainer.step  # resumed: this step has a checkpoint already

    def after_update(self, trainer: Trainer) -> None:
        due = time.monotonic() - self._saved_at >= self._config.every_minutes * 60
        if due or (self._config.every_steps and trainer.step % self._config.every_steps == 0):
            try:
                self.save(trainer)
            except OSError as error:  # a full disk now need not cost the run: the model is written at the end
                self._bar.say(f"no checkpoint at step {trainer.step}: {_said(error)}; training goes on")

    def after_training(self, trainer: Trainer) -> None:
        if trainer.stop_requested:
            try:
                self.save(trainer)
            except OSError as error:
                raise UserError(
                    f"no checkpoint at step {trainer.step}: {_said(error)}. {self._ways_on()}"
                ) from error
            return
        try:
            self._write_model()
        except OSError as error:
            raise UserError(
                f"{self._folder / 'model'}: cannot be written ({_said(error)}). Make room. {self._ways_on()}"
            ) from error

    def after_failure(self, trainer: Trainer, error: BaseException) -> None:
        """The weights after the last whole update are kept, whatever the reason; what is said of it is true."""
        if not isinstance(error, Exception) or not trainer.consistent or trainer.step == 0:
            return
        try:
            self.save(trainer)
        except Exception as second:  # the first error is the one to be told
            self._bar.say(f"no checkpoint at step {trainer.step}: {_said(second)}. {self._ways_on()}")
        else:
            self._bar.say(f"the weights after update {trainer.step} are in a checkpoint. {self._ways_on()}")

    def _write_model(self) -> None:
        """The finished model; where it does not fit, old checkpoints make room."""
        try:
            checkpoint.write_directory(self._folder / "model", self._save_model)
        except OSError:
            if len(checkpoint.all_of(self._folder / "checkpoints")) < 2:
                raise
            self._bar.say(
                "the finished model does not fit on the disk: all checkpoints but the last are deleted"
            )
            checkpoint.keep_latest(self._folder / "checkpoints", 1)
            checkpoint.write_directory(self._folder / "model", self._save_model)

    def _ways_on(self) -> str:
        """What the same command would go on from."""
        whole = checkpoint.all_of(self._folder / "checkpoints")
        if not whole:
            return "The run has no checkpoint: it would start over"
        return f"The same command with resume={self._folder} goes on from {whole[-1].name}"

    def save(self, trainer: Trainer) -> None:
        """Write a checkpoint now, unless this step has one."""
        if trainer.step == self._saved_step:
            return
        trainer.settle()  # an update that the device still works at has its own time
        began = time.perf_counter()
        parent = self._folder / "checkpoints"
        name = checkpoint.name_of(trainer.step)
        more = self._selection.save if self._selection else None
        checkpoint.write(
            parent / name, self._save_model, trainer.optimizer.state_dict(), trainer.state(), more
        )
        checkpoint.keep_latest(parent, self._config.keep)
        trainer.reserve["checkpoint"] = RESERVE_MARGIN * (time.perf_counter() - began)
        self._saved_at, self._saved_step = time.monotonic(), trainer.step


def _said(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


class StopOnSignal(Hook):
    """SIGTERM, SIGHUP or Ctrl-C: finish the update, write a checkpoint, leave. A second one leaves at once.

    Where several processes train, each listens: they agree to stop, whichever was told. Python hands signals to the
    main thread alone: `fit` on another one does not listen, and `trainer.stop_requested` ends it.
    """

    NUMBERS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}

    def before_training(self, trainer: Trainer) -> None:
        def request(number: int, frame: FrameType | None) -> None:
            del frame
            if trainer.stop_requested and number != signal.SIGHUP:  # a closed terminal may tell of it twice
                os._exit(128 + number)
            trainer.stop_requested = True
            if trainer.processes.first:
                with contextlib.suppress(OSError):  # the terminal may be gone
                    sys.stderr.write("\nstopping after this update; once more to leave at once\n")

        if threading.current_thread() is threading.main_thread():
            for number in self.NUMBERS:
                self._before[number] = signal.signal(number, request)

    def after_training(self, trainer: Trainer) -> None:
        self._restore()

    def after_failure(self, trainer: Trainer, error: BaseException) -> None:
        if isinstance(error, ProcessEnded):
            # torchrun's signal is on its way, and must not cut short what is said of this
            for number in self._before:
                signal.signal(number, signal.SIG_IGN)
            self._before.clear()
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()
