"""The encoder, as a class that transformers saves, finds and loads; `heads/` puts heads on it.

The encoder and the models of `heads/` take the arguments of transformers' encoders, in the same order, and options:

    output_hidden_states   return the hidden states of each layer, or of the layers in a list of numbers
    output_attentions      return the attention weights, with `attn_implementation="eager"` alone
    return_dict            False: a tuple
    num_items_in_batch     targets of a whole update, over which a loss is the mean

Shapes: B batch, S sequence, H hidden, K query positions whose outputs are computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import nn
from transformers import PreTrainedModel, initialization
from transformers.modeling_outputs import BaseModelOutput
from transformers.utils import logging
from transformers.utils.output_capturing import capture_outputs

from bertinchamps.model.attention import Attention
from bertinchamps.model.configuration import BertinchampsConfig
from bertinchamps.model.initialisation import INITS, is_residual
from bertinchamps.model.layers import Embeddings, EncoderLayer
from bertinchamps.model.norms import build_norm
from bertinchamps.model.positions import Positions, Rotation
from bertinchamps.model.visibility import (
    CHUNKS_FROM,
    Mask,
    band,
    documents_of,
    earlier_keys,
    near,
    places_in_documents,
    side_of,
    visible_keys,
)

# Options of `forward` that are read, or ignored without a warning (encoders have no cache).
OPTIONS = frozenset({"output_hidden_states", "output_attentions", "num_items_in_batch", "use_cache"})
logger = logging.get_logger(__name__)


class BertinchampsPreTrainedModel(PreTrainedModel):  # type: ignore[no-untyped-call]
    """The base class of all models: the config, the initialisation, and what transformers reads from a class."""

    config: BertinchampsConfig
    config_class = BertinchampsConfig
    base_model_prefix = "encoder"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _can_record_outputs = {"hidden_states": EncoderLayer, "attentions": Attention}  # noqa: RUF012
    _no_split_modules = ["Embeddings", "EncoderLayer"]  # noqa: RUF012, as transformers declares it

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Fill one module's own parameters; transformers calls it for each uninitialised module."""
        if isinstance(module, (nn.Linear, nn.Embedding)):
            fill = INITS.build(self.config.init, config=self.config)
            fill(module.weight, is_residual(module))
            if isinstance(module, nn.Linear) and module.bias is not None:
                initialization.zeros_(module.bias)
        elif isinstance(module, Positions):
            module.initialise()
        else:
            super()._init_weights(module)  # type: ignore[no-untyped-call]


