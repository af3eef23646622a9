"""python -m bertinchamps.finetune: an encoder and examples in, a model, its predictions and honest scores out."""

from __future__ import annotations

import hashlib
import platform
import re
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertinchamps import command_line
from bertinchamps.console import tell
from bertinchamps.contract import SPLITS
from bertinchamps.errors import Stopped, UserError
from bertinchamps.finetune_checks import Examples, length_remarks, model_name, problems, unusable_inputs
from bertinchamps.fingerprints import canonical
from bertinchamps.schemas import FinetuneConfig, named

if TYPE_CHECKING:  # rooms that import torch open when the command line has proved right: --help stays instant
    from bertinchamps.model.encoders import EncoderSource
    from bertinchamps.tasks import Splits
    from bertinchamps.tasks.classification import TextClassification
    from bertinchamps.tasks.ner import EntityRecognition
    from bertinchamps.tasks.saved import TaskFacts
    from bertinchamps.training.hooks import Selection
    from bertinchamps.training.run import Run
    from bertinchamps.training.trainer import Trainer

LONGEST_LABEL = 100  # characters of a title in the name of a directory
CARVING_SEED = 0  # runs of different seeds are to be compared, so they share one dev split


def finetune(config: FinetuneConfig) -> Path:
    """Fine-tune one configuration.

    Returns:
        The run's directory, with the model, its predictions and results.json in it.

    Raises:
        UserError: something the user can mend; nothing that existed was lost.
    """
    from bertinchamps.tasks import tasks
    from bertinchamps.tasks.splits import label_names, split_remarks
    from bertinchamps.training.run import open_run, read_summary

    reader = tasks.build(**config.task)
    read = reader.read()
    splits = _splits(config, read)
    remarks = [*reader.remarks, *split_remarks(splits)]
    if not read.get("dev"):
        remarks.append(
            f"no dev split in the data: it is {config.selection.dev_share:.0%} of train, set aside by text"
        )
    labels, encoder = label_names(splits), str(model_name(config))
    unusable = unusable_inputs(config, reader.kind, splits, labels, encoder)
    if unusable:
        raise UserError("\n".join(unusable))
    remarks += length_remarks(config, encoder)
    settled = {"encoder": encoder}
    run = open_run("finetune", config, _fingerprint(splits), _run_label(config, reader.kind), tell, settled)
    with run.lock:
        if run.finished:
            tell(f"{run.folder}: this run is finished, so nothing was trained; its results:")
        else:
            train(config, reader.kind, splits, labels, remarks, run)
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


