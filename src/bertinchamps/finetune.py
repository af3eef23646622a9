"""python -m bertinchamps.finetune: an encoder and examples in, a model, its predictions and honest scores out."""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertinchamps import command_line
from bertinchamps.config import FinetuneConfig, canonical, named
from bertinchamps.contract import SPLITS
from bertinchamps.errors import UserError
from bertinchamps.prepare import tell

if TYPE_CHECKING:  # rooms that import torch open when the command line has proved right: --help stays instant
    from bertinchamps.model.downstream import EncoderSource
    from bertinchamps.tasks import Splits
    from bertinchamps.tasks.classification import TextClassification
    from bertinchamps.tasks.ner import EntityRecognition
    from bertinchamps.tasks.saved import TaskFacts
    from bertinchamps.training.hooks import Selection
    from bertinchamps.training.run import Run
    from bertinchamps.training.trainer import Trainer

Examples = Mapping[str, list[Any]]
CARVING_SEED = 0  # runs of different seeds are to be compared, so they share one dev split


def finetune(config: FinetuneConfig) -> Path:
    """Fine-tune one configuration.

    Returns:
        The run's directory, with the model, its predictions and results.json in it.

    Raises:
        UserError: something the user can mend; nothing that existed was lost.
    """
    from bertinchamps.tasks import tasks
    from bertinchamps.training.run import open_run, read_summary

    reader = tasks.build(**config.task)
    read = reader.read()
    splits = _splits(config, read)
    remarks = list(reader.remarks)
    if not read.get("dev"):
        remarks.append(
            f"no dev split in the data: it is {config.selection.dev_share:.0%} of train, set aside by text"
        )
    run = open_run("finetune", config, _fingerprint(splits), _run_label(config), tell)
    with run.lock:
        if not run.finished:
            train(config, reader.kind, splits, remarks, run)
    for split, protocols in read_summary(run.folder, "finetune")["scores"].items():
        for protocol, scores in protocols.items():
            shown = [f"{name} {value:.4f}" for name, value in scores.items() if isinstance(value, float)]
            tell(f"{split:<5} {protocol:<13} {', '.join(shown)}")
    tell(f"results    {run.folder / 'results.json'}\npredicted  {run.folder / 'predictions'}")
    tell(f"model      {run.folder / 'model'}")
    return run.folder


def score(config: FinetuneConfig) -> float:
    """Fine-tune one configuration and return its best dev score: what a sweep compares, never test."""
    from bertinchamps.training.run import read_summary

    return float(read_summary(finetune(config), "finetune")["selection"]["value"])


