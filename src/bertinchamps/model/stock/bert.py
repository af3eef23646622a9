"""BERT (Devlin et al., 2019), without its next-sentence head.

Shapes: H hidden.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
    PreTrainedModel,
)

from bertinchamps.model.configuration import BertinchampsConfig
from bertinchamps.model.heads.classes import BertinchampsForSequenceClassification
from bertinchamps.model.heads.flat import BertinchampsForTokenClassification
from bertinchamps.model.heads.masked_lm import BertinchampsForMaskedLM
from bertinchamps.model.huggingface import BertinchampsModel, BertinchampsPreTrainedModel
from bertinchamps.model.stock.renaming import (
    State,
    filled,
    inverse,
    named_classes,
    renamed,
    shared,
    with_prefix,
    without_prefix,
)
from bertinchamps.model.stock.requirements import (
    ACTIVATION_NAMES,
    REQUIRED,
    our_activation,
    refuse_another_pooler,
    refuse_foreign,
    refuse_unrepresentable,
)

# Our modules, and theirs; {} is the layer.
PREFIXES = {
    "encoder.embeddings.tokens": "bert.embeddings.word_embeddings",
    "encoder.embeddings.positions.vectors": "bert.embeddings.position_embeddings",
    "encoder.embeddings.norm": "bert.embeddings.LayerNorm",
    "encoder.layers.{}.attention_norm": "bert.encoder.layer.{}.attention.output.LayerNorm",
    "encoder.layers.{}.attention.output": "bert.encoder.layer.{}.attention.output.dense",
    "encoder.layers.{}.feed_forward_norm": "bert.encoder.layer.{}.output.LayerNorm",
    "encoder.layers.{}.feed_forward.input": "bert.encoder.layer.{}.intermediate.dense",
    "encoder.layers.{}.feed_forward.output": "bert.encoder.layer.{}.output.dense",
    "head.transform.dense": "cls.predictions.transform.dense",
    "head.transform.norm": "cls.predictions.transform.LayerNorm",
    "head.decoder": "cls.predictions.decoder",
    "dense": "bert.pooler.dense",
    "classifier": "classifier",
}
# Their three projections, in the order in which ours are fused.
FUSED = ("query", "key", "value")
POSITIONS = "bert.embeddings.position_embeddings.weight"
TOKEN_TYPES = "bert.embeddings.token_type_embeddings.weight"
# The decoder's bias, which BERT files a second time under this name.
BIAS_AGAIN = "cls.predictions.bias"


def bert_config(config: BertinchampsConfig) -> BertConfig:
    """The same architecture as a BertConfig.

    Raises:
        UserError: not representable.
    """
    refuse_unrepresentable(config, "bert")
    return BertConfig(
        **shared(config),
        intermediate_size=config.intermediate_size,
        hidden_act=ACTIVATION_NAMES[config.activation],
        hidden_dropout_prob=config.dropout,
        attention_probs_dropout_prob=config.dropout,
        max_position_embeddings=config.max_positions,
        layer_norm_eps=config.norm_epsilon,
    )


def to_bert(model: BertinchampsForMaskedLM) -> BertForMaskedLM:
    """A stock BERT with a copy of the weights; its token-type embeddings are zero.

    Raises:
        UserError: not representable.
    """
    twin = BertForMaskedLM(bert_config(model.config))  # type: ignore[no-untyped-call]
    again = {BIAS_AGAIN: model.state_dict()["head.decoder.bias"]}
    return filled(twin, _weights(model) | again, like=model)


def to_bert_tagger(model: BertinchampsForTokenClassification) -> BertForTokenClassification:
    """A stock token classifier with a copy of the weights.

    Raises:
        UserError: not representable.
    """
    config = named_classes(bert_config(model.config), model.config)
    twin = BertForTokenClassification(config)  # type: ignore[no-untyped-call]
    return filled(twin, _weights(model), like=model)


def to_bert_classifier(model: BertinchampsForSequenceClassification) -> BertForSequenceClassification:
    """A stock text classifier with a copy of the weights.

    Raises:
        UserError: not representable.
    """
    refuse_another_pooler(model.config, "bert")
    config = named_classes(bert_config(model.config), model.config)
    twin = BertForSequenceClassification(config)  # type: ignore[no-untyped-call]
    return filled(twin, _weights(model), like=model)


def to_bert_encoder(model: BertinchampsModel) -> BertModel:
    """A stock encoder with a copy of the weights, without a pooler.

    Raises:
        UserError: not representable.
    """
    twin = BertModel(bert_config(model.config), add_pooling_layer=False)  # type: ignore[no-untyped-call]
    return filled(twin, without_prefix(_weights(model, "encoder."), "bert."), like=model)


TWINS: dict[type[BertinchampsPreTrainedModel], Any] = {
    BertinchampsForMaskedLM: to_bert,
    BertinchampsForTokenClassification: to_bert_tagger,
    BertinchampsForSequenceClassification: to_bert_classifier,
    BertinchampsModel: to_bert_encoder,
}


def _weights(model: PreTrainedModel, prefix: str = "") -> State:
    """The weights of one of our models under the names that BERT has for them.

    Args:
        model: an encoder, with or without a head.
        prefix: to put before our names.
    """
    state, layers = with_prefix(model.state_dict(), prefix), model.config.num_hidden_layers
    tokens = state["encoder.embeddings.tokens.weight"]
    extra: State = {TOKEN_TYPES: tokens.new_zeros(BertConfig().type_vocab_size, tokens.shape[1])}
    for layer in range(layers):
        for kind in ("weight", "bias"):
            fused = state.pop(f"encoder.layers.{layer}.attention.query_key_value.{kind}")  # [3H, H] or [3H]
            for name, part in zip(FUSED, fused.chunk(3), strict=True):
                extra[f"bert.encoder.layer.{layer}.attention.self.{name}.{kind}"] = part
    return extra | renamed(state, PREFIXES, layers)


def from_bert(stock: BertForMaskedLM) -> BertinchampsForMaskedLM:
    """One of our models with a copy of a stock BERT's weights, for text of token type 0.

    The vector of token type 0 is added at every position, so it is folded into the positions.

    Raises:
        UserError: it is a decoder, or has two dropout rates.
    """
    theirs = stock.config
    rates = {theirs.hidden_dropout_prob, theirs.attention_probs_dropout_prob}
    refuse_foreign({"is_decoder": theirs.is_decoder, "attention_probs_dropout_prob": len(rates) > 1})
    fields = {
        **shared(theirs),
        **REQUIRED["bert"],
        "intermediate_size": theirs.intermediate_size,
        "activation": our_activation(theirs.hidden_act),
        "max_positions": theirs.max_position_embeddings,
        "norm_epsilon": theirs.layer_norm_eps,
        "dropout": float(theirs.hidden_dropout_prob),
        "pooler": "bert",
    }
    state, layers = dict(stock.state_dict()), theirs.num_hidden_layers
    del state[BIAS_AGAIN]
    state[POSITIONS] = state[POSITIONS] + state.pop(TOKEN_TYPES)[0]
    fused: State = {}
    for layer in range(layers):
        attention = f"bert.encoder.layer.{layer}.attention.self"
        for kind in ("weight", "bias"):
            parts = [state.pop(f"{attention}.{name}.{kind}") for name in FUSED]
            fused[f"encoder.layers.{layer}.attention.query_key_value.{kind}"] = torch.cat(parts)
    model = BertinchampsForMaskedLM(BertinchampsConfig(**fields))
    return filled(model, fused | renamed(state, inverse(PREFIXES), layers), like=stock)
