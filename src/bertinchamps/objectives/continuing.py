"""`model=` in pretraining: a masked language model of transformers, or one of ours, is trained further on a corpus.

The base brings its architecture, its head, its weights and its tokenizer; the result is saved in the class it came
from. A checkpoint is such a model as well, so a run that is resumed needs its base no more.

    RUN/checkpoints/step-N/resume/adapter.safetensors   with `adapter=`: the adapted maps as they are trained; the model
                                                        of a checkpoint has the adapter merged into its weights
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from bertinchamps.data.corpus import Corpus
from bertinchamps.data.tokenizer_extension import read_parts
from bertinchamps.data.tokenizer_replacement import read_replacement
from bertinchamps.errors import UserError
from bertinchamps.model.adapters import adapters
from bertinchamps.model.adapters.injected import PeftAdapter
from bertinchamps.model.encoders import DROPOUTS, EncoderSource, open_config, open_model, without_bars
from bertinchamps.model.flops import masked_lm_flops_per_token, masked_lm_matrix_flops_per_token
from bertinchamps.model.heads.stock_masked_lm import AtMaskedPositions, refuse_other_logits
from bertinchamps.model.locating import located
from bertinchamps.model.longer_rows import rotary_base, tables_of, with_more_positions
from bertinchamps.model.new_rows import with_new_rows, with_other_rows
from bertinchamps.model.poolers import add_poolers, poolers_of
from bertinchamps.objectives.earlier_models import origin_of, refuse_other_tokenizer
from bertinchamps.schemas import PretrainConfig
from bertinchamps.training.depths import depths_of
from bertinchamps.training.hook import Hook

KEY = "model"
STATE = "adapter.safetensors"
SETTINGS = "tokenizer_config.json"


class Base:
    """The masked language model that a run goes on from.

    Args:
        config: the settings; `model` is given.
        corpus: whose tokenizer it must have.

    Attributes:
        added: number of weights of an adapter, which are no part of the finished model.
    """

    def __init__(self, config: PretrainConfig, corpus: Corpus) -> None:
        self._name = str(config.model)
        self._key = f"{KEY}={self._name}"
        self._resuming = config.resume != "never"
        self._dropout, self._frozen = config.dropout, config.freeze.layers
        self._adapter = adapters.build(**config.adapter)
        self._corpus, self._new_entries = corpus, read_parts(corpus.tokenizer_folder)
        self._replacement = read_replacement(corpus.tokenizer_folder)
        # A run that is resumed may have its tokenizer from a checkpoint, which does not say what is new in it.
        asked = config.tokenizer.extend is not None or config.tokenizer.replace is not None
        self._other_entries = asked or bool(self._new_entries) or self._replacement is not None
        self._positions = config.positions
        self.added = 0
        self._model: AtMaskedPositions | None = None
        self._original: dict[str, Any] = {}  # dropouts of the base, which are saved with the model
        self._poolers: dict[str, torch.Tensor] = {}  # for which its class has no place

    def origin(self) -> dict[str, Any] | None:
        """What a run's files record of the base; None where it is gone, as a resumed run allows.

        Raises:
            UserError: it has another tokenizer, or cannot be read.
        """
        try:
            source = located(KEY, self._name)
            refuse_other_tokenizer(self._corpus, self._key, source)
            return origin_of(source, self._opened(str(source), self._entries_of_base()).model)
        except UserError:
            if self._resuming:
                return None
            raise

    def build(self, recorded: Mapping[str, Any]) -> AtMaskedPositions:
        """The base as it is trained, with whatever adapter it gets.

        Args:
            recorded: of `origin`, as the run's files have it; empty: nothing.

        Raises:
            UserError: it is missing, damaged, another one than was recorded, or does not fit the corpus.
        """
        source = located(KEY, self._name)
        refuse_other_tokenizer(self._corpus, self._key, source)
        masked = self._opened(str(source), self._entries_of_base())
        if recorded:
            before, now = recorded.get("fingerprint"), origin_of(source, masked.model)["fingerprint"]
            if before != now:
                raise UserError(
                    f"{self._key}: not the model that this run began with (fingerprint {before} then, {now} now), and "
                    "there is no checkpoint yet; start a new run without resume"
                )
        if self._replacement is not None:
            parts, moved = self._replacement.parts, self._replacement.moved
            masked = AtMaskedPositions(with_other_rows(masked.model, parts, moved, self._key))
        if self._new_entries:
            masked = AtMaskedPositions(with_new_rows(masked.model, self._new_entries, self._key))
        if (tokens := self._positions.extend) is not None:
            longer = with_more_positions(masked.model, tokens, self._positions.theta, self._key)
            masked = AtMaskedPositions(longer)
        return self._prepared(masked)

    def load(self, folder: Path) -> AtMaskedPositions:
        """The model of a checkpoint, as it is trained; `AdapterState` has the weights of an adapter.

        Raises:
            UserError: weights are missing, left over, or of another shape.
        """
        return self._prepared(self._opened(str(folder), self._corpus.vocabulary.size))

    def _entries_of_base(self) -> int:
        """Number of entries that the base needs, with those that its tokenizer has and the corpus' not."""
        if self._replacement is not None:
            return max(max(old) for old in self._replacement.parts) + 1
        return self._corpus.vocabulary.size - len(self._new_entries)

    def _opened(self, name: str, size: int) -> AtMaskedPositions:
        """The whole model with its head, loaded strictly.

        Args:
            name: of a directory, or on the Hub.
            size: entries that its tokenizer has.

        Raises:
            UserError: see `open_model`; or it predicts fewer tokens.
        """
        config = open_config(name)
        self._poolers = poolers_of(name)
        self._original = {key: getattr(config, key) for key in DROPOUTS if hasattr(config, key)}
        source = EncoderSource(name, dropout=self._dropout, with_head=True)
        with without_bars():
            masked = AtMaskedPositions(open_model("AutoModelForMaskedLM", source, None))
        if masked.config.vocab_size < size:
            raise UserError(
                f"{self._key}: it predicts {masked.config.vocab_size:,} tokens, and its tokenizer has {size:,}"
            )
        return masked

    def _prepared(self, masked: AtMaskedPositions) -> AtMaskedPositions:
        """Freeze what is not trained, and add the adapter.

        Rows of other entries are means, which stand for these entries only once they are trained. So the embedding of
        tokens is trained beside a frozen encoder, as Cui et al. (2023) do with LoRA and new entries (Chinese LLaMA).
        New positions are copies, and their table is trained for the same reason (as in LongLoRA, Chen et al., 2024).
        """
        refuse_other_logits(masked, self._key)
        self._model = masked
        if isinstance(self._adapter, PeftAdapter):
            self._adapt(masked, self._adapter)
        elif self._frozen:
            depths = depths_of(masked)
            if self._frozen not in depths.values():
                raise UserError(
                    f"freeze.layers={self._frozen}: the layers of a {masked.config.model_type} model are no list of so "
                    "many; set freeze.layers=0"
                )
            for parameter in masked.parameters():
                parameter.requires_grad_(depths[id(parameter)] > self._frozen)
        if self._other_entries:
            masked.model.get_input_embeddings().weight.requires_grad_(True)
        for table in tables_of(masked.model) if self._positions.extend is not None else ():
            masked.model.get_parameter(table).requires_grad_(True)
        return masked

    def _adapt(self, masked: AtMaskedPositions, adapter: PeftAdapter) -> None:
        """Freeze the encoder, and inject the adapter; the head, apart from a tied embedding, is trained."""
        encoder = {id(parameter) for parameter in masked.model.base_model.parameters()}
        head = [parameter for parameter in masked.parameters() if id(parameter) not in encoder]
        masked.requires_grad_(False)
        before = sum(parameter.numel() for parameter in masked.parameters())
        adapter.inject(masked.model)
        self.added = sum(parameter.numel() for parameter in masked.parameters()) - before
        for parameter in head:
            parameter.requires_grad_(True)

    def save(self, folder: Path) -> None:
        """Write the model in the class that it came from, with an adapter merged into its weights."""
        model = cast(AtMaskedPositions, self._model).model
        if isinstance(self._adapter, PeftAdapter):
            model = copy.deepcopy(model)  # merging and taking back would change last digits of the weights
            self._adapter.merge(cast(Any, SimpleNamespace(model=model)))
        with _settings(model.config, self._original):
            model.save_pretrained(folder)
        add_poolers(folder, self._poolers)

    def flops(self, masked_tokens: int, length: int) -> float:
        """Operations per token of forward and backward, with so many masked tokens in each row of a length."""
        return masked_lm_flops_per_token(cast(AtMaskedPositions, self._model), length, masked_tokens)

    def matrix_flops(self, masked_tokens: int, length: int) -> dict[str, float]:
        """Of `flops`, those of each linear map, by the name of its module."""
        return masked_lm_matrix_flops_per_token(cast(AtMaskedPositions, self._model), length, masked_tokens)

    def describe(self) -> Iterator[str]:
        """What is trained of it, in lines."""
        model = cast(AtMaskedPositions, self._model)
        trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
        what = self._adapter.describe() or (f"{self._frozen} layers frozen" if self._frozen else "all of it")
        if what != "all of it" and self._other_entries:
            what += "; and the embedding of tokens, because entries are new"
        if (tokens := self._positions.extend) is not None:
            base = rotary_base(model.config)
            how = "the base's table, copied behind itself" if base is None else f"rotary base {base:,.0f}"
            yield f"positions  for rows of {tokens:,} tokens: {how}"
        yield f"goes on    from {self._name} ({type(model.model).__name__}), {trained:,} parameters trained: {what}"

    def tokenizer_files(self, files: Mapping[str, bytes]) -> dict[str, bytes]:
        """Files of the tokenizer, by name, with the longest row that the model reads in their settings."""
        tokens, content = self._positions.extend, files.get(SETTINGS)
        if tokens is None or content is None:
            return dict(files)
        settings = json.loads(content)
        if settings.get("model_max_length", tokens) < tokens:
            settings["model_max_length"] = tokens
        return {**files, SETTINGS: json.dumps(settings, indent=2, ensure_ascii=False).encode()}

    def hooks(self) -> list[Hook]:
        """Hooks that save and load what the model of a checkpoint does not hold."""
        return [AdapterState(self)] if isinstance(self._adapter, PeftAdapter) else []

    def adapted_maps(self) -> dict[str, torch.Tensor]:
        """All weights of the adapted maps, those of the base and those of the adapter, by name."""
        from peft.tuners.tuners_utils import BaseTunerLayer

        return {
            f"{name}.{key}": tensor
            for name, part in cast(nn.Module, self._model).named_modules()
            if isinstance(part, BaseTunerLayer)
            for key, tensor in cast(nn.Module, part).state_dict().items()
        }