def train(config: FinetuneConfig, kind: str, splits: Examples, remarks: list[str], run: Run) -> None:
    """Build what training needs, in order; train; score dev and test with the best weights, once."""
    import torch
    from transformers.utils.logging import disable_progress_bar

    from bertinchamps.model.flops import downstream_flops_per_token
    from bertinchamps.model.trained_rows import train_rows
    from bertinchamps.tasks.saved import build_labeller, build_model
    from bertinchamps.training import checkpoint, hooks
    from bertinchamps.training.clock import Clock, Spent
    from bertinchamps.training.optim import optimizers
    from bertinchamps.training.runtime import build_runtime
    from bertinchamps.training.schedules import schedules
    from bertinchamps.training.trackers import trackers
    from bertinchamps.training.trainer import NonFiniteLoss, Trainer

    began = time.perf_counter()
    disable_progress_bar()  # type: ignore[no-untyped-call]  # of loading and saving, which would break into ours
    runtime = build_runtime(config.runtime)
    tokenizer, source = _encoder(config, splits, run)
    facts = _facts(config, kind, splits, source)
    torch.manual_seed(config.seed)
    if run.resumed_from:
        source = replace(source, name=str(run.resumed_from), config=None, with_head=True)
    model: Any = build_model(facts, source).to(runtime.device)
    task = _task(config, splits, build_labeller(facts, tokenizer, config.batch.evaluation, runtime.device))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    flops = downstream_flops_per_token(model, model.model.config, config.max_length)
    train_rows(model.model, task.train_ids())
    if config.runtime.activation_checkpointing:
        model.model.gradient_checkpointing_enable()
    optimizer = optimizers.build(**config.optim, model=model)
    if run.resumed_from:
        optimizer.load_state_dict(checkpoint.read_optimizer(run.resumed_from))
    clock = Clock(config.budget, task.epoch_length(), flops, Spent(**run.state.get("spent", {})))
    tracker = trackers.build(**config.tracker, run_dir=run.folder, settings=asdict(config))
    bar = hooks.BudgetBar(lines_every=1.0)
    log = hooks.MetricsLog(run.folder / "metrics.jsonl", clock.spent.steps, tracker)
    selection = hooks.Selection(
        config.selection, config.selection.metric or task.metric, log, bar, run.resumed_from
    )

    def save(folder: Path) -> None:
        model.save(folder)
        tokenizer.save_pretrained(folder)
        facts.save(folder)

    checkpoints = hooks.Checkpoints(config.checkpoint, run.folder, save, bar, selection)
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
        hooks=[hooks.Logging(log, bar), selection, checkpoints, hooks.StopOnSignal()],
        position=run.state.get("position", 0),
        reserve=run.state.get("reserve"),
    )
    tell(f"run        {run.folder}")
    tell(f"model      {parameters:,} parameters, from {config.model}")
    for split in splits:
        tell(f"{split:<10} {_counts(task.facts(split))}")
    tell(f"device     {runtime.describe()}")
    try:
        trainer.fit()
    except NonFiniteLoss:
        checkpoints.save(trainer)  # the weights are those before the update that was refused
        raise
    finally:
        bar.stop()
        tracker.close()
    if trainer.stop_requested:
        raise UserError(f"stopped at step {trainer.step}; the same command with resume={run.folder} goes on")
    known = {"parameters": parameters, "remarks": remarks, "began": began}
    _conclude(config, facts, task, trainer, selection, run, known)


def _conclude(
    config: FinetuneConfig,
    facts: TaskFacts,
    task: Any,
    trainer: Trainer,
    selection: Selection,
    run: Run,
    known: Mapping[str, Any],
) -> None:
    """Predict every split with the chosen weights, score dev and test, and write it all down."""
    import torch

    from bertinchamps.tasks.outputs import write_predictions
    from bertinchamps.training.run import finish, read_facts

    scores = {}
    trainer.model.eval()
    for split in task.splits:
        with torch.no_grad(), trainer.runtime.autocast():
            predicted = task.predict(trainer.model, split)
        write_predictions(run.folder / "predictions", task, split, predicted)
        if split != "train":
            scores[split] = task.scores(split, predicted)
    spent, begun = trainer.clock.spent, read_facts(run.folder)
    results = {
        "task": facts.title,
        "kind": facts.kind,
        "head": facts.head,
        "model": config.model,
        "model_label": config.label or _model_label(config),
        "parameters": known["parameters"],
        "seed": config.seed,
        "command": begun["command"],
        "versions": {"python": begun["python"], **begun["versions"]},
        "data_fingerprint": begun["data_fingerprint"],
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "hardware": f"{trainer.runtime.describe()}; {platform.platform()}",
        "cost": {
            "seconds": time.perf_counter() - known["began"],
            "training_seconds": spent.seconds,
            "epochs": spent.positions / trainer.clock.epoch_length,
            "steps": spent.steps,
            "tokens": spent.tokens,
            "flops": spent.flops,
        },
        "selection": {"split": "dev", "metric": selection.metric, **selection.best},
        "data": {split: task.facts(split) for split in task.splits},
        "remarks": known["remarks"],
        "scores": scores,
    }
    finish(run, results)


