"""Two encoders for the detection of replaced tokens: a generator that fills masks, and the one that finds its words.

The generator is small, and is thrown away; the encoder, the discriminator of ELECTRA (Clark et al., 2020), is what
pretraining is for. Their token embeddings, by `sharing`:

    none                     each has its own
    shared                   one matrix E, which both train (ELECTRA)
    gradient_disentangled    the generator's is E, the encoder's stop_gradient(E) + Δ; Δ begins at zero, and the encoder
                             trains Δ alone (DeBERTaV3, He et al., 2021)

A generator that is narrower than a shared E reads E through a linear map, and its head is mapped back (as in ELECTRA).

B batch, S sequence, K masked positions, H hidden, h hidden of a narrower generator, V vocabulary.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from bertinchamps.model.activations import ACTIVATIONS
from bertinchamps.model.configuration import BertinchampsConfig
from bertinchamps.model.heads.masked_lm import BertinchampsForMaskedLM
from bertinchamps.model.huggingface import BertinchampsModel, BertinchampsPreTrainedModel
from bertinchamps.model.norms import build_norm

NONE, SHARED, DISENTANGLED = SHARINGS = ("none", "shared", "gradient_disentangled")


def generator_config(config: BertinchampsConfig, width: float, layers: int | None) -> BertinchampsConfig:
    """The architecture of a generator: heads of the same size, but fewer, and fewer layers.

    Args:
        config: of the discriminator.
        width: share of its hidden size, its heads and its feed-forward; the number of heads stays whole.
        layers: None: half of the discriminator's, rounded up.
    """
    small = copy.deepcopy(config)
    small.num_attention_heads = round(width * config.num_attention_heads)
    small.hidden_size = small.num_attention_heads * config.head_size
    small.intermediate_size = 2 * max(1, round(width * config.intermediate_size / 2))  # `glu` halves it
    small.num_hidden_layers = layers or math.ceil(config.num_hidden_layers / 2)
    small.masked_lm = True
    return small


class WideTokens(nn.Module):
    """Token vectors of another width than the encoder's, mapped to it."""

    def __init__(self, rows: int, wide: int, narrow: int) -> None:
        super().__init__()
        self.table = nn.Embedding(rows, wide)
        self.map = nn.Linear(wide, narrow, bias=False)

    def forward(self, input_ids: Tensor) -> Tensor:  # [B, S] -> [B, S, h]
        mapped: Tensor = self.map(self.table(input_ids))
        return mapped


class WideDecoder(nn.Module):
    """Hidden states, mapped to the width of a token embedding and normalised, then decoded by it."""

    def __init__(self, config: BertinchampsConfig, narrow: int, table: nn.Embedding) -> None:
        super().__init__()
        self.map = nn.Linear(narrow, config.hidden_size, bias=config.head_bias)
        self.norm = build_norm(config)
        self.table = table
        self.bias = nn.Parameter(torch.zeros(config.vocab_size)) if config.decoder_bias else None

    def forward(self, hidden: Tensor) -> Tensor:  # [..., h] -> [..., V]
        return functional.linear(self.norm(self.map(hidden)), self.table.weight, self.bias)


class DetectionHead(nn.Module):
    """dense → activation → one logit a token, above zero where it was replaced."""

    def __init__(self, config: BertinchampsConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size, bias=config.head_bias)
        self.activation = ACTIVATIONS.build(config.activation)
        self.logit = nn.Linear(config.hidden_size, 1)

    def forward(self, hidden: Tensor) -> Tensor:  # [B, S, H] -> [B, S]
        logits: Tensor = self.logit(self.activation(self.dense(hidden))).squeeze(-1)
        return logits