class BertinchampsModel(BertinchampsPreTrainedModel):  # type: ignore[no-untyped-call]
    """Token ids to hidden states.

    Attributes:
        separator_id: of the token that ends a document, while pretraining keeps the documents of a row apart; None: a
            row is one document, unless `document_ids` are given.
    """

    separator_id: int | None = None

    def __init__(self, config: BertinchampsConfig) -> None:
        super().__init__(config)
        self.embeddings = Embeddings(config)
        self.layers = nn.ModuleList(EncoderLayer(config, index) for index in range(config.num_hidden_layers))
        self.final_norm = build_norm(config) if config.final_norm else nn.Identity()
        self.post_init()  # type: ignore[no-untyped-call]

    def get_input_embeddings(self) -> nn.Module:
        return self.embeddings.tokens

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.embeddings.tokens = cast(nn.Embedding, value)

    @capture_outputs  # type: ignore[untyped-decorator]
    def forward(
        self,
        input_ids: torch.Tensor | None = None,  # [B, S]
        attention_mask: torch.Tensor | None = None,  # [B, S], true or nonzero at real tokens
        token_type_ids: torch.Tensor | None = None,  # [B, S], without effect
        position_ids: torch.Tensor | None = None,  # [B, S] or [1, S]; 0, 1, … in each row unless given
        inputs_embeds: torch.Tensor | None = None,  # [B, S, H], in place of input_ids
        *,
        query_positions: torch.Tensor | None = None,  # [B, K], into S
        document_ids: torch.Tensor | None = None,  # [B, S], equal in tokens of one document
        causal: bool = False,  # True: a position reads what stands before it, and itself
        **options: Any,
    ) -> BaseModelOutput:  # last_hidden_state [B, S, H], or [B, K, H]
        """Encode. Without padding, leave the mask out: attention has a faster path then.

        With `query_positions`, the last layer computes these positions alone; the numbers are the same.
        With `document_ids`, no document sees another one of its row, and positions begin at 0 in each.
        `token_type_ids` are ignored, as by encoders of transformers without segments.

        Raises:
            ValueError: neither input_ids nor inputs_embeds, or both.
        """
        del token_type_ids
        self._warn_of(options)
        given = input_ids if inputs_embeds is None else inputs_embeds
        if given is None or (input_ids is not None and inputs_embeds is not None):
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        if document_ids is None and self.separator_id is not None and input_ids is not None:
            document_ids = documents_of(input_ids, self.separator_id)
        if position_ids is None:
            position_ids = torch.arange(given.shape[1], device=given.device)
            if document_ids is not None:
                position_ids = places_in_documents(document_ids)
        visible = visible_keys(attention_mask, document_ids)
        if causal:
            visible = earlier_keys(visible, given.shape[1], given.device)
        hidden = self.embeddings(input_ids, position_ids, inputs_embeds)
        *layers, last = zip(
            self.layers, self.surroundings(position_ids, visible, query_positions), strict=True
        )
        for layer, (rotation, mask) in layers:
            hidden = layer(hidden, rotation, mask)
        layer, (rotation, mask) = last
        hidden = layer(hidden, rotation, mask, query_positions)
        return BaseModelOutput(last_hidden_state=self.final_norm(hidden))

    def surroundings(
        self,
        places: torch.Tensor,  # [S] or [R, S]: the position of each token
        visible: torch.Tensor | None = None,  # [B, 1, 1 or S, S]; None: all keys
        query_positions: torch.Tensor | None = None,  # [B, K], of the last layer; None: all
    ) -> list[tuple[Rotation | None, Mask]]:
        """What each layer gets beside hidden states: the rotation of its queries and keys, and which keys they see."""
        positions, length, last = self.embeddings.positions, places.shape[-1], len(self.layers) - 1
        sides = [side_of(self.config, index) for index in range(len(self.layers))]
        rotations = {
            local: positions.rotation(places, local) for local in {side is not None for side in sides}
        }
        masks: dict[bool, Mask] = {}  # of local layers, by whether they read in chunks
        found: list[tuple[Rotation | None, Mask]] = []
        for index, side in enumerate(sides):
            if side is None or side >= length:
                found.append((rotations[side is not None], visible))
                continue
            in_chunks = self._in_chunks(length, side) and (index < last or query_positions is None)
            if in_chunks not in masks:
                masks[in_chunks] = (band if in_chunks else near)(visible, side, length, places.device)
            found.append((rotations[True], masks[in_chunks]))
        return found

    def _in_chunks(self, length: int, side: int) -> bool:
        """True: a local layer reads chunk by chunk. An exported graph, whose lengths are unknown, does not."""
        sdpa = (self.config._attn_implementation or "sdpa") == "sdpa"
        exporting = getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)()
        return sdpa and not exporting and length > CHUNKS_FROM * side

    def _warn_of(self, options: Mapping[str, Any]) -> None:
        """Warn once of options that have no effect. Compiled code does not warn."""
        if torch.compiler.is_compiling():
            return
        unread = sorted(options.keys() - OPTIONS)
        if unread:
            logger.warning_once(f"{type(self).__name__} does not read {', '.join(unread)}")
        wanted = options.get("output_attentions", getattr(self.config, "output_attentions", False))
        if wanted and self.config._attn_implementation == "sdpa":
            logger.warning_once(
                'sdpa cannot return output_attentions: load the model with attn_implementation="eager"'
            )