def _splits(config: FinetuneConfig, read: Splits) -> Examples:
    """Train, dev and test; dev is carved from train where the data have none."""
    from bertinchamps.tasks.splits import with_dev

    if not read.get("train"):
        raise UserError(f"task={_title(config)}: no training examples were found")
    whole: Any = read if read.get("dev") else with_dev(read, config.selection.dev_share, CARVING_SEED)
    return {split: whole[split] for split in SPLITS if whole.get(split)}


def _encoder(config: FinetuneConfig, splits: Examples, run: Run) -> tuple[Any, EncoderSource]:
    """The tokenizer, and where the encoder comes from."""
    from bertinchamps.data.tokenizer import open_tokenizer as open_own
    from bertinchamps.data.tokenizer import train_tokenizer, vocabulary
    from bertinchamps.model.architecture import build_config
    from bertinchamps.model.downstream import EncoderSource, open_tokenizer

    if config.model != "scratch":
        name = str(_model_name(config))
        tell(f"model=     {name}")
        return open_tokenizer(name), EncoderSource(name, dropout=config.dropout)
    folder = Path(config.tokenizer.path or run.folder / "tokenizer").expanduser()
    if config.tokenizer.path is None and not folder.exists():
        folder.mkdir()
        texts = (text for example in splits["train"] for text in (example.text, getattr(example, "pair", "")))
        train_tokenizer(config.tokenizer, (text for text in texts if text), folder, tell)
    own = vocabulary(open_own(folder))
    architecture = build_config(asdict(config.arch), own.size, **own.named_ids)
    return open_tokenizer(str(folder)), EncoderSource(str(folder), architecture, config.dropout)


def _facts(config: FinetuneConfig, kind: str, splits: Examples, source: EncoderSource) -> TaskFacts:
    from bertinchamps.model.downstream import longest_input, open_config
    from bertinchamps.tasks.classification import scale_of
    from bertinchamps.tasks.saved import TaskFacts
    from bertinchamps.tasks.splits import label_names

    longest = longest_input(source.config or open_config(source.name))
    if config.max_length > longest:
        raise UserError(f"max_length={config.max_length}: this encoder reads at most {longest} tokens")
    scale = scale_of(splits["train"]) if kind == "number" else None
    return TaskFacts(
        title=_title(config),
        kind=kind,
        head=config.head if kind == "ner" else None,
        labels=("number",) if scale else label_names(splits),
        max_length=config.max_length,
        mean=scale.mean if scale else 0.0,
        deviation=scale.deviation if scale else 1.0,
    )


def _task(config: FinetuneConfig, splits: Examples, labeller: Any) -> EntityRecognition | TextClassification:
    from bertinchamps.tasks.classification import TextClassification, TextLabeller
    from bertinchamps.tasks.ner import EntityRecognition

    build = TextClassification if isinstance(labeller, TextLabeller) else EntityRecognition
    return build(splits, labeller, config.batch, config.seed)


def _model_name(config: FinetuneConfig) -> Path | str:
    """The directory or the name on the Hub that `model=` means.

    Raises:
        UserError: there is no such directory, or no run yet.
    """
    from bertinchamps.training.run import last_finished

    if config.model == "last":
        run = last_finished(config.runs_dir, "pretrain")
        if run is None:
            raise UserError(
                f"model=last: no finished pretraining run in {config.runs_dir}; pretrain one "
                "(python -m bertinchamps.pretrain …), or give model=DIR, a name on the Hub, or model=scratch"
            )
        return run / "model"
    folder = Path(config.model).expanduser()
    for candidate in (folder, folder / "model"):
        if (candidate / "config.json").is_file():
            return candidate
    if folder.exists() or config.model.startswith((".", "/", "~")) or config.model.count("/") > 1:
        raise UserError(f"model={config.model}: no model there (no config.json, and no model/config.json)")
    return config.model