def train(
    config: FinetuneConfig,
    kind: str,
    splits: Examples,
    labels: tuple[str, ...],
    remarks: list[str],
    run: Run,
) -> None:
    """Build what training needs, in order; train; score dev and test with the best weights, once."""
    import torch
    from transformers.utils.logging import disable_progress_bar

    from bertinchamps.model.flops import downstream_flops_per_token
    from bertinchamps.model.trained_rows import train_rows
    from bertinchamps.tasks.saved import build_labeller, build_model
    from bertinchamps.tasks.splits import label_lines
    from bertinchamps.training import checkpoint, hooks
    from bertinchamps.training.clock import Clock, Spent
    from bertinchamps.training.optim import optimizers
    from bertinchamps.training.runtime import build_runtime
    from bertinchamps.training.schedules import schedules
    from bertinchamps.training.trackers import trackers
    from bertinchamps.training.trainer import Trainer

    began = time.perf_counter()
    disable_progress_bar()  # type: ignore[no-untyped-call]  # of loading and saving, which would break into ours
    runtime = build_runtime(config.runtime)
    tokenizer, source = _encoder(config, splits, run)
    facts = _facts(config, kind, splits, labels)
    torch.manual_seed(config.seed)
    model: Any = build_model(facts, source).to(runtime.device)
    task = _task(config, splits, build_labeller(facts, tokenizer, config.batch.evaluation, runtime.device))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    flops = downstream_flops_per_token(model, model.model.config, config.max_length)
    train_rows(model.model, task.train_ids())
    if config.runtime.activation_checkpointing:
        runtime.recompute_activations(model.model)
    optimizer = optimizers.build(**config.optim, model=model)
    if run.resumed_from:
        optimizer.load_state_dict(checkpoint.read_optimizer(run.resumed_from))
    clock = Clock(config.budget, task.epoch_length(), flops, Spent(**run.state.get("spent", {})))
    tracker = trackers.build(**config.tracker, run_dir=run.folder, settings=asdict(config))
    bar = hooks.BudgetBar(lines_every=1.0)
    log = hooks.MetricsLog(run.folder / "metrics.jsonl", clock.spent.steps, tracker, bar.say)
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
        scaling=run.state.get("scaling"),
    )
    tell(f"run        {run.folder}")
    tell(f"model      {parameters:,} parameters, from {source.name}")
    for split in splits:
        tell(f"{split:<10} {_counts(task.facts(split))}")
    for line in [*label_lines(splits), *(f"note       {remark}" for remark in remarks)]:
        tell(line)
    tell(f"device     {runtime.describe()}")
    try:
        trainer.fit()
    finally:
        tracker.close()
    if trainer.stop_requested:
        raise Stopped(f"stopped at step {trainer.step}; the same command with resume={run.folder} goes on")
    before = Spent(**run.state.get("spent", {})).seconds
    known = {"parameters": parameters, "remarks": remarks, "began": began - before}
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
    from bertinchamps.training.run import finish, read_facts, settings_but_the_seed

    scores = {}
    trainer.model.eval()
    for split in task.splits:
        with torch.no_grad(), trainer.runtime.arithmetic():
            predicted = task.predict(trainer.model, split)
        write_predictions(run.folder / "predictions", task, split, predicted)
        if split != "train":
            scores[split] = task.scores(split, predicted)
    spent, begun = trainer.clock.spent, read_facts(run.folder)
    results = {
        "task": facts.title,
        "kind": facts.kind,
        "head": facts.head,
        "model": begun["encoder"],
        "model_label": config.label or _model_label(config, begun["encoder"]),
        "parameters": known["parameters"],
        "seed": config.seed,
        "settings": {"model": begun["encoder"], **settings_but_the_seed(asdict(config))},
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
    from bertinchamps.model.encoders import EncoderSource, open_tokenizer
    from bertinchamps.training.checkpoint import write_directory
    from bertinchamps.training.run import read_facts

    if run.resumed_from:
        name = str(run.resumed_from)
        return open_tokenizer(name), EncoderSource(name, dropout=config.dropout, with_head=True)
    if config.model != "scratch":
        name = read_facts(run.folder)["encoder"]
        return open_tokenizer(name), EncoderSource(name, dropout=config.dropout)
    folder = Path(config.tokenizer.path or run.folder / "tokenizer").expanduser()
    if config.tokenizer.path is None and not folder.exists():
        texts = (text for example in splits["train"] for text in (example.text, getattr(example, "pair", "")))
        some = (text for text in texts if text)
        write_directory(folder, lambda new: train_tokenizer(config.tokenizer, some, new, tell))
    own = vocabulary(open_own(folder))
    architecture = build_config(asdict(config.arch), own.size, **own.named_ids)
    return open_tokenizer(str(folder)), EncoderSource(str(folder), architecture, config.dropout)


def _facts(config: FinetuneConfig, kind: str, splits: Examples, labels: tuple[str, ...]) -> TaskFacts:
    from bertinchamps.tasks.classification import scale_of
    from bertinchamps.tasks.saved import TaskFacts

    scale = scale_of(splits["train"]) if kind == "number" else None
    return TaskFacts(
        title=_title(config),
        kind=kind,
        head=config.head if kind == "ner" else None,
        labels=("number",) if scale else labels,
        max_length=config.max_length,
        mean=scale.mean if scale else 0.0,
        deviation=scale.deviation if scale else 1.0,
        pairs=kind != "ner" and splits["train"][0].pair is not None,
    )


def _task(config: FinetuneConfig, splits: Examples, labeller: Any) -> EntityRecognition | TextClassification:
    from bertinchamps.tasks.classification import TextClassification, TextLabeller
    from bertinchamps.tasks.ner import EntityRecognition

    build = TextClassification if isinstance(labeller, TextLabeller) else EntityRecognition
    return build(splits, labeller, config.batch, config.seed)


def _title(config: FinetuneConfig) -> str:
    name, settings = named(config.task)
    if "corpus" in settings:
        return f"{name}_{settings['corpus']}".lower()
    if "train" not in settings:
        return name
    from bertinchamps.tasks.custom import named_after

    return str(settings.get("title") or f"{name}_{named_after(Path(settings['train']))}")


def _run_label(config: FinetuneConfig, kind: str) -> str:
    """Goes into the name of a run's directory; heads are those of entities."""
    title = re.sub(r"[^\w.-]+", "-", _title(config)).strip("-.")[:LONGEST_LABEL]
    return "_".join([title, *([config.head] if kind == "ner" else []), f"seed{config.seed}"])


def _model_label(config: FinetuneConfig, encoder: str) -> str:
    if encoder == "scratch":
        return f"scratch {config.arch.num_hidden_layers}x{config.arch.hidden_size}"
    name = Path(encoder)
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


def main() -> None:
    """Entry point of `python -m bertinchamps.finetune`."""
    command_line.run("finetune", score, problems)


if __name__ == "__main__":
    main()
