"""THE loop, as a ladder of functions: `fit` is a run, `_update` one update, `_accumulate` an update's gradient.

A step is an update of the weights, everywhere in this project; what goes through the model at once is
a micro-batch. Where several processes train, each takes its share of an update's micro-batches, and all
of them step, stop and drop together.

The host does not wait for a GPU: it reads loss and norm of an update after launching the next update.

Long because the whole loop is to be read in one place.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar, cast

import torch
from torch import nn

from bertinchamps.contract import Batch, ChangesWithProgress, Output, ReadsByProgress, Settles, Task
from bertinchamps.schemas import BatchConfig
from bertinchamps.training import passes
from bertinchamps.training.clock import Clock
from bertinchamps.training.distributed import ALONE, Processes
from bertinchamps.training.guarded_step import GuardedStep
from bertinchamps.training.hook import Hook
from bertinchamps.training.optim import Optimizer
from bertinchamps.training.pace import Pace
from bertinchamps.training.privacy.private_run import PrivateDealer, PrivateRun
from bertinchamps.training.privacy.private_step import PrivateStep
from bertinchamps.training.runtime import Runtime
from bertinchamps.training.schedules import Schedule, micro_batches
from bertinchamps.training.sparsity.masked_step import MaskedStep
from bertinchamps.training.sparsity.masks import Masks
from bertinchamps.training.updates import (
    Dealer,
    NonFiniteLoss,
    PendingUpdate,
    ShortOfMemory,
    Update,
    UpdateSize,
    mixed_seed,
)

Result = TypeVar("Result")

RESERVE_MARGIN = 1.3  # the last evaluation and checkpoint may take so much longer than the ones measured


class Trainer:
    """Trains a model on a task until the budget ends.

    Args:
        task: reads, collates and scores.
        model: on the runtime's device, in float32.
        optimizer: with a `base_lr` in each parameter group.
        schedule: progress → multiplier of the base rates.
        batch: micro-batch, size and ramp.
        clock: the budget.
        runtime: device, precision, compilation.
        seed: of dropout; with the step it decides the random state of each micro-batch of an update.
        gradient_clipping: largest gradient norm, or None.
        hooks: called in this order.
        cursor: of the data stream.
        reserve: seconds to keep for evaluation and checkpoint after the last update, from the checkpoint.
        scaling: state of fp16's loss scale, from the checkpoint.
        processes: among which the micro-batches are dealt out.
        masks: of weights that are held at zero; None: there are none.
        retries: updates in a row whose numbers are not finite and that are left out before the run ends.
        left_out: positions of the data stream that such updates read, from the checkpoint.
        privacy: protects records of the task; None: nothing does.
    """

    def __init__(
        self,
        task: Task,
        model: nn.Module,
        optimizer: Optimizer,
        schedule: Schedule,
        batch: BatchConfig,
        clock: Clock,
        runtime: Runtime,
        seed: int,
        gradient_clipping: float | None,
        hooks: Sequence[Hook] = (),
        cursor: int = 0,
        reserve: Mapping[str, float] | None = None,
        scaling: Mapping[str, Any] | None = None,
        processes: Processes = ALONE,
        masks: Masks | None = None,
        retries: int = 0,
        left_out: Sequence[Sequence[int]] = (),
        privacy: PrivateRun | None = None,
    ) -> None:
        """Long because a parameter is a line."""
        self.task, self.model, self.optimizer = task, model, optimizer
        self.clock, self.runtime = clock, runtime
        self.cursor, self.processes, self.masks = cursor, processes, masks
        self.hooks: Sequence[Hook] = hooks
        self.stop_requested = False  # by a signal: training ends with a checkpoint to resume from
        self.stopped_by: int = signal.SIGTERM  # that signal; of other processes of the job, this one
        self.converged = False  # set by a hook: the run ends as if the budget did
        self.consistent = True  # weights, clock and cursor are of one update: a checkpoint may be written
        self.reserve = dict(reserve or {})  # seconds to keep after the last update, by what
        self._schedule, self._batch, self._seed, self._privacy = schedule, batch, seed, privacy
        self._parts = 1  # of a micro-batch that go through the model one after the other, for want of memory
        self._retries, self._misses = retries, 0  # updates in a row that were left out
        self._left_out = [list(positions) for positions in left_out]
        settings = (optimizer, runtime, gradient_clipping, scaling)
        if privacy is not None:
            self._guarded_step: GuardedStep = PrivateStep(*settings, privacy)
        elif masks is not None:
            self._guarded_step = MaskedStep(*settings, masks)
        else:
            self._guarded_step = GuardedStep(*settings)
        self._changing = [one for one in (task, self._guarded_step) if isinstance(one, ChangesWithProgress)]
        self._pending: list[PendingUpdate] = []  # launched updates whose loss and norm are not read yet
        self._loss: Callable[..., Output] = runtime.compile(task.loss, getattr(task, "one_graph", True))
        self._pace = Pace(runtime.compiled)
        self._settled_at = -math.inf  # when loss and norm of the latest update were read

    @property
    def step(self) -> int:
        """Updates done, over all resumptions."""
        return self.clock.spent.steps

    def fit(self) -> None:
        """Update until the budget ends, the time runs out within an update, a hook sets `converged`, or a stop
        is requested.

        May be called off the main thread, and again after `clock.allow` raised the budget, with the same hooks
        or with others in `hooks`.

        An update whose loss or gradient norm is not finite is left out with its data, `retries` times in a row. Where a
        card has not enough memory for a micro-batch, it goes through the model in two parts from then on.

        Raises:
            NonFiniteLoss: before the weights are touched.
        """
        try:
            self._fit()
        except BaseException as error:
            for hook in self.hooks:
                hook.after_failure(self, error)
            raise

    def _fit(self) -> None:
        self._stream = self._opened_stream()
        self.converged = False
        self.model.train()
        self.clock.start()
        for hook in self.hooks:
            hook.before_training(self)
        self.processes.share_weights(self.model)
        while self._guarded_update():
            pass
        for hook in self.hooks:
            hook.after_training(self)
        if not self.stop_requested:
            for hook in self.hooks:
                hook.before_model(self)
        self.clock.stop()
        self._stream.close()

    def _opened_stream(self) -> Generator[Batch]:
        """The data from the cursor on, and nobody has got any of it."""
        ahead = max(4, self._rounds(1.0))  # an update takes all of its batches at once
        rank, size = self.processes.rank, self.processes.world_size
        self._dealer = (
            PrivateDealer(self.processes, self._privacy, self.cursor)
            if self._privacy
            else Dealer(self.processes)
        )
        batches = self.task.batches(self.cursor, self._batch.micro_batch // self._parts, rank, size)
        return self.runtime.feed(batches, ahead)

    def _reopen(self) -> None:
        """Read from the cursor on, whatever was read ahead."""
        self._stream.close()
        self._stream = self._opened_stream()

    def _guarded_update(self) -> bool:
        """An update and its hooks, or what else becomes of it; false where the run is over."""
        try:
            if not self._update():
                self.flush()
                return False
            for hook in self.hooks:
                hook.after_update(self)
        except NonFiniteLoss as error:
            self._leave_out(error)
        except ShortOfMemory:
            self._halve()
        return True

    def _leave_out(self, error: NonFiniteLoss) -> None:
        """Go on behind the data of an update whose numbers are not finite; the weights are those before it.

        Raises:
            NonFiniteLoss: there were too many of them in a row.
        """
        first, behind = error.positions
        if self._misses >= self._retries:
            raise error
        self._misses += 1
        self._left_out.append([first, behind])
        self.processes.tell(
            f"update {error.step}: its loss or gradient is not finite; left out, with positions {first} to "
            f"{behind - 1} of the data ({self._misses} of {self._retries} in a row)"
        )
        self.optimizer.zero_grad(set_to_none=True)
        self._guarded_step.recover()
        self.cursor = behind
        self.clock.leave_out(behind - first)
        self._reopen()

    def _halve(self) -> None:
        """Let half as many sequences through the model at once; an update averages as many as before."""
        self._parts *= 2
        at_once = self._batch.micro_batch // self._parts
        self.processes.tell(
            f"not enough memory on the card: {at_once} sequences go through the model at once from now on; an update "
            "averages as many as before"
        )
        self.optimizer.zero_grad(set_to_none=True)
        self._stream.close()
        self.runtime.free_memory()
        self._reopen()

    def _finished(self) -> bool:
        self.clock.reserve = sum(self.reserve.values())
        return self.converged or self.clock.finished(self._expected_seconds())

    def evaluate(self) -> dict[str, float] | None:
        """The task's scores; None where a stop is requested meanwhile."""
        self.flush()
        return self._unless_stopped(self.task.evaluate)

    def settle(self) -> None:
        """Let the task decide what it decides for the final weights (`contract.Settles`)."""
        self._unless_stopped(cast(Settles, self.task).settle)

    def _unless_stopped(self, work: Callable[[nn.Module], Result]) -> Result | None:
        """Work in evaluation mode and without gradients; None where a stop is requested meanwhile."""
        self.model.eval()
        try:
            with torch.no_grad(), self.runtime.arithmetic(), passes.until(lambda: self.stop_requested):
                return work(self.model)
        except passes.PassLeft:
            return None
        finally:
            self.model.train()

    def reserve_time(self, what: str, seconds: float) -> None:
        """Reserve time of the budget for after the last update.

        Args:
            what: "evaluation", "settling" or "checkpoint".
            seconds: as measured the last time, or as estimated.
        """
        self.reserve[what] = RESERVE_MARGIN * seconds

    def learning_rate(self) -> float:
        """Of the first parameter group, as the last update used it."""
        return float(self.optimizer.param_groups[0]["lr"])

    def flush(self) -> None:
        """Wait for the device, and pass the pending updates to the hooks.

        Raises:
            NonFiniteLoss: in a pending update; clock and cursor are set back to before that update.
        """
        waiting, self._pending = self._pending, []
        for one in waiting:
            loss, norm = one.numbers()
            try:
                self._refuse_non_finite(one.spent.steps + 1, loss, norm, (one.cursor, one.next_cursor))
            except NonFiniteLoss:
                self.clock.rewind(one.spent)
                self.cursor = one.cursor
                self.consistent = True  # the device skipped this step and all after it
                raise
            self._misses = 0
            now = time.perf_counter()
            seconds, self._settled_at = now - max(one.began, self._settled_at), now
            self._pace.learn(seconds, one.rounds)
            update = replace(one.update, loss=loss, gradient_norm=norm, seconds=seconds)
            for hook in self.hooks:
                hook.observe(self, update)

    def _update(self) -> bool:
        """One step of the optimizer; false where the run is over, or the time ran out within the update."""
        began = time.perf_counter()
        progress = self._agreed_progress()
        if progress is None:
            return False
        for group in self.optimizer.param_groups:
            group["lr"] = group["base_lr"] * self._schedule(progress)
        for one in self._changing:
            one.set_progress(progress)
        if isinstance(self.task, ReadsByProgress) and self.task.turns_to(progress):
            self._reopen()
        batches, whole = self._dealer.deal(self._stream, micro_batches(self._batch, progress) * self._parts)
        loss = self._accumulate(batches, whole.targets)
        if loss is None:
            return False
        norm = self._guarded_step.clip(self.model.parameters())
        numbers = torch.stack([loss, norm])
        known = self.runtime.fetch(numbers)
        if self._guarded_step.waits:
            loss_now, norm_now = known()
            self._refuse_non_finite(self.step + 1, loss_now, norm_now, (self.cursor, whole.next_cursor))
        self.consistent = False
        stepped_from = time.perf_counter()
        self._guarded_step.step(numbers)
        in_step = None if self.runtime.asynchronous else time.perf_counter() - stepped_from
        self.optimizer.zero_grad(set_to_none=True)
        if not self._guarded_step.waits:
            self.flush()  # the update before, while the device is busy with this one
        self._count(whole, began, self._rounds(progress), known, in_step)
        if self._guarded_step.waits:
            self.flush()
        return True

    def _count(
        self,
        whole: UpdateSize,
        began: float,
        rounds: int,
        numbers: Callable[[], list[float]],
        optimizer_seconds: float | None,
    ) -> None:
        """Charge an update to the budget, and add it to the pending updates."""
        spent, cursor = self.clock.spent, self.cursor
        self.clock.spend(whole.tokens, whole.next_cursor - cursor)
        self.cursor = whole.next_cursor
        update = Update(
            step=self.step,
            loss=math.nan,
            gradient_norm=math.nan,
            learning_rate=self.learning_rate(),
            sequences=whole.sequences,
            tokens=whole.tokens,
            seconds=math.nan,
            optimizer_seconds=optimizer_seconds,
            spent=self.clock.spent,
            progress=self.clock.progress(),
        )
        self._pending.append(PendingUpdate(numbers, cursor, self.cursor, spent, began, rounds, update))
        self.consistent = True

    def _agreed_progress(self) -> float | None:
        """The first process' progress, which all processes use for the next update; None where all of them end."""
        main = [0.0] * 4  # the first process' numbers; zeros of the others, because they are summed
        if self.processes.is_main:
            finished = float(self._finished())
            main = [finished, self.clock.progress(), self.clock.spent.seconds, self.clock.reserve]
        stop, finished, progress, seconds, reserve = self.processes.sum(float(self.stop_requested), *main)
        if stop:
            self.stop_requested = True
        if not self.processes.is_main:
            self.clock.follow(seconds, reserve)
        return None if finished or stop else progress

    def _accumulate(self, batches: dict[int, Batch], targets: int) -> torch.Tensor | None:
        """Accumulate the gradient of the mean loss over all targets of the update; None if the update is dropped.

        Args:
            batches: the micro-batches of this process, by their place in the update.
            targets: of the whole update, because a mean of means is wrong where micro-batches differ in targets.

        Raises:
            ShortOfMemory: of a card, of any process, whose micro-batch can be halved.
        """
        total = torch.zeros((), device=self.runtime.device)
        drop = short = False
        for done, (place, batch) in enumerate(batches.items()):
            drop = self.clock.finished(self._pace.first_update(len(batches) - done)) or self.stop_requested
            if drop:
                break
            began = time.perf_counter()
            # a seed by place: the same for any number of processes, and resuming needs no random state
            torch.manual_seed(mixed_seed(self._seed, self.step, place))
            try:
                total += self._backward(batch, targets)
            except torch.OutOfMemoryError:
                if self._batch.micro_batch // self._parts % 2:
                    raise
                short = True
                break
            if not self.runtime.asynchronous:
                self._pace.learn_first(time.perf_counter() - began)
        dropped, stop, starved = self.processes.sum(float(drop), float(self.stop_requested), float(short))
        if starved:
            raise ShortOfMemory
        if dropped:
            self.stop_requested = self.stop_requested or bool(stop)
            self.optimizer.zero_grad(set_to_none=True)
            return None
        return self.processes.add_up(self.model.parameters(), total)

    def _backward(self, batch: Batch, targets: int) -> torch.Tensor:
        """Add the gradient of a micro-batch; returns its part of the mean loss, on the device."""

        def loss_sum() -> torch.Tensor:
            with self.runtime.arithmetic():
                return self._loss(self.model, batch.inputs).loss_sum

        return self._guarded_step.backward(loss_sum, batch, targets)

    def _refuse_non_finite(self, step: int, loss: float, norm: float, positions: tuple[int, int]) -> None:
        if (math.isfinite(loss) and math.isfinite(norm)) or self._guarded_step.forgives():
            return
        before = f"So it was on the {self._misses} updates before it. " if self._misses else ""
        raise NonFiniteLoss(
            f"update {step}: the loss is {loss} and the gradient's norm {norm}, on positions {positions[0]} to "
            f"{positions[1] - 1} of the data. {before}Training stopped before the weights were touched. Lower "
            "optim.learning_rate, set gradient_clipping, or try runtime.precision=fp32.",
            step,
            positions,
        )

    def _expected_seconds(self) -> float:
        """Seconds until the next update is done, the pending updates included."""
        unfinished = sum(one.rounds for one in self._pending)
        return self._pace.update(unfinished + self._rounds(self.clock.progress()))

    def _rounds(self, progress: float) -> int:
        """Micro-batches that a process computes one after the other, at the most, in the update at this progress."""
        return math.ceil(micro_batches(self._batch, progress) * self._parts / self.processes.world_size)

    def state(self) -> dict[str, Any]:
        """JSON-able state that a resumed run needs besides weights and optimizer."""
        self.flush()
        return {
            "spent": vars(self.clock.spent),
            "position": self.cursor,  # its name on disk since the first version
            "reserve": self.reserve,
            "scaling": self._guarded_step.state(),
            "left_out": self._left_out,
        }
