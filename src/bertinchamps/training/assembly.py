"""THE assembly: every training run is put together here, in one order.

    problem → model → optimizer → clock → hooks → trainer → fit → conclude

Pretraining passes a masked-LM objective and `Evaluation`, fine-tuning a task and `Selection`; an experiment, a
distilled student or a federated round passes a problem, hooks and a budget of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol, Self

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.utils.logging import disable_progress_bar

from bertinchamps.contract import Task
from bertinchamps.errors import ProcessEnded, ReportedByMain, Stopped, UserError
from bertinchamps.signals import be_deaf, hearing
from bertinchamps.training import checkpoint, hooks
from bertinchamps.training.clock import Clock, Spent, most_flops
from bertinchamps.training.distributed import ALONE, Processes
from bertinchamps.training.hook import Hook
from bertinchamps.training.hook import hooks as registered_hooks
from bertinchamps.training.optim import optimizers
from bertinchamps.training.plan import idle_lines, plan_lines
from bertinchamps.training.privacy.private_run import PrivateRun
from bertinchamps.training.run import Run, finish
from bertinchamps.training.run_records import Records, Scores
from bertinchamps.training.runtime import CPU_FLOPS, Runtime
from bertinchamps.training.schedules import schedules
from bertinchamps.training.sparsity.counting import at_density
from bertinchamps.training.sparsity.masks import Masks, build_masks
from bertinchamps.training.trainer import Trainer
from bertinchamps.training.training_settings import Settings
from bertinchamps.training.updates import NonFiniteLoss


class Problem(Task, Protocol):
    """A task with its model, the model's FLOPs, and what is saved of a run."""

    tokens_per_position: int  # tokens of one position of the data stream, at the most
    saves_frozen: bool = False  # whether weights that are not trained are saved with the others
    privacy: PrivateRun | None = None  # protects records of the data
    long_results: bool = False  # whoever is interrupted in `results` goes on from the end of training

    def build_model(self, resumed_from: Path | None) -> nn.Module:
        """The model on the CPU: loaded from a checkpoint, or new, with weights drawn from torch's seeded generator."""

    def flops_per_token(self, model: nn.Module) -> float | Callable[[float], float]:
        """FLOPs per token of forward and backward; a function of progress where they change while training."""

    def matrix_flops(self, model: nn.Module) -> Mapping[str, float] | Callable[[float], Mapping[str, float]]:
        """Of these, those of each linear map, by the name of its module; here: all tokens go through all maps."""
        maps = {name: part for name, part in model.named_modules() if isinstance(part, nn.Linear)}
        return {name: 3.0 * 2 * part.weight.numel() for name, part in maps.items()}

    def narrow(self, model: nn.Module) -> None:
        """Freeze the parameters that are not to be trained; called just before the optimizer is built."""

    def describe(self, parameters: int, flops_per_token: float) -> Iterator[str]:
        """Lines to print about the model and the data, before training."""

    def save(self, model: nn.Module, folder: Path, spent: Callable[[], Spent]) -> None:
        """Write model and tokenizer, as `from_pretrained` opens them; `spent` returns the cost of the run so far."""

    def results(self, training: Training) -> dict[str, Any]:
        """The summary of a finished run, JSON-able: scores, cost, and what they come from."""


class Training:
    """An assembled run; a context manager, which closes the progress bar and the tracker.

    Attributes:
        problem: what is learnt.
        run: the run's directory.
        trainer: THE loop with all parts.
        parameters: of the model, the frozen ones included.
    """

    def __init__(
        self, problem: Problem, run: Run, trainer: Trainer, parameters: int, records: Records | None
    ) -> None:
        self.problem, self.run, self.trainer, self.parameters = problem, run, trainer, parameters
        self._records = records

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._records is not None:
            self._records.close()

    @property
    def scoring(self) -> hooks.Scoring:
        """The hook that scores.

        Raises:
            RuntimeError: this is not the first process, which alone scores.
        """
        return self._of_first_process.scoring

    def cost(self) -> dict[str, Any]:
        """Peak memory, energy, money and CO2 of training so far, evaluations included.

        Raises:
            RuntimeError: this is not the first process, which alone counts.
        """
        return self._of_first_process.costs.record(self.trainer)

    @property
    def _of_first_process(self) -> Records:
        if self._records is None:
            raise RuntimeError("only the first process scores")
        return self._records

    def fit(self) -> None:
        """Train until the budget ends; after an error, the last whole update is in a checkpoint.

        SIGTERM, SIGHUP or Ctrl-C end it after the update, or within an evaluation, with a checkpoint; where several
        processes train, all stop when one of them gets a signal.

        May be called off the main thread, where no signals come and `trainer.stop_requested = True` ends it, and again
        after `trainer.clock.allow` raised the budget.

        Raises:
            NonFiniteLoss: before the weights are touched.
            ProcessEnded: another process of this job ended.
        """
        processes = self.trainer.processes
        with hearing(self._stop_soon):
            try:
                self.trainer.fit()
            except NonFiniteLoss as error:
                processes.from_first(
                    lambda: None
                )  # all raise this error; wait for the first one's checkpoint
                if not processes.is_main:
                    raise ReportedByMain(str(error)) from error
                raise
            except ProcessEnded as error:
                be_deaf()  # torchrun's signal is on its way, and must not cut short the error's message
                raise ProcessEnded(
                    f"{error}. The weights after update {self.trainer.step} are in a checkpoint: the same command with "
                    f"resume={self.run.folder} goes on, and torchrun --max-restarts=N does so by itself"
                ) from error

    def _stop_soon(self, number: int) -> None:
        self.trainer.stop_requested, self.trainer.stopped_by = True, number
        self.trainer.processes.tell("\nstopping, with a checkpoint; once more to leave at once")

    def conclude(self) -> None:
        """Write the results, which mark the run as finished.

        Raises:
            Stopped: a signal ended training before the budget did; nothing is written.
            UserError: they cannot be written; resuming the run writes them.
        """
        self.trainer.processes.from_first(self._conclude)

    def _conclude(self) -> None:
        folder = self.run.folder
        if self.trainer.stop_requested:
            told = f"stopped at step {self.trainer.step}; the same command with resume={folder} goes on"
            raise Stopped(told, self.trainer.stopped_by)
        try:
            finish(self.run, self.problem.results(self))
        except OSError as error:
            raise UserError(
                f"{folder}: the results cannot be written ({error.strerror}). Make room: the same command with "
                f"resume={folder} writes them"
            ) from error
        self._of_first_process.checkpoints.forget_end()


