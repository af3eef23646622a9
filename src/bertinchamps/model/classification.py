"""The encoder with a classifier, over each token or over a whole text, as stock pipelines expect them.

Shapes: B batch, S sequence, H hidden, C classes.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import nn
from transformers.modeling_outputs import SequenceClassifierOutput, TokenClassifierOutput

from bertinchamps.model.configuration import BertinchampsConfig
from bertinchamps.model.configuration import register as register_config
from bertinchamps.model.huggingface import BertinchampsModel, BertinchampsPreTrainedModel


class BertinchampsForTokenClassification(BertinchampsPreTrainedModel):  # type: ignore[no-untyped-call]
    """Dropout and a linear map over each token."""

    def __init__(self, config: BertinchampsConfig) -> None:
        super().__init__(config)
        self.encoder = BertinchampsModel(config)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(config.hidden_size, cast(int, config.num_labels))
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(
        self,
        input_ids: torch.Tensor,  # [B, S]
        attention_mask: torch.Tensor | None = None,  # [B, S], true or nonzero at real tokens
    ) -> TokenClassifierOutput:  # logits [B, S, C]
        """Logits of each token."""
        hidden = self.encoder(input_ids, attention_mask).last_hidden_state
        return TokenClassifierOutput(logits=self.classifier(self.dropout(hidden)))


class BertinchampsForSequenceClassification(BertinchampsPreTrainedModel):  # type: ignore[no-untyped-call]
    """Mean over the tokens, dense, tanh, dropout and a linear map.

    The mean, because pretraining on packed blocks never saw a token that stands for the whole text
    (Cramming pools likewise).
    """

    def __init__(self, config: BertinchampsConfig) -> None:
        super().__init__(config)
        self.encoder = BertinchampsModel(config)
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(config.hidden_size, cast(int, config.num_labels))
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(
        self,
        input_ids: torch.Tensor,  # [B, S]
        attention_mask: torch.Tensor | None = None,  # [B, S], true or nonzero at real tokens
    ) -> SequenceClassifierOutput:  # logits [B, C]
        """Logits of each text."""
        hidden = self.encoder(input_ids, attention_mask).last_hidden_state
        if attention_mask is None:
            pooled = hidden.mean(1)
        else:
            weights = attention_mask[:, :, None].to(hidden.dtype)
            pooled = (hidden * weights).sum(1) / weights.sum(1)
        logits = self.classifier(self.dropout(torch.tanh(self.dense(pooled))))
        return SequenceClassifierOutput(logits=logits)


def register() -> None:
    """Tell transformers' Auto classes about these models. Calling it again changes nothing."""
    from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

    register_config()
    AutoModelForTokenClassification.register(
        BertinchampsConfig, BertinchampsForTokenClassification, exist_ok=True
    )
    AutoModelForSequenceClassification.register(
        BertinchampsConfig, BertinchampsForSequenceClassification, exist_ok=True
    )


register()  # importing this module is enough, and bertinchamps/__init__.py sees to that
