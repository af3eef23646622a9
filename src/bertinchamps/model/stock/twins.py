"""The twin of a model, whichever stock class can be it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedModel

from bertinchamps.model.configuration import BertinchampsConfig
from bertinchamps.model.heads.classes import BertinchampsForSequenceClassification
from bertinchamps.model.heads.masked_lm import BertinchampsForMaskedLM
from bertinchamps.model.huggingface import BertinchampsPreTrainedModel
from bertinchamps.model.stock import bert, modernbert
from bertinchamps.model.stock.requirements import REQUIRED, pooler_problems, stock_problems

TWINS: Mapping[str, Mapping[type[BertinchampsPreTrainedModel], Any]] = {
    "bert": bert.TWINS,
    "modernbert": modernbert.TWINS,
}


def twin_problems(config: BertinchampsConfig) -> tuple[str, list[str]]:
    """The stock class that is nearest to a config, and every field in the way; none: the class can hold it."""
    found = {stock: stock_problems(without_dropout(config), stock) for stock in REQUIRED}
    nearest = min(found, key=lambda stock: len(found[stock]))
    return nearest, found[nearest]


def head_problems(model: BertinchampsPreTrainedModel) -> list[str]:
    """What is in the way of a head whose encoder the nearest stock class can hold."""
    stock, _ = twin_problems(model.config)
    if isinstance(model, BertinchampsForMaskedLM) and model.config.predicts_next:
        return [
            "predicts_next=true (config.json): masked language models of stock classes read a token's own position"
        ]
    classifier = isinstance(model, BertinchampsForSequenceClassification)
    return pooler_problems(model.config, stock) if classifier else []


def stock_twin(model: BertinchampsPreTrainedModel) -> PreTrainedModel:
    """A stock model that gives the same logits, without dropout.

    Raises:
        UserError: the encoder or its head is not representable.
    """
    stock, _ = twin_problems(model.config)
    convert = TWINS[stock][type(model)]
    config, model.config = model.config, without_dropout(model.config)
    try:
        return convert(model)  # type: ignore[no-any-return]
    finally:
        model.config = config


def without_dropout(config: BertinchampsConfig) -> BertinchampsConfig:
    """A copy of a config for a model that is not trained on: fine-tuning leaves its rate there."""
    changed = copy.deepcopy(config)
    changed.dropout = 0.0
    return changed
