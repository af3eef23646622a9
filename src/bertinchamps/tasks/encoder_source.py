"""The encoder that a fine-tuning run starts from (`model=`), and the encoder's tokenizer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bertinchamps.console import tell
from bertinchamps.data.tokenizer import open_tokenizer as open_own
from bertinchamps.data.tokenizer import vocabulary
from bertinchamps.data.tokenizer_training import train_tokenizer
from bertinchamps.errors import UserError
from bertinchamps.model.architecture import build_config
from bertinchamps.model.encoders import EncoderSource, open_tokenizer
from bertinchamps.model.locating import located
from bertinchamps.schemas import FinetuneConfig
from bertinchamps.tasks.facts import FILE as TASK_FILE
from bertinchamps.training.checkpoint import write_directory
from bertinchamps.training.run import Run
from bertinchamps.training.run_files import last_finished, read_facts

SCRATCH = "scratch"


def encoder_name(config: FinetuneConfig) -> Path | str:
    """What `model=` resolves to: a directory, a name on the Hub, or "scratch".

    Raises:
        UserError: there is no such directory, a damaged model, or no finished run yet.
    """
    if config.model == "last":
        run = last_finished(config.runs_dir, "pretrain")
        if run is None:
            raise UserError(
                f"model=last: no finished pretraining run in {config.runs_dir}; pretrain one "
                "(python -m bertinchamps.pretrain …), or give model=DIR, a name on the Hub, or model=scratch"
            )
        return located("model", str(run))
    if config.model == SCRATCH:
        return config.model
    return located("model", config.model)


def label_of(config: FinetuneConfig, encoder: str) -> str:
    """What reports call a model that was fine-tuned from an encoder: its shape, its run, or its name.

    Args:
        config: the settings, which have the shape of random weights.
        encoder: a directory, a name on the Hub, or "scratch".
    """
    if encoder == SCRATCH:
        return f"scratch {config.arch.num_hidden_layers}x{config.arch.hidden_size}"
    name = Path(encoder)
    return name.parent.name if name.name == "model" else str(name)


def remarks_on(encoder: str) -> list[str]:
    """Caveats beside every score: whoever fine-tuned the encoder before, nobody compared those examples with these.

    Args:
        encoder: a directory, a name on the Hub, or "scratch".
    """
    if not (Path(encoder) / TASK_FILE).is_file():
        return []
    return [
        "the encoder was fine-tuned before, and whether the examples of that task hold the text of dev or test was not "
        "measured"
    ]


def open_encoder(config: FinetuneConfig, run: Run, resumed_from: Path | None) -> tuple[Any, EncoderSource]:
    """The tokenizer, and the source of the encoder: a checkpoint, a model, or scratch.

    Raises:
        UserError: the tokenizer cannot be opened.
    """
    if resumed_from is not None:
        name = str(resumed_from)
        return open_tokenizer(name), EncoderSource(name, dropout=config.dropout, with_head=True)
    if config.model != SCRATCH:
        name = read_facts(run.folder)["encoder"]
        return open_tokenizer(name), EncoderSource(name, dropout=config.dropout)
    folder = _own_tokenizer(config, run)
    own = vocabulary(open_own(folder))
    architecture = build_config(asdict(config.arch), own.size, **own.named_ids)
    return open_tokenizer(str(folder)), EncoderSource(str(folder), architecture, config.dropout)


def prepare_tokenizer(config: FinetuneConfig, run: Run, texts: Iterator[str]) -> None:
    """Train the tokenizer of a model from scratch on `texts`, into the run's directory, unless there is one."""
    folder = _own_tokenizer(config, run)
    if config.model == SCRATCH and config.tokenizer.path is None and not folder.exists():
        write_directory(folder, lambda new: train_tokenizer(config.tokenizer, texts, new, tell))


def _own_tokenizer(config: FinetuneConfig, run: Run) -> Path:
    return Path(config.tokenizer.path or run.folder / "tokenizer").expanduser()
