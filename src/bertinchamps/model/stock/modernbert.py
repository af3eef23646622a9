"""ModernBERT (Warner et al., 2024), with full attention in every layer or in every n-th."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from transformers import (
    ModernBertConfig,
    ModernBertForMaskedLM,
    ModernBertForSequenceClassification,
    ModernBertForTokenClassification,
    ModernBertModel,
)

from bertinchamps.model.configuration import BertinchampsConfig
from bertinchamps.model.heads.classes import BertinchampsForSequenceClassification
from bertinchamps.model.heads.flat import BertinchampsForTokenClassification
from bertinchamps.model.heads.masked_lm import BertinchampsForMaskedLM
from bertinchamps.model.huggingface import BertinchampsModel, BertinchampsPreTrainedModel
from bertinchamps.model.stock.renaming import (
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
from bertinchamps.model.visibility import side_of

FULL: Literal["full_attention"] = "full_attention"
LOCAL: Literal["sliding_attention"] = "sliding_attention"
# Our modules, and theirs; {} is the layer.
PREFIXES = {
    "encoder.embeddings.tokens": "model.embeddings.tok_embeddings",
    "encoder.embeddings.norm": "model.embeddings.norm",
    "encoder.layers.{}.attention_norm": "model.layers.{}.attn_norm",
    "encoder.layers.{}.attention.query_key_value": "model.layers.{}.attn.Wqkv",
    "encoder.layers.{}.attention.output": "model.layers.{}.attn.Wo",
    "encoder.layers.{}.feed_forward_norm": "model.layers.{}.mlp_norm",
    "encoder.layers.{}.feed_forward.input": "model.layers.{}.mlp.Wi",
    "encoder.layers.{}.feed_forward.output": "model.layers.{}.mlp.Wo",
    "encoder.final_norm": "model.final_norm",
    "head.transform.dense": "head.dense",
    "head.transform.norm": "head.norm",
    "head.decoder": "decoder",
    "classifier": "classifier",
}
# Theirs is one class for masked LMs and text classifiers; ours are two.
POOLER = {"dense": "head.dense", "dense_norm": "head.norm"}


def modernbert_config(config: BertinchampsConfig) -> ModernBertConfig:
    """The same architecture as a ModernBertConfig.

    Raises:
        UserError: not representable.
    """
    refuse_unrepresentable(config, "modernbert")
    activation = ACTIVATION_NAMES[config.activation]
    sides = [side_of(config, index) for index in range(config.num_hidden_layers)]
    return ModernBertConfig(
        **shared(config),
        intermediate_size=config.intermediate_size // 2,  # theirs counts one half of the gated projection
        hidden_activation=activation,
        classifier_activation=activation,  # of the head's transform
        max_position_embeddings=config.max_positions,
        norm_eps=config.norm_epsilon,
        norm_bias=config.norm_bias,
        attention_bias=config.attention_bias,
        mlp_bias=config.feed_forward_bias,
        decoder_bias=config.decoder_bias,
        classifier_bias=config.head_bias,
        layer_types=[FULL if side is None else LOCAL for side in sides],
        local_attention=config.local_window,
        rope_parameters={
            FULL: {"rope_type": "default", "rope_theta": config.rotary_theta},
            LOCAL: {"rope_type": "default", "rope_theta": config.local_theta},
        },
    )


def to_modernbert(model: BertinchampsForMaskedLM) -> ModernBertForMaskedLM:
    """A stock ModernBERT with a copy of the weights.

    Raises:
        UserError: not representable.
    """
    twin = ModernBertForMaskedLM(modernbert_config(model.config))
    state = renamed(model.state_dict(), PREFIXES, model.config.num_hidden_layers)
    return filled(twin, state, like=model)


def to_modernbert_tagger(model: BertinchampsForTokenClassification) -> ModernBertForTokenClassification:
    """A stock token classifier that gives the same logits.

    ModernBERT has dense → activation → norm between the encoder and the classifier; ours has nothing there. The norm of
    a norm is that norm: so the encoder's last norm gets the gain 1, the dense map is the identity, the activation is
    linear, and the norm behind them has the gain and the bias of our last one. Hidden states, which `AutoModel` gives,
    are without that gain.

    Raises:
        UserError: not representable.
    """
    config = named_classes(modernbert_config(model.config), model.config)
    config.classifier_activation = "linear"
    twin = ModernBertForTokenClassification(config)
    state = renamed(model.state_dict(), PREFIXES, model.config.num_hidden_layers)
    for kind, nothing in (("weight", torch.ones_like), ("bias", torch.zeros_like)):
        if (last := f"model.final_norm.{kind}") in state:
            state[f"head.norm.{kind}"], state[last] = state[last], nothing(state[last])
    state["head.dense.weight"] = torch.eye(config.hidden_size)
    if config.classifier_bias:
        state["head.dense.bias"] = torch.zeros(config.hidden_size)
    return filled(twin, state, like=model)


def to_modernbert_classifier(
    model: BertinchampsForSequenceClassification,
) -> ModernBertForSequenceClassification:
    """A stock text classifier with a copy of the weights.

    Raises:
        UserError: not representable.
    """
    refuse_another_pooler(model.config, "modernbert")
    config = named_classes(modernbert_config(model.config), model.config)
    config.classifier_pooling = "mean"
    twin = ModernBertForSequenceClassification(config)
    state = renamed(model.state_dict(), {**PREFIXES, **POOLER}, model.config.num_hidden_layers)
    return filled(twin, state, like=model)


def to_modernbert_encoder(model: BertinchampsModel) -> ModernBertModel:
    """A stock encoder with a copy of the weights.

    Raises:
        UserError: not representable.
    """
    twin = ModernBertModel(modernbert_config(model.config))
    state = renamed(with_prefix(model.state_dict(), "encoder."), PREFIXES, model.config.num_hidden_layers)
    return filled(twin, without_prefix(state, "model."), like=model)


TWINS: dict[type[BertinchampsPreTrainedModel], Any] = {
    BertinchampsForMaskedLM: to_modernbert,
    BertinchampsForTokenClassification: to_modernbert_tagger,
    BertinchampsForSequenceClassification: to_modernbert_classifier,
    BertinchampsModel: to_modernbert_encoder,
}


def _distance_of_full(kinds: Sequence[str]) -> int | None:
    """n, where every n-th layer has full attention, the first one included; None: the pattern is another one."""
    for every in range(1, len(kinds) + 1):
        if list(kinds) == [LOCAL if index % every else FULL for index in range(len(kinds))]:
            return every
    return None


def from_modernbert(stock: ModernBertForMaskedLM) -> BertinchampsForMaskedLM:
    """One of our models with a copy of a stock ModernBERT's weights.

    Raises:
        UserError: its local layers come in another order than ours, or it has dropout, scaled rotary angles, or two
            activations.
    """
    theirs = stock.config
    ropes = theirs.rope_parameters or {}
    every = _distance_of_full(list(theirs.layer_types or ()))
    dropouts = (theirs.attention_dropout, theirs.embedding_dropout, theirs.mlp_dropout)
    refuse_foreign(
        {
            "layer_types": every is None,
            "rope_parameters": any(rope["rope_type"] != "default" for rope in ropes.values()),
            "attention_dropout, embedding_dropout, mlp_dropout": any(dropouts),
            "classifier_activation": theirs.classifier_activation != theirs.hidden_activation,
        }
    )
    fields = {
        **shared(theirs),
        **REQUIRED["modernbert"],
        "intermediate_size": 2 * theirs.intermediate_size,
        "activation": our_activation(theirs.hidden_activation),
        "max_positions": theirs.max_position_embeddings,
        "norm_epsilon": theirs.norm_eps,
        "norm_bias": theirs.norm_bias,
        "attention_bias": theirs.attention_bias,
        "feed_forward_bias": theirs.mlp_bias,
        "decoder_bias": theirs.decoder_bias,
        "head_bias": theirs.classifier_bias,
        "rotary_theta": float(ropes[FULL]["rope_theta"]),
        "local_theta": float(ropes[LOCAL]["rope_theta"]),
        "attention": "global" if every == 1 else "alternating",
        "local_window": theirs.local_attention,
        **({} if every == 1 else {"global_every": every}),
        "pooler": "modernbert",
    }
    state = renamed(stock.state_dict(), inverse(PREFIXES), theirs.num_hidden_layers)
    return filled(BertinchampsForMaskedLM(BertinchampsConfig(**fields)), state, like=stock)