class ReplacedTokenDetector(BertinchampsPreTrainedModel):  # type: ignore[no-untyped-call]
    """Generator and discriminator.

    Args:
        config: of the discriminator.
        small: of the generator.
        sharing: of the token embeddings, one of SHARINGS.

    Attributes:
        encoder: the discriminator; with `gradient_disentangled`, its token embedding holds Δ.
        detection: its head.
        generator: a masked language model.
    """

    def __init__(self, config: BertinchampsConfig, small: BertinchampsConfig, sharing: str) -> None:
        super().__init__(config)
        self.sharing = sharing
        self.encoder = BertinchampsModel(config)
        self.detection = DetectionHead(config)
        self.generator = BertinchampsForMaskedLM(small)
        new: list[nn.Module] = [self.detection]
        if sharing != NONE and small.hidden_size != config.hidden_size:
            new += self._widen(config, small)
        for part in new:
            part.apply(self._init_weights)
        if sharing == SHARED:
            self.encoder.embeddings.tokens = self.table
        if sharing == DISENTANGLED:
            nn.init.zeros_(self.encoder.embeddings.tokens.weight)

    def _widen(self, config: BertinchampsConfig, small: BertinchampsConfig) -> Iterator[nn.Module]:
        """Give the generator an embedding of the discriminator's width; the new modules."""
        tokens = WideTokens(config.vocab_size, config.hidden_size, small.hidden_size)
        self.generator.encoder.embeddings.tokens = cast(nn.Embedding, tokens)
        yield tokens
        if config.tie_word_embeddings:
            decoder = WideDecoder(config, small.hidden_size, tokens.table)
            self.generator.head.decoder = cast(nn.Linear, decoder)
            yield decoder.map

    @property
    def table(self) -> nn.Embedding:
        """The generator's token embedding, E."""
        tokens: nn.Module = self.generator.encoder.embeddings.tokens
        return tokens.table if isinstance(tokens, WideTokens) else cast(nn.Embedding, tokens)

    def detect(
        self,
        input_ids: Tensor,  # [B, S]
        document_ids: Tensor | None = None,  # [B, S], equal in tokens of one document; None: a row is one
    ) -> Tensor:  # [B, S]
        """The logit of each token having been replaced."""
        vectors = self.encoder.embeddings.tokens(input_ids)
        if self.sharing == DISENTANGLED:
            vectors = vectors + functional.embedding(input_ids, self.table.weight.detach())
        encoded = self.encoder(inputs_embeds=vectors, document_ids=document_ids, return_dict=True)
        found: Tensor = self.detection(encoded.last_hidden_state)
        return found

    @contextmanager
    def whole_encoder(self) -> Iterator[BertinchampsModel]:
        """The discriminator's encoder as an ordinary model, whose token embedding is E + Δ; for saving it."""
        own = self.encoder.embeddings.tokens
        if self.sharing == DISENTANGLED:
            summed = own.weight.detach() + self.table.weight.detach()
            self.encoder.embeddings.tokens = nn.Embedding(len(summed), summed.shape[1], _weight=summed)
        try:
            yield self.encoder
        finally:
            self.encoder.embeddings.tokens = own

    def beside_encoder(self) -> dict[str, nn.Parameter]:
        """The parameters, by name, that the encoder as it is saved does not hold, Δ among them."""
        held = {id(parameter) for parameter in self.encoder.parameters()}
        if self.sharing == DISENTANGLED:
            held.remove(id(self.encoder.embeddings.tokens.weight))
        return {name: part for name, part in self.named_parameters() if id(part) not in held}

    @torch.no_grad()
    def fill(self, encoder: BertinchampsModel, beside: Mapping[str, Tensor]) -> None:
        """Take over the weights of a saved encoder, and those beside it.

        Raises:
            ValueError: a weight is missing, left over, or has another shape.
        """
        own = self.beside_encoder()
        if {name: part.shape for name, part in own.items()} != {
            name: part.shape for name, part in beside.items()
        }:
            raise ValueError("weights of another generator")
        self.encoder.load_state_dict(encoder.state_dict())
        for name, part in own.items():
            part.copy_(beside[name])
