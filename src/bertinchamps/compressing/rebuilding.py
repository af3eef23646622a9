"""A model of the same class with other sizes: its configuration is changed, and its weights are selected."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from transformers import PreTrainedModel

from bertinchamps.data import pretraining_facts
from bertinchamps.exporting.source import Source
from bertinchamps.model.heads import DownstreamModel
from bertinchamps.model.resizing import of_same_class
from bertinchamps.training.sparsity.masks import carry_facts


def inner_of(model: nn.Module) -> PreTrainedModel:
    """The model of transformers that a model is, or that it holds beside a head."""
    return cast(PreTrainedModel, model.model if isinstance(model, DownstreamModel) else model)


def rebuilt(model: nn.Module, changes: Mapping[str, Any], state: Mapping[str, torch.Tensor]) -> nn.Module:
    """The same model, with an inner model of the same class and another configuration.

    Args:
        model: a masked language model, or a model with a head; it is left as it was.
        changes: fields of the inner model's configuration.
        state: all weights of the inner model, which are loaded strictly.
    """
    inner = inner_of(model)
    config = copy.deepcopy(inner.config)
    for name, value in changes.items():
        setattr(config, name, value)
    new = of_same_class(inner, config, state)
    if not isinstance(model, DownstreamModel):
        return cast(nn.Module, new)
    whole = copy.copy(model)  # shares the head
    whole._modules = {**model._modules, "model": new}
    return whole


def write_model(model: nn.Module, source: Source, tokenizer: Any, place: Path) -> None:
    """Write a changed model as its run wrote the first one: weights, tokenizer, task.json, and further facts.

    Args:
        model: a masked language model, or a model with a head.
        source: the model that it was made from.
        tokenizer: its own.
        place: a directory.
    """
    if isinstance(model, DownstreamModel):
        model.save(place)
    else:
        cast(PreTrainedModel, model).save_pretrained(place)
    tokenizer.save_pretrained(place)
    carry_facts(source.folder, model, place)
    if source.facts is not None:
        source.facts.save(place)
    if (known := pretraining_facts.read_facts(str(source.folder))) is not None:
        pretraining_facts.write_facts(known, place)


def copy_files(folder: Path, place: Path) -> None:
    """Copy the files of a model's directory, without what lies in folders."""
    for file in folder.iterdir():
        if file.is_file():
            shutil.copy2(file, place / file.name)
