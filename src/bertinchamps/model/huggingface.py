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

from bertinchamps.model.attention import Attention, earlier_keys, readable_keys, rows_at
from bertinchamps.model.configuration import BertinchampsConfig
from bertinchamps.model.initialisation import INITS, is_residual
from bertinchamps.model.layers import Embeddings, EncoderLayer
from bertinchamps.model.norms import build_norm
from bertinchamps.model.positions import Positions

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
    """Token ids to hidden states."""

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
        causal: bool = False,  # True: a position reads what stands before it, and itself
        **options: Any,
    ) -> BaseModelOutput:  # last_hidden_state [B, S, H], or [B, K, H]
        """Encode. Without padding, leave the mask out: attention has a faster path then.

        With `query_positions`, the last layer computes these positions alone; the numbers are the same.
        `token_type_ids` are ignored, as by encoders of transformers without segments.

        Raises:
            ValueError: neither input_ids nor inputs_embeds, or both.
        """
        del token_type_ids
        self._warn_of(options)
        given = input_ids if inputs_embeds is None else inputs_embeds
        if given is None or (input_ids is not None and inputs_embeds is not None):
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        mask = readable_keys(attention_mask)
        places = torch.arange(given.shape[1], device=given.device) if position_ids is None else position_ids
        if causal:
            mask = earlier_keys(mask, places)
        hidden = self.embeddings(input_ids, places, inputs_embeds)
        rotation = self.embeddings.positions.rotation(places)
        *layers, last = self.layers
        for layer in layers:
            hidden = layer(hidden, rotation, mask)
        hidden = last(hidden, rotation, rows_at(mask, query_positions), query_positions)
        return BaseModelOutput(last_hidden_state=self.final_norm(hidden))

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