class AdapterState(Hook):
    """Keeps the adapted maps in a checkpoint's resume state, because its model has the adapter merged.

    Args:
        base: whose adapter it is.
    """

    def __init__(self, base: Base) -> None:
        self._base = base

    def save(self, folder: Path) -> None:
        maps = {name: tensor.contiguous() for name, tensor in self._base.adapted_maps().items()}
        save_file(maps, folder / STATE)

    @torch.no_grad()
    def load(self, folder: Path) -> None:
        maps = self._base.adapted_maps()
        try:
            saved = load_file(folder / STATE)
        except (OSError, SafetensorError) as error:
            raise UserError(f"{folder / STATE}: missing or damaged ({type(error).__name__})") from error
        if saved.keys() != maps.keys() or any(saved[name].shape != maps[name].shape for name in maps):
            raise UserError(f"{folder / STATE}: of another adapter, or of another model")
        for name, tensor in maps.items():
            tensor.copy_(saved[name])


@contextmanager
def _settings(config: Any, values: Mapping[str, Any]) -> Iterator[None]:
    """Settings of a config for a while."""
    before = {key: getattr(config, key) for key in values}
    for key, value in values.items():
        setattr(config, key, value)
    try:
        yield
    finally:
        for key, value in before.items():
            setattr(config, key, value)
