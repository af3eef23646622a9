"""python -m bertinchamps.pretrain: documents in, a French masked language model out, inside a budget."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertinchamps import command_line
from bertinchamps.console import tell
from bertinchamps.errors import ProcessEnded, Stopped, ToldByFirst
from bertinchamps.launch import launched
from bertinchamps.prepare import problems as data_problems
from bertinchamps.schemas import PretrainConfig, named

if TYPE_CHECKING:  # rooms that import torch open when the command line has proved right: --help stays instant
    import torch
    from transformers import PreTrainedModel

    from bertinchamps.contract import Task
    from bertinchamps.data.corpus import Corpus
    from bertinchamps.model.heads.masked_lm import BertinchampsForMaskedLM
    from bertinchamps.training.clock import Clock
    from bertinchamps.training.distributed import Processes
    from bertinchamps.training.run import Run
    from bertinchamps.training.trainer import Trainer


LARGE_BATCH = 2048  # sequences an update


def pretrain(config: PretrainConfig) -> Path:
    """Pretrain one configuration.

    Returns:
        The run's directory, with the finished model in it.

    Raises:
        UserError: something the user can mend; nothing that existed was lost.
    """
    import torch

    from bertinchamps.training.distributed import join
    from bertinchamps.training.run import open_run, read_summary
    from bertinchamps.training.shared_run import refuse_differences, share_run

    processes = join()
    say = tell if processes.first else _nothing
    if (config.budget.hours or math.inf) < 1 and config.batch.size >= LARGE_BATCH:
        say(
            f"note: {config.batch.size} sequences an update leave few updates in {config.budget.hours:g} hours; "
            "experiment=short is made for budgets under an hour"
        )
    if config.resume == "never" and max(processes.gather(processes.restarts)):
        say("torchrun began this job again, which makes resume=auto of resume=never")
        config = replace(config, resume="auto")
    corpus = _corpus(config, processes)
    _task(config, corpus, torch.device("cpu"))  # refuses what it cannot do before there is a run
    refuse_differences(processes, config, corpus.fingerprint)
    label = f"{config.arch.num_hidden_layers}x{config.arch.hidden_size}"
    run = share_run(processes, lambda: open_run("pretrain", config, corpus.fingerprint, label, tell))
    with run.lock:
        if run.finished:
            say(f"{run.folder}: this run is finished, so nothing was trained; its scores:")
        else:
            train(config, corpus, run, processes)
    summary = processes.from_first(lambda: read_summary(run.folder))
    say(
        f"held out   loss {summary['held_out']['loss']:.4f} nats, accuracy {summary['held_out']['accuracy']:.1%} "
        f"of masked tokens\n"
        f"spent      {summary['spent']['seconds'] / 60:.1f} min, {summary['spent']['steps']:,} updates, "
        f"{summary['spent']['tokens']:,} tokens, {summary['spent']['flops']:.3g} FLOP "
        f"({summary['tokens_per_second']:,.0f} tokens/s, {summary['share_of_peak_flops']:.1%} of "
        f"{summary['peak_flops'] / 1e12:.3g} TFLOP/s, {summary['peak_origin']})\n"
        f"curve      {run.folder / 'loss.png'}\n"
        f"model      {run.folder / 'model'}"
    )
    return run.folder


def score(config: PretrainConfig) -> float:
    """Pretrain one configuration and return its final held-out loss, in nats: what a sweep compares."""
    from bertinchamps.training.distributed import join
    from bertinchamps.training.run import read_summary

    folder = pretrain(config)
    return join().from_first(lambda: float(read_summary(folder)["held_out"]["loss"]))


def _corpus(config: PretrainConfig, processes: Processes) -> Corpus:
    """The corpus, built by one process of each machine, and opened by the others as soon as it is there."""
    from bertinchamps.data.corpus import prepare
    from bertinchamps.data.online import open_online

    build = open_online if config.data.get("online") else prepare
    builds = processes.local_rank == 0
    built = processes.together(lambda: build(config, tell) if builds else None)
    return processes.together(lambda: built or build(config, _nothing))


def _task(config: PretrainConfig, corpus: Corpus, device: torch.device) -> Task:
    """What is learnt."""
    from bertinchamps.objectives import objectives

    given: dict[str, Any] = {"corpus": corpus, "seed": config.seed, "device": device}
    return objectives.build(**config.objective, **given, evaluation_blocks=config.evaluation.blocks)


def _nothing(message: str) -> None:
    """Stands in for `tell` where another process says it."""


def train(config: PretrainConfig, corpus: Corpus, run: Run, processes: Processes) -> None:
    """Build what training needs, in order; train until the budget ends; leave a model and a summary."""
    from transformers.utils.logging import disable_progress_bar

    from bertinchamps.model.flops import flops_per_token
    from bertinchamps.training import checkpoint
    from bertinchamps.training.clock import Clock, Spent, most_flops
    from bertinchamps.training.hooks import StopOnSignal
    from bertinchamps.training.optim import optimizers
    from bertinchamps.training.runtime import CPU_FLOPS, build_runtime
    from bertinchamps.training.schedules import schedules
    from bertinchamps.training.trainer import Trainer

    disable_progress_bar()  # type: ignore[no-untyped-call]  # of loading and saving, which would break into ours
    runtime = build_runtime(config.runtime, processes)
    model = _model(config, corpus, run).to(runtime.device)  # type: ignore[arg-type]  # a wrapper they annotate wrongly
    optimizer = optimizers.build(**config.optim, model=model)
    if run.resumed_from:
        optimizer.load_state_dict(checkpoint.read_optimizer(run.resumed_from))
    task = _task(config, corpus, runtime.device)
    flops = flops_per_token(model.config, config.blocks.sequence_length, task.target_share)
    if config.runtime.compile == "auto":
        tokens = config.blocks.sequence_length
        sizes = (config.batch.size * tokens, task.epoch_length() * tokens)
        runtime = runtime.for_run(most_flops(config.budget, CPU_FLOPS, flops, *sizes))
    if config.runtime.activation_checkpointing:
        runtime.recompute_activations(model)
    clock = Clock(config.budget, task.epoch_length(), flops, Spent(**run.state.get("spent", {})))
    records = _Records(config, corpus, run, model, clock) if processes.first else None
    trainer = Trainer(
        task=task,
        model=model,
        optimizer=optimizer,
        schedule=schedules.build(**config.schedule),
        batch=config.batch,
        clock=clock,
        runtime=runtime,
        seed=config.seed,
        gradient_clipping=config.gradient_clipping,
        hooks=[*(records.hooks if records else []), StopOnSignal()],
        position=run.state.get("position", 0),
        reserve=run.state.get("reserve"),
        scaling=run.state.get("scaling"),
        processes=processes,
    )
    if records:
        tell(f"run        {run.folder}")
        tell(
            f"model      {model.num_parameters():,} parameters, {flops / 1e9:.4g} GFLOP a token, forward and backward"
        )
        tell(f"device     {runtime.describe()}")
    try:
        _fit(trainer, run)
    finally:
        if records:
            records.close()
    processes.from_first(lambda: _conclude(run, trainer, records))


class _Records:
    """What the first process keeps of a run beside training: metrics, scores, checkpoints."""

    def __init__(
        self, config: PretrainConfig, corpus: Corpus, run: Run, model: PreTrainedModel, clock: Clock
    ) -> None:
        from bertinchamps.training import hooks
        from bertinchamps.training.trackers import trackers

        self._bar = hooks.BudgetBar()
        self._tracker = trackers.build(**config.tracker, run_dir=run.folder, settings=asdict(config))
        log = hooks.MetricsLog(run.folder / "metrics.jsonl", clock.spent.steps, self._tracker, self._bar.say)
        save = _saver(model, corpus.tokenizer_folder)
        self.evaluation = hooks.Evaluation(config.evaluation, log, self._bar)
        self.checkpoints = hooks.Checkpoints(config.checkpoint, run.folder, save, self._bar)
        self.hooks = [hooks.Logging(log, self._bar), self.evaluation, self.checkpoints]

    def close(self) -> None:
        """Leave the terminal and the tracker in order."""
        self._bar.stop()
        self._tracker.close()


def _fit(trainer: Trainer, run: Run) -> None:
    """Train; where that breaks off, the weights after the last whole update are in a checkpoint."""
    from bertinchamps.training.trainer import NonFiniteLoss

    try:
        trainer.fit()
    except NonFiniteLoss as error:
        trainer.processes.from_first(
            lambda: None
        )  # all of them have it, and wait for the first one's checkpoint
        if not trainer.processes.first:
            raise ToldByFirst(str(error)) from error
        raise
    except ProcessEnded as error:
        raise ProcessEnded(
            f"{error}. The weights after update {trainer.step} are in a checkpoint: the same command with "
            f"resume={run.folder} goes on, and torchrun --max-restarts=N does so by itself"
        ) from error


def _model(config: PretrainConfig, corpus: Corpus, run: Run) -> BertinchampsForMaskedLM:
    """The model with initial weights that the seed decides, or those of the checkpoint to go on from."""
    import torch

    from bertinchamps.model.architecture import build_config
    from bertinchamps.model.heads.masked_lm import BertinchampsForMaskedLM, load_masked_lm

    if run.resumed_from:
        model = load_masked_lm(run.resumed_from)
    else:
        torch.manual_seed(config.seed)
        vocabulary = corpus.vocabulary
        model = BertinchampsForMaskedLM(
            build_config(asdict(config.arch), vocabulary.size, **vocabulary.named_ids)
        )
    return model


def _conclude(run: Run, trainer: Trainer, records: _Records | None) -> None:
    """Write the summary, which marks the run as finished, and draw the loss; or say how to go on."""
    from bertinchamps.training.figures import plot_loss
    from bertinchamps.training.hooks import read_metrics
    from bertinchamps.training.run import finish

    if trainer.stop_requested:
        raise Stopped(f"stopped at step {trainer.step}; the same command with resume={run.folder} goes on")
    spent, runtime = trainer.clock.spent, trainer.runtime
    summary = {
        "held_out": records.evaluation.scores if records else {},
        "spent": vars(spent),
        "tokens_per_second": spent.tokens / spent.seconds,
        "share_of_peak_flops": spent.flops / spent.seconds / runtime.peak_flops,
        "peak_flops": runtime.peak_flops,
        "peak_origin": runtime.peak_origin,
        "device": runtime.describe(),
        "parameters": sum(parameter.numel() for parameter in trainer.model.parameters()),
    }
    finish(run, summary)  # first, so that a figure that fails costs no run
    plot_loss(read_metrics(run.folder / "metrics.jsonl"), run.folder.name, run.folder / "loss")


def _saver(model: PreTrainedModel, tokenizer_folder: Path) -> Callable[[Path], None]:
    """Writes what `from_pretrained` opens into a directory: model and tokenizer, as it was when the run began."""
    from bertinchamps.data.tokenizer import TOKENIZER_FILES

    tokenizer = {name: (tokenizer_folder / name).read_bytes() for name in TOKENIZER_FILES}

    def save(folder: Path) -> None:
        model.save_pretrained(folder)
        for name, content in tokenizer.items():
            (folder / name).write_bytes(content)

    return save


def problems(config: PretrainConfig) -> list[str]:
    """Every mistake in a configuration, in the user's key names."""
    from bertinchamps.model.architecture import arch_problems
    from bertinchamps.objectives import objectives
    from bertinchamps.training.clock import budget_problems
    from bertinchamps.training.optim import optimizer_problems
    from bertinchamps.training.run import place_problems
    from bertinchamps.training.runtime import runtime_problems
    from bertinchamps.training.schedules import batch_problems, schedule_problems
    from bertinchamps.training.trackers import tracker_problems

    given = ("corpus", "seed", "evaluation_blocks", "device")
    length = config.blocks.sequence_length
    found = budget_problems(config.budget)
    found += data_problems(config)
    found += arch_problems(asdict(config.arch))
    found += objectives.problems(*named(config.objective), given=given)
    found += optimizer_problems(*named(config.optim))
    found += schedule_problems(*named(config.schedule))
    found += batch_problems(config.batch)
    found += runtime_problems(config.runtime)
    found += tracker_problems(*named(config.tracker))
    found += place_problems(config)
    if config.arch.positions == "learned" and length > config.arch.max_positions:
        found.append(
            f"blocks.sequence_length={length}: learned positions end at arch.max_positions={config.arch.max_positions}"
        )
    if config.data.get("online") and config.budget.epochs is not None:
        found.append(
            f"budget.epochs={config.budget.epochs}: with data.online=true nobody knows where an epoch ends"
        )
    if config.gradient_clipping is not None and config.gradient_clipping <= 0:
        found.append(f"gradient_clipping={config.gradient_clipping}: must be above zero; null turns it off")
    if not 0 < config.evaluation.every <= 1:
        found.append(
            f"evaluation.every={config.evaluation.every}: a share of the budget, above 0 and up to 1"
        )
    if config.seed < 0:
        found.append(f"seed={config.seed}: must be at least 0")
    if any("arch.stock=" in problem for problem in found):
        found.append(
            "a recipe may set parts of arch, and experiment=short does; experiment=paper leaves it whole"
        )
    for key, value in (
        ("evaluation.blocks", config.evaluation.blocks),
        ("checkpoint.keep", config.checkpoint.keep),
    ):
        if value < 1:
            found.append(f"{key}={value}: must be at least 1")
    return found


def main() -> None:
    """Entry point of `python -m bertinchamps.pretrain`."""
    command_line.run("pretrain", score, problems, several_processes=True)
    if launched().size > 1:
        from bertinchamps.training.distributed import leave

        leave()


if __name__ == "__main__":
    main()
