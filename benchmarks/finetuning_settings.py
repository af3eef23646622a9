"""What both sides of benchmarks.finetuning are given: the settings, the texts, and a model where none is named."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from benchmarks.sentences import documents
from bertinchamps.checks import finetuning as finetuning_checks
from bertinchamps.command_line.mistakes import mistakes
from bertinchamps.composing import configuration
from bertinchamps.console import tell
from bertinchamps.contract import AnnotatedText
from bertinchamps.errors import UserError
from bertinchamps.schemas import FinetuneConfig

RECIPE = "the peer knows no such thing; recipe=entities_paper is for both"


def own_sentences(arguments: argparse.Namespace) -> bool:
    """Whether the texts are written here."""
    return arguments.data is None and not any(word.startswith("task=") for word in arguments.settings)


def corpus(arguments: argparse.Namespace, folder: Path) -> list[str]:
    """The settings that name the data."""
    if own_sentences(arguments):
        from bertinchamps.tasks.formats import spans_jsonl

        spans_jsonl.write(folder / "train.jsonl", documents(arguments.sentences))
        return ["task=ner", "recipe=entities_paper", setting("task.train", folder / "train.jsonl")]
    words = ["task=quaero_emea", "recipe=entities_paper"]
    return [*words, setting("task.path", arguments.data)] if arguments.data else []


def shared(arguments: argparse.Namespace) -> list[str]:
    """The settings that both sides have in common."""
    # A model of our own is built once the texts are read; `scratch` lets its architecture be checked.
    words = [
        f"budget.epochs={arguments.epochs}",
        f"max_length={arguments.padding}",
        setting("model", arguments.model or "scratch"),
    ]
    return words + ([f"runtime.threads={arguments.threads}"] if arguments.threads else [])


def setting(key: str, value: object) -> str:
    """A word of the command line, quoted so that it may hold anything."""
    return f"{key}={json.dumps(str(value), ensure_ascii=False)}"


def composed(words: list[str]) -> FinetuneConfig:
    """The configuration of these words, after all that is wrong with them was told."""
    problems = mistakes("finetune", words, finetuning_checks.problems)
    if problems:
        raise UserError("\n".join(problems))
    config: FinetuneConfig = configuration("finetune", words)
    return config


def refuse_unequal(config: FinetuneConfig) -> None:
    """Raise UserError where the two sides would not do the same."""
    limits = [field.name for field in fields(config.budget) if getattr(config.budget, field.name) is not None]
    rules = (
        ("head", config.head, config.head == "flat", "only tags can be learnt by both sides: flat"),
        ("optim", config.optim["name"], config.optim["name"] == "adamw", "both sides use adamw"),
        ("optim.learning_rate", "null", config.optim["learning_rate"] is not None, RECIPE),
        ("mask_rate", config.mask_rate, config.mask_rate == 0, RECIPE),
        ("budget", limits, limits == ["epochs"], "both sides count in epochs only"),
        ("batch.ramp", config.batch.ramp, config.batch.ramp == 0, "the peer has no ramp: 0"),
    )
    problems = [f"{key}={value}: {remedy}" for key, value, right, remedy in rules if not right]
    if problems:
        raise UserError("\n".join(problems))


def random_model(config: FinetuneConfig, train: Sequence[AnnotatedText], folder: Path) -> str:
    """Write an untrained model of the configured architecture, with a tokenizer of these texts."""
    import torch
    from transformers import AutoModelForMaskedLM

    from bertinchamps.data.tokenizer import open_tokenizer, vocabulary
    from bertinchamps.data.tokenizer_training import train_tokenizer
    from bertinchamps.model.architecture import build_config

    folder.mkdir()
    train_tokenizer(config.tokenizer, (document.text for document in train), folder, tell)
    own = vocabulary(open_tokenizer(folder))
    torch.manual_seed(config.seed)
    architecture = build_config(asdict(config.arch), own.size, **own.named_ids)
    model = AutoModelForMaskedLM.from_config(architecture)  # type: ignore[no-untyped-call]
    model.save_pretrained(folder)
    return str(folder)
