"""A model with a nested head as one class of transformers, for the files of `remote_code`.

Shapes: B batch, S sequence, W words of a text, L labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.utils.generic import ModelOutput

from bertinchamps.model.configuration import BertinchampsConfig
from bertinchamps.model.heads import WordSubwords
from bertinchamps.model.heads.nested import SpanScorer, first_subword, mean_of_subwords
from bertinchamps.model.huggingface import BertinchampsModel


class SpanConfig(PreTrainedConfig):  # type: ignore[no-untyped-call]
    """The encoder's configuration, and what the head has beside its weights. `id2label` has the types of entities."""

    model_type = "bertinchamps_spans"

    encoder: dict[str, Any] | None = None
    """The encoder's config.json."""
    first_subwords: bool = False
    """A word's vector is that of its first subword. False: the mean over its subwords."""
    thresholds: list[float] | None = None
    """Of each type: the probability above which a span is an entity; none: 0.5."""


class Span(NamedTuple):
    """An entity among the words of a text.

    Attributes:
        first: its first word.
        last: its last word.
        label: its type.
        probability: of the type.
    """

    first: int
    last: int
    label: str
    probability: float


@dataclass
class SpanOutput(ModelOutput):
    """Logits [B, W, W, L] of the spans from word i to word j, both included; undefined for j < i."""

    logits: torch.Tensor | None = None


class SpanClassifier(PreTrainedModel):  # type: ignore[no-untyped-call]
    """Scores every span of words for every type of entity, so entities may lie inside entities."""

    config: SpanConfig
    config_class = SpanConfig
    base_model_prefix = "encoder"
    _supports_sdpa = True

    def __init__(self, config: SpanConfig) -> None:
        super().__init__(config)
        self.encoder = _encoder(dict(config.encoder or {}))
        self.head = SpanScorer(self.encoder.config.hidden_size, cast(int, config.num_labels), dropout=0.0)
        self.post_init()  # type: ignore[no-untyped-call]

    def _init_weights(self, module: torch.nn.Module) -> None:
        """Nothing: all weights are in the file."""

    def forward(
        self,
        input_ids: torch.Tensor,  # [B, S]
        attention_mask: torch.Tensor | None = None,  # [B, S]
        token_type_ids: torch.Tensor | None = None,  # [B, S]
        *,
        first_subwords: torch.Tensor,  # [B, W], of each word the index of its first subword
        last_subwords: torch.Tensor,  # [B, W], of its last one
    ) -> SpanOutput:
        """Logits of all spans; `subwords` makes the two indices."""
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
        given = {name: each for name, each in inputs.items() if each is not None}
        hidden = self.encoder(**given).last_hidden_state
        vectors = first_subword if self.config.first_subwords else mean_of_subwords
        logits = self.head(vectors(hidden, WordSubwords(first_subwords, last_subwords)))
        return SpanOutput(logits=cast(torch.Tensor, logits))

    @staticmethod
    def subwords(word_ids: Sequence[Sequence[int | None]]) -> dict[str, torch.Tensor]:
        """The indices that `forward` needs, from `encoding.word_ids(b)` of each text b; 0 beyond its last word.

        Give the tokenizer lists of words, with `is_split_into_words=True`.
        """
        width = max((word + 1 for ids in word_ids for word in ids if word is not None), default=0)
        first, last = torch.zeros(2, len(word_ids), width, dtype=torch.long)
        for row, ids in enumerate(word_ids):
            for place, word in enumerate(ids):
                if word is not None:
                    last[row, word] = place
                    if place == 0 or ids[place - 1] != word:
                        first[row, word] = place
        return {"first_subwords": first, "last_subwords": last}

    def entities(self, logits: torch.Tensor, words: int) -> list[Span]:
        """The entities of one text, from its logits [W, W, L] and the number of its words."""
        shares = logits[:words, :words].detach().float().sigmoid()
        bounds = torch.tensor(self.config.thresholds or [0.5] * shares.shape[-1], device=shares.device)
        found = (shares > bounds) & torch.ones(words, words, device=shares.device).triu().bool()[..., None]
        names = cast(dict[int, str], self.config.id2label)
        return [
            Span(first, last, names[label], float(shares[first, last, label]))
            for first, last, label in found.nonzero().tolist()
        ]


def _encoder(settings: dict[str, Any]) -> Any:
    """An encoder of these settings, with random weights."""
    if settings.get("model_type") == BertinchampsConfig.model_type:
        return BertinchampsModel(BertinchampsConfig(**settings))
    config = AutoConfig.for_model(**settings)
    return AutoModel.from_config(config)  # type: ignore[no-untyped-call]