def assemble(
    config: Settings,
    problem: Problem,
    runtime: Runtime,
    run: Run,
    scores: Scores,
    processes: Processes = ALONE,
    more_hooks: Sequence[Hook] = (),
) -> Training:
    """Put a run together.

    Args:
        config: the settings.
        problem: what is learnt.
        runtime: device, precision, compilation.
        run: the directory, and the checkpoint to resume from.
        scores: builds the hook that scores, such as `partial(Evaluation, config.evaluation)`.
        processes: that train together.
        more_hooks: called after all others, on every process.

    Raises:
        UserError: the checkpoint or the model cannot be read.
    """
    disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers' bars would break into ours
    model, parameters, clock, masks = _build_model(config, problem, runtime, run)
    runtime = _worth_compiling(config, problem, runtime, clock)
    if config.runtime.activation_checkpointing:
        runtime.recompute_activations(_encoder(model))
    optimizer = optimizers.build(**config.optim, model=model)
    if run.resumed_from:
        optimizer.load_state_dict(checkpoint.read_optimizer(run.resumed_from))
    save = partial(_save, problem, model, clock, masks)
    first = (config, run, clock.spent.steps, scores, save, problem.long_results)
    records = Records(*first) if processes.is_main else None
    trainer = Trainer(
        task=problem,
        model=model,
        optimizer=optimizer,
        schedule=schedules.build(**config.schedule),
        batch=config.batch,
        clock=clock,
        runtime=runtime,
        seed=config.seed,
        gradient_clipping=config.gradient_clipping,
        hooks=_build_hooks(config, run, records, [*filter(None, (masks, problem.privacy)), *more_hooks]),
        **_resumed(run.state),
        retries=config.checkpoint.retries,
        processes=processes,
        masks=masks,
        privacy=problem.privacy,
    )
    lines = [*problem.describe(parameters, clock.dense_flops_per_token), *_plan(config, clock, trainer)]
    processes.tell(f"run        {run.folder}", *lines, f"device     {runtime.describe()}")
    return Training(problem, run, trainer, parameters, records)


def _resumed(state: dict[str, Any]) -> dict[str, Any]:
    """What a trainer takes of a checkpoint's state; of a new run, there is none."""
    kept = {key: state.get(key) for key in ("reserve", "scaling")}
    return {"cursor": state.get("position", 0), "left_out": state.get("left_out", ()), **kept}


def _build_model(
    config: Settings, problem: Problem, runtime: Runtime, run: Run
) -> tuple[nn.Module, int, Clock, Masks | None]:
    """The model on its device, the number of its parameters, the clock that charges its FLOPs, and its masks."""
    torch.manual_seed(config.seed)
    model: Any = problem.build_model(run.resumed_from).to(runtime.device)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    dense = problem.flops_per_token(model)
    problem.narrow(model)
    masks = build_masks(config.sparsity, model, config.seed, problem.saves_frozen)
    counted = at_density(dense, problem.matrix_flops(model), masks) if masks else dense
    spent = Spent.restored(run.state.get("spent", {}))
    clock = Clock(config.budget, problem.epoch_length(), counted, spent, dense_flops_per_token=dense)
    return model, parameters, clock, masks


def _plan(config: Settings, clock: Clock, trainer: Trainer) -> Iterator[str]:
    """What is said before the first update, beside the problem's own lines."""
    if trainer.masks:
        yield from trainer.masks.describe(clock.flops_per_token, clock.dense_flops_per_token)
    yield from idle_lines(config.batch, trainer.processes)
    yield from plan_lines(clock, config.batch)


def _save(problem: Problem, model: nn.Module, clock: Clock, masks: Masks | None, folder: Path) -> None:
    """Write model and tokenizer, and what is told of weights that are zero."""
    problem.save(model, folder, spent=lambda: clock.spent)
    if masks:
        masks.write_facts(folder)


def _build_hooks(config: Settings, run: Run, records: Records | None, more: Sequence[Hook]) -> list[Hook]:
    """All hooks in order, with their state from the checkpoint."""
    configured = [registered_hooks.build(**node) for node in config.hooks]
    built = [*configured, *(records.hooks if records else ()), *more]
    if run.resumed_from:
        for hook in built:
            hook.load(run.resumed_from / "resume")
    return built


def _worth_compiling(config: Settings, problem: Problem, runtime: Runtime, clock: Clock) -> Runtime:
    """The runtime; not compiled where `auto` finds the run too short for compilation to pay off."""
    if config.runtime.compile != "auto":
        return runtime
    tokens = problem.tokens_per_position
    sizes = (config.batch.size * tokens, clock.epoch_length * tokens)
    return runtime.for_run(most_flops(config.budget, CPU_FLOPS, clock.dense_flops_per_token, *sizes))


def _encoder(model: nn.Module) -> PreTrainedModel:
    """The model of transformers in it."""
    return next(part for part in model.modules() if isinstance(part, PreTrainedModel))
