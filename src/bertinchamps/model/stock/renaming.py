"""Moving weights and settings between two classes that differ in names."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from bertinchamps.model.configuration import VOCABULARY_FIELDS, BertinchampsConfig

State = dict[str, torch.Tensor]
Twin = TypeVar("Twin", bound=PreTrainedModel)
Config = TypeVar("Config", bound=PreTrainedConfig)

SHARED_FIELDS = (
    *VOCABULARY_FIELDS,
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "initializer_range",
    "tie_word_embeddings",
)


def shared(config: PreTrainedConfig) -> dict[str, Any]:
    """Settings that our config and the stock ones have under one name.

    Token ids that one side lacks are None, and not the other's default, which belongs to its tokenizer.
    """
    return {name: getattr(config, name, None) for name in SHARED_FIELDS}


def inverse(prefixes: Mapping[str, str]) -> dict[str, str]:
    """The same table of names, read from the other side."""
    return {new: old for old, new in prefixes.items()}


def renamed(state: Mapping[str, torch.Tensor], prefixes: Mapping[str, str], layers: int) -> State:
    """The tensors under the other side's names; `{}` in a prefix is the layer.

    Raises:
        KeyError: a tensor without a counterpart.
    """
    modules = {
        old.format(layer): new.format(layer) for old, new in prefixes.items() for layer in range(layers)
    }
    return {f"{modules[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}": state[name] for name in state}


def with_prefix(state: Mapping[str, torch.Tensor], prefix: str) -> State:
    """The tensors with a prefix before their names."""
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def without_prefix(state: Mapping[str, torch.Tensor], prefix: str) -> State:
    """The tensors with a prefix of all their names left out."""
    return {name.removeprefix(prefix): tensor for name, tensor in state.items()}


def named_classes(theirs: Config, ours: BertinchampsConfig) -> Config:
    """A stock config with the classes of one of ours."""
    theirs.id2label, theirs.label2id = copy.copy(ours.id2label), copy.copy(ours.label2id)
    return theirs


def filled(twin: Twin, state: State, like: PreTrainedModel) -> Twin:
    """The twin with these weights, every one of them, on the device, in the dtype and mode of its model."""
    nn.Module.to(twin, device=like.device, dtype=like.dtype)
    twin.load_state_dict(state)
    twin.train(like.training)
    return twin