def _title(config: FinetuneConfig) -> str:
    name, settings = named(config.task)
    if "corpus" in settings:
        return f"{name}_{settings['corpus']}".lower()
    return f"{name}_{Path(settings['train']).name.split('.')[0]}" if "train" in settings else name


def _run_label(config: FinetuneConfig) -> str:
    return f"{_title(config)}_{config.head}_seed{config.seed}"


def _model_label(config: FinetuneConfig) -> str:
    if config.model == "scratch":
        return f"scratch {config.arch.num_hidden_layers}x{config.arch.hidden_size}"
    name = Path(_model_name(config))
    return str(name.parent.name if name.name == "model" else name)


def _fingerprint(splits: Examples) -> str:
    """A name for exactly these examples in exactly these splits."""
    return hashlib.blake2b(canonical(splits).encode(), digest_size=8).hexdigest()


def _counts(facts: Mapping[str, Any]) -> str:
    shown = [f"{value:,} {name.replace('_', ' ')}" for name, value in facts.items() if isinstance(value, int)]
    lost = facts.get("not_representable")
    if lost:
        shown.append("this head cannot hold " + ", ".join(f"{count} ({why})" for why, count in lost.items()))
    return ", ".join(shown)


def problems(config: FinetuneConfig) -> list[str]:
    """Every mistake in a configuration, in the user's key names."""
    from bertinchamps.model.architecture import arch_problems
    from bertinchamps.tasks import tasks
    from bertinchamps.tasks.entities import representations
    from bertinchamps.training.clock import budget_problems
    from bertinchamps.training.optim import optimizer_problems
    from bertinchamps.training.runtime import runtime_problems
    from bertinchamps.training.schedules import batch_problems, schedule_problems
    from bertinchamps.training.trackers import tracker_problems

    found = budget_problems(config.budget)
    wrong_task = tasks.problems(*named(config.task))
    if not wrong_task:
        try:
            tasks.build(**config.task).check()
        except UserError as error:
            wrong_task = [str(error)]
    found += wrong_task
    found += representations.problems(config.head, given=("labels",))
    if config.model == "scratch":
        from bertinchamps.data.tokenizer import tokenizer_problems

        found += arch_problems(asdict(config.arch)) + tokenizer_problems(config.tokenizer)
    else:
        try:
            _model_name(config)
        except UserError as error:
            found.append(str(error))
    found += optimizer_problems(*named(config.optim))
    found += schedule_problems(*named(config.schedule))
    found += batch_problems(config.batch)
    found += runtime_problems(config.runtime)
    found += tracker_problems(*named(config.tracker))
    return found + _number_problems(config)


def _number_problems(config: FinetuneConfig) -> list[str]:
    clipping, choice = config.gradient_clipping, config.selection
    batches_differ = "off is all there is here: batches differ in length, and each would be compiled anew"
    rules = (
        ("seed", config.seed, config.seed >= 0, "must be at least 0"),
        ("runtime.compile", config.runtime.compile, config.runtime.compile == "off", batches_differ),
        ("max_length", config.max_length, config.max_length >= 16, "must be at least 16"),
        ("dropout", config.dropout, 0 <= (config.dropout or 0) < 1, "from 0 to less than 1"),
        ("gradient_clipping", clipping, (clipping or 0) > 0 or clipping is None, "above zero, or null"),
        ("batch.evaluation", config.batch.evaluation, config.batch.evaluation >= 1, "must be at least 1"),
        ("selection.every_epochs", choice.every_epochs, choice.every_epochs > 0, "must be above zero"),
        ("selection.patience", choice.patience, choice.patience != 0, "must be at least 1"),
        ("selection.dev_share", choice.dev_share, 0 < choice.dev_share < 1, "a share between 0 and 1"),
    )
    return [f"{key}={value}: {remedy}" for key, value, right, remedy in rules if not right]


def main() -> None:
    """Entry point of `python -m bertinchamps.finetune`."""
    command_line.run("finetune", score, problems)


if __name__ == "__main__":
    main()
