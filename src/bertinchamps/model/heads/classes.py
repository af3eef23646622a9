"""Classes of a text, or a number: the model, and the head of a task.

Shapes: B batch, S sequence, H hidden, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import nn
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.utils.generic import can_return_tuple

from bertinchamps.model.activations import ACTIVATIONS
from bertinchamps.model.configuration import BertinchampsConfig
from bertinchamps.model.encoders import EncoderSource, open_model
from bertinchamps.model.heads import DownstreamModel, heads
from bertinchamps.model.heads.nested import refuse_nested
from bertinchamps.model.huggingface import BertinchampsModel, BertinchampsPreTrainedModel
from bertinchamps.model.losses import of_texts
from bertinchamps.model.norms import build_norm


class BertinchampsForSequenceClassification(BertinchampsPreTrainedModel):  # type: ignore[no-untyped-call]
    """A pooler, dropout and a linear map.

    `arch.pooler=cramming` reads the mean over the tokens, because packed blocks of pretraining have no token that
    stands for the whole text; dense and tanh follow. `modernbert` and `bert` are the poolers of these stock classes.
    """

    def __init__(self, config: BertinchampsConfig) -> None:
        refuse_nested(config)
        super().__init__(config)
        self.encoder = BertinchampsModel(config)
        with_norm = config.pooler == "modernbert"
        self.dense = nn.Linear(config.hidden_size, config.hidden_size, bias=config.head_bias or not with_norm)
        self.activation = ACTIVATIONS.build(config.activation) if with_norm else nn.Tanh()
        self.dense_norm = build_norm(config) if with_norm else nn.Identity()
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(config.hidden_size, cast(int, config.num_labels))
        self.post_init()  # type: ignore[no-untyped-call]

    @can_return_tuple  # type: ignore[untyped-decorator]
    def forward(
        self,
        input_ids: torch.Tensor | None = None,  # [B, S]
        attention_mask: torch.Tensor | None = None,  # [B, S], true or nonzero at real tokens
        token_type_ids: torch.Tensor | None = None,  # [B, S], without effect
        position_ids: torch.Tensor | None = None,  # [B, S] or [1, S]
        inputs_embeds: torch.Tensor | None = None,  # [B, S, H], in place of input_ids
        labels: torch.Tensor | None = None,  # [B], or [B, C], as config.problem_type says
        **options: Any,
    ) -> SequenceClassifierOutput:  # logits [B, C]
        """Logits of each text; with labels also the mean loss."""
        inputs = (input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        encoded = self.encoder(*inputs, return_dict=True, **options)
        pooled = self._pooled(encoded.last_hidden_state, attention_mask)
        logits = self.classifier(self.dropout(pooled))
        loss = None
        if labels is not None:
            problem, targets = self.config.problem_type, options.get("num_items_in_batch")
            loss = of_texts(logits, labels, problem, targets)
        return SequenceClassifierOutput(
            loss=loss,  # type: ignore[arg-type]
            logits=logits,
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
        )

    def _pooled(
        self,
        hidden: torch.Tensor,  # [B, S, H]
        attention_mask: torch.Tensor | None,  # [B, S]
    ) -> torch.Tensor:  # [B, H]
        first = self.config.pooler == "bert"
        read = hidden[:, 0] if first else mean_of_tokens(hidden, attention_mask)
        return cast(torch.Tensor, self.dense_norm(self.activation(self.dense(read))))


def mean_of_tokens(
    hidden: torch.Tensor,  # [B, S, H]
    attention_mask: torch.Tensor | None,  # [B, S]
) -> torch.Tensor:  # [B, H]
    """The mean over real tokens; 0 for a row without real tokens."""
    if attention_mask is None:
        return hidden.mean(1)
    weights = attention_mask[:, :, None].to(hidden.dtype)
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)


@heads.register("classes")
class TextClassifier(DownstreamModel):
    """A sequence classifier of transformers.

    Args:
        source: of the encoder.
        classes: names; one for a regression.
        problem: transformers' problem type, by which pipelines read the logits.
    """

    def __init__(self, source: EncoderSource, classes: Sequence[str], problem: str) -> None:
        super().__init__()
        self.model = open_model("AutoModelForSequenceClassification", source, classes)
        self.model.config.problem_type = problem

    def forward(self, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:  # [B, C]
        """Logits of each text."""
        return self.through(self.graph, inputs)

    def graph(self, tensors: Mapping[str, torch.Tensor]) -> torch.Tensor:  # [B, C]
        """Logits of each text."""
        return cast(torch.Tensor, self.model(**tensors).logits)
