"""What can be wrong before fine-tuning starts: settings, examples, encoder; all of it told at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bertinchamps.errors import UserError
from bertinchamps.schemas import FinetuneConfig, named

Examples = Mapping[str, list[Any]]


def problems(config: FinetuneConfig) -> list[str]:
    """Every mistake in a configuration, in the user's key names."""
    from bertinchamps.model.architecture import arch_problems
    from bertinchamps.tasks import tasks
    from bertinchamps.tasks.entities import representations
    from bertinchamps.training.clock import budget_problems
    from bertinchamps.training.optim import optimizer_problems
    from bertinchamps.training.run import place_problems
    from bertinchamps.training.runtime import runtime_problems
    from bertinchamps.training.schedules import batch_problems, schedule_problems
    from bertinchamps.training.trackers import tracker_problems

    found = budget_problems(config.budget)
    wrong_task = tasks.problems(*named(config.task))
    if not wrong_task:
        reader = tasks.build(**config.task)
        found += _metric_problems(reader.kind, config.selection.metric)
        try:
            reader.check()
        except UserError as error:
            wrong_task = [str(error)]
    found += wrong_task
    found += representations.problems(config.head, given=("labels",))
    if config.model == "scratch":
        from bertinchamps.data.tokenizer import tokenizer_problems

        found += arch_problems(asdict(config.arch)) + tokenizer_problems(config.tokenizer)
        if config.arch.positions == "learned" and config.max_length > config.arch.max_positions:
            found.append(
                f"max_length={config.max_length}: learned positions end at "
                f"arch.max_positions={config.arch.max_positions}"
            )
    else:
        try:
            model_name(config)
        except UserError as error:
            found.append(str(error))
    found += optimizer_problems(*named(config.optim))
    found += schedule_problems(*named(config.schedule))
    found += batch_problems(config.batch)
    found += runtime_problems(config.runtime)
    found += tracker_problems(*named(config.tracker))
    found += place_problems(config)
    return found + _number_problems(config)


def _metric_problems(kind: str, metric: str | None) -> list[str]:
    from bertinchamps.registry import closest
    from bertinchamps.tasks import classification, ner

    menu = ner.METRICS if kind == "ner" else classification.METRICS[kind]
    if metric is None or metric in menu:
        return []
    return [
        f"selection.metric={metric}: no score that may choose{closest(metric, menu)} (one of: {', '.join(menu)})"
    ]


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
        (
            "selection.patience",
            choice.patience,
            choice.patience is None or choice.patience >= 1,
            "must be at least 1; null: never give up",
        ),
        ("checkpoint.keep", config.checkpoint.keep, config.checkpoint.keep >= 1, "must be at least 1"),
        ("selection.dev_share", choice.dev_share, 0 < choice.dev_share < 1, "a share between 0 and 1"),
    )
    return [f"{key}={value}: {remedy}" for key, value, right, remedy in rules if not right]


def unusable_inputs(
    config: FinetuneConfig, kind: str, splits: Examples, labels: tuple[str, ...], encoder: str
) -> list[str]:
    """What is wrong with these examples and this encoder, told before a directory is made."""
    from bertinchamps.model.encoders import longest_input, open_config, open_tokenizer
    from bertinchamps.tasks.formats import brat
    from bertinchamps.training.checkpoint import refuse_damaged

    found = brat.label_problems(labels) if kind == "ner" else []
    no_choice = "in the dev split, so no score could choose among weights: give another one (task.dev)"
    if kind == "ner" and not any(document.entities for document in splits["dev"]):
        found.append(f"task: no entity {no_choice}, or raise selection.dev_share")
    if kind == "single_label" and len(labels) < 2:
        found.append(f"task: only one class, {len(splits['train'])} times; is task.label the right column?")
    if kind == "number" and len({example.target for example in splits["dev"]}) < 2:
        found.append(f"task: only one number {no_choice}, or raise selection.dev_share")
    if encoder != "scratch":
        try:
            refuse_damaged(Path(encoder))
            longest = longest_input(open_config(encoder))
            open_tokenizer(encoder)
        except UserError as error:
            return [*found, str(error)]
        if config.max_length > longest:
            found.append(
                f"max_length={config.max_length}: this encoder reads at most {longest} tokens at once; set "
                f"max_length={longest} or less"
            )
    return found


def length_remarks(config: FinetuneConfig, encoder: str) -> list[str]:
    """What has to be said of windows that are longer than the encoder was made for, where it can read them at all."""
    from bertinchamps.model.encoders import open_config

    if encoder == "scratch":
        made_for = config.arch.max_positions
    else:
        made_for = getattr(open_config(encoder), "max_position_embeddings", None) or config.max_length
    if config.max_length <= made_for:
        return []
    return [
        f"max_length={config.max_length} is more than the {made_for} tokens that the encoder was made for: it reads "
        "them, but never learnt such distances, and time and memory grow with the square of a text's length"
    ]


def model_name(config: FinetuneConfig) -> Path | str:
    """The directory or the name on the Hub that `model=` means today, or scratch.

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
    if config.model == "scratch":
        return config.model
    folder = Path(config.model).expanduser()
    for candidate in (folder, folder / "model"):
        if (candidate / "config.json").is_file():
            return candidate
    # who names a folder that is here means one below it: a name is not sent to the Hub by mistake
    local = "/" in config.model and Path(folder.parts[0]).is_dir()
    if folder.exists() or local or config.model.startswith((".", "/", "~")) or config.model.count("/") > 1:
        raise UserError(f"model={config.model}: no model there (no config.json, and no model/config.json)")
    return config.model
