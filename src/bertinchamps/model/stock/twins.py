"""The twin of a model, whichever stock class can be it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedModel

from bertinchamps.model.configuration import BertinchampsConfig
from bertinchamps.model.huggingface import BertinchampsPreTrainedModel
from bertinchamps.model.stock import bert, modernbert
from bertinchamps.model.stock.requirements import REQUIRED, stock_problems

TWINS: Mapping[str, Mapping[type[BertinchampsPreTrainedModel], Any]] = {
    "bert": bert.TWINS,
    "modernbert": modernbert.TWINS,
}


def twin_problems(config: BertinchampsConfig) -> tuple[str, list[str]]:
    """The stock class that is nearest to a config, and every field in the way; none: the class can hold it."""
    found = {stock: stock_problems(without_dropout(config), stock) for stock in REQUIRED}
    nearest = min(found, key=lambda stock: len(found[stock]))
    return nearest, found[nearest]


def stock_twin(model: BertinchampsPreTrainedModel) -> PreTrainedModel | None:
    """A stock model that gives the same logits, without dropout; None: no stock class has such a head.

    Raises:
        UserError: the encoder is not representable.
    """
    stock, _ = twin_problems(model.config)
    convert = TWINS[stock].get(type(model))
    if convert is None:
        return None
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
