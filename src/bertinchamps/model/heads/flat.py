"""One tag for each token (the model), read at each word's first subword (the head of a task).

Shapes: B batch, S sequence, W words of a window, H hidden, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import nn
from transformers.modeling_outputs import TokenClassifierOutput
from transformers.utils.generic import can_return_tuple

from bertinchamps.model.configuration import BertinchampsConfig
from bertinchamps.model.encoders import EncoderSource, open_model
from bertinchamps.model.heads import DownstreamModel, Graph, WordSubwords, heads
from bertinchamps.model.heads.nested import refuse_nested
from bertinchamps.model.huggingface import BertinchampsModel, BertinchampsPreTrainedModel
from bertinchamps.model.losses import of_classes


class BertinchampsForTokenClassification(BertinchampsPreTrainedModel):  # type: ignore[no-untyped-call]
    """Dropout and a linear map over each token."""

    def __init__(self, config: BertinchampsConfig) -> None:
        refuse_nested(config)
        super().__init__(config)
        self.encoder = BertinchampsModel(config)
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
        labels: torch.Tensor | None = None,  # [B, S]; -100 is ignored
        **options: Any,
    ) -> TokenClassifierOutput:  # logits [B, S, C]
        """Logits of each token; with labels also the mean loss in nats."""
        inputs = (input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        encoded = self.encoder(*inputs, return_dict=True, **options)
        logits = self.classifier(self.dropout(encoded.last_hidden_state))
        targets = options.get("num_items_in_batch")
        return TokenClassifierOutput(
            loss=None if labels is None else of_classes(logits, labels, targets),  # type: ignore[arg-type]
            logits=logits,
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
        )


@heads.register("flat")
class FlatTagger(DownstreamModel):
    """A token classifier of transformers, read at each word's first subword."""

    def __init__(self, source: EncoderSource, classes: Sequence[str]) -> None:
        super().__init__()
        self.model = open_model("AutoModelForTokenClassification", source, classes)

    def forward(
        self,
        inputs: Mapping[str, torch.Tensor],  # input_ids [B, S] and what goes with them
        words: WordSubwords,
    ) -> torch.Tensor:  # [B, W, C]
        """Logits of each word."""
        return self.through(self.graph, inputs, words)

    def graph(self, tensors: Mapping[str, torch.Tensor]) -> torch.Tensor:  # [B, S, C]
        """Logits of each token."""
        return cast(torch.Tensor, self.model(**tensors).logits)

    @staticmethod
    def through(graph: Graph, *given: Any) -> torch.Tensor:  # [B, W, C]
        """The logits at each word's first subword."""
        inputs, words = given
        logits = graph(inputs)
        return logits.gather(1, words.first[:, :, None].expand(-1, -1, logits.shape[-1]))
