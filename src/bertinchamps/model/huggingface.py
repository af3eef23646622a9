"""The encoder, the masked-LM model and the classifiers, as classes that Hugging Face can save, find and load.

All take what encoders of transformers take, in the same order, and beside it

    output_hidden_states   keep what each layer gives, or those of a list of numbers
    output_attentions      keep the shares of attention, with `attn_implementation="eager"` alone
    return_dict            False: a tuple
    num_items_in_batch     targets of a whole update, over which a loss is the mean

Shapes: B batch, S sequence, H hidden, V vocabulary, K positions of a row that are read, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from transformers import PreTrainedModel, initialization
from transformers.modeling_outputs import (
    BaseModelOutput,
    MaskedLMOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)
from transformers.utils import logging
from transformers.utils.generic import can_return_tuple
from transformers.utils.output_capturing import capture_outputs

from bertinchamps.errors import UserError
from bertinchamps.model import losses
from bertinchamps.model.attention import Attention, readable_keys
from bertinchamps.model.configuration import BertinchampsConfig
from bertinchamps.model.heads import MaskedLanguageModelingHead
from bertinchamps.model.initialisation import INITS, is_residual
from bertinchamps.model.layers import Embeddings, EncoderLayer
from bertinchamps.model.nested import refuse_nested
from bertinchamps.model.norms import build_norm
from bertinchamps.model.positions import Positions

# What `forward` takes beyond its named arguments, and reads or may pass over: encoders have no cache.
OPTIONS = frozenset({"output_hidden_states", "output_attentions", "num_items_in_batch", "use_cache"})
logger = logging.get_logger(__name__)


class BertinchampsPreTrainedModel(PreTrainedModel):  # type: ignore[no-untyped-call]
    """What all models here share: the config, the initialisation, and what transformers asks about them."""

    config: BertinchampsConfig
    config_class = BertinchampsConfig
    base_model_prefix = "encoder"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _can_record_outputs = {"hidden_states": EncoderLayer, "attentions": Attention}  # noqa: RUF012
    _no_split_modules = ["Embeddings", "EncoderLayer"]  # noqa: RUF012, as transformers declares it

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Fill one module's own parameters; transformers calls it for each module left uninitialised."""
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
        read_positions: torch.Tensor | None = None,  # [B, K], into S
        **options: Any,
    ) -> BaseModelOutput:  # last_hidden_state [B, S, H], or [B, K, H]
        """Encode. Leave the mask out where nothing is padded: attention has a faster path then.

        Where only some positions are read, the last layer computes nothing else; they are the same numbers.

        There are no segments, and as with the encoders of transformers that have none, token types mean nothing.

        Raises:
            ValueError: neither tokens nor vectors, or both.
        """
        del token_type_ids
        self._warn_of(options)
        given = input_ids if inputs_embeds is None else inputs_embeds
        if given is None or (input_ids is not None and inputs_embeds is not None):
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        mask = readable_keys(attention_mask)
        places = torch.arange(given.shape[1], device=given.device) if position_ids is None else position_ids
        hidden = self.embeddings(input_ids, places, inputs_embeds)
        rotation = self.embeddings.positions.rotation(places)
        *layers, last = self.layers
        for layer in layers:
            hidden = layer(hidden, rotation, mask)
        hidden = last(hidden, rotation, mask, read_positions)
        return BaseModelOutput(last_hidden_state=self.final_norm(hidden))

    def _warn_of(self, options: Mapping[str, Any]) -> None:
        """Say once what was asked for in vain. Compiled code says nothing."""
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


class BertinchampsForMaskedLM(BertinchampsPreTrainedModel):  # type: ignore[no-untyped-call]
    """The encoder with the masked-LM head, whose decoder is the token embedding unless untied."""

    # As transformers declares it: the shared weight, and where it is kept.
    _tied_weights_keys = {"head.decoder.weight": "encoder.embeddings.tokens.weight"}  # noqa: RUF012

    def __init__(self, config: BertinchampsConfig) -> None:
        super().__init__(config)
        self.encoder = BertinchampsModel(config)
        self.head = MaskedLanguageModelingHead(config)
        self.post_init()  # type: ignore[no-untyped-call]

    def get_output_embeddings(self) -> nn.Module:
        return self.head.decoder

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        self.head.decoder = cast(nn.Linear, new_embeddings)

    @can_return_tuple  # type: ignore[untyped-decorator]
    def forward(
        self,
        input_ids: torch.Tensor | None = None,  # [B, S]
        attention_mask: torch.Tensor | None = None,  # [B, S], true or nonzero at real tokens
        token_type_ids: torch.Tensor | None = None,  # [B, S], without effect
        position_ids: torch.Tensor | None = None,  # [B, S] or [1, S]
        inputs_embeds: torch.Tensor | None = None,  # [B, S, H], in place of input_ids
        labels: torch.Tensor | None = None,  # [B, S], or [B, K] beside masked_positions; -100 is ignored
        *,
        masked_positions: torch.Tensor | None = None,  # [B, K], into S
        **options: Any,
    ) -> MaskedLMOutput:  # logits [B, S, V], or [B, K, V]
        """Logits everywhere, or at some positions only; and the mean loss in nats where labels are given."""
        inputs = (input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        encoded = self.encoder(*inputs, read_positions=masked_positions, return_dict=True, **options)
        logits = self.head(encoded.last_hidden_state)
        targets = options.get("num_items_in_batch")
        return MaskedLMOutput(
            loss=None if labels is None else losses.of_classes(logits, labels, targets),  # type: ignore[arg-type]
            logits=logits,
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
        )

    def masked_logits(
        self,
        input_ids: torch.Tensor,  # [B, S]
        masked_positions: torch.Tensor,  # [B, K], into S
        attention_mask: torch.Tensor | None = None,  # [B, S]
    ) -> torch.Tensor:  # [B, K, V]
        """Logits at the masked positions only: what pretraining calls.

        It goes through `__call__`, so that a model compiled in place (`model.compile()`) runs compiled.
        """
        output: MaskedLMOutput = self(
            input_ids, attention_mask, masked_positions=masked_positions, return_dict=True
        )
        return cast(torch.Tensor, output.logits)


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
        """Logits of each token; and the mean loss in nats where labels are given."""
        inputs = (input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        encoded = self.encoder(*inputs, return_dict=True, **options)
        logits = self.classifier(self.dropout(encoded.last_hidden_state))
        targets = options.get("num_items_in_batch")
        return TokenClassifierOutput(
            loss=None if labels is None else losses.of_classes(logits, labels, targets),  # type: ignore[arg-type]
            logits=logits,
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
        )


class BertinchampsForSequenceClassification(BertinchampsPreTrainedModel):  # type: ignore[no-untyped-call]
    """Mean over the tokens, dense, tanh, dropout and a linear map.

    The mean, because pretraining on packed blocks never saw a token that stands for the whole text
    (Cramming pools likewise).
    """

    def __init__(self, config: BertinchampsConfig) -> None:
        refuse_nested(config)
        super().__init__(config)
        self.encoder = BertinchampsModel(config)
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
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
        """Logits of each text; and the mean loss where labels are given."""
        inputs = (input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        encoded = self.encoder(*inputs, return_dict=True, **options)
        pooled = _mean(encoded.last_hidden_state, attention_mask)
        logits = self.classifier(self.dropout(torch.tanh(self.dense(pooled))))
        loss = None
        if labels is not None:
            problem, targets = self.config.problem_type, options.get("num_items_in_batch")
            loss = losses.of_texts(logits, labels, problem, targets)
        return SequenceClassifierOutput(
            loss=loss,  # type: ignore[arg-type]
            logits=logits,
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
        )


def _mean(
    hidden: torch.Tensor,  # [B, S, H]
    attention_mask: torch.Tensor | None,  # [B, S]
) -> torch.Tensor:  # [B, H]
    """The mean over real tokens; 0 where a row has none."""
    if attention_mask is None:
        return hidden.mean(1)
    weights = attention_mask[:, :, None].to(hidden.dtype)
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)


def register() -> None:
    """Tell transformers' Auto classes about these models. The package sees to it; twice does no harm."""
    from transformers import (
        AutoModel,
        AutoModelForMaskedLM,
        AutoModelForSequenceClassification,
        AutoModelForTokenClassification,
    )

    AutoModel.register(BertinchampsConfig, BertinchampsModel, exist_ok=True)
    AutoModelForMaskedLM.register(BertinchampsConfig, BertinchampsForMaskedLM, exist_ok=True)
    AutoModelForTokenClassification.register(
        BertinchampsConfig, BertinchampsForTokenClassification, exist_ok=True
    )
    AutoModelForSequenceClassification.register(
        BertinchampsConfig, BertinchampsForSequenceClassification, exist_ok=True
    )


def load_masked_lm(directory: Path) -> BertinchampsForMaskedLM:
    """The model of a checkpoint directory, with every weight from the checkpoint.

    `from_pretrained` alone fills missing weights with random numbers and only warns.

    Raises:
        UserError: not a checkpoint; or weights are missing, left over, or of another shape than its
            config.json says.
    """
    absent = [name for name in ("config.json", "model.safetensors") if not (directory / name).is_file()]
    if absent:  # transformers would take the path for a name on the Hub, and ask the network
        raise UserError(f"{directory} is not a checkpoint: it has no {' and no '.join(absent)}")
    # The annotations of transformers know one result, not the pair that this option returns.
    loaded: Any = BertinchampsForMaskedLM.from_pretrained(
        directory, output_loading_info=True, ignore_mismatched_sizes=True, use_safetensors=True
    )
    model, report = loaded
    wrong = [
        f"{kind.removesuffix('_keys')}: {', '.join(sorted(str(name) for name in report[kind]))}"
        for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")
        if report[kind]
    ]
    if wrong:
        raise UserError(f"the weights in {directory} do not fit its config.json: {'; '.join(wrong)}")
    return cast(BertinchampsForMaskedLM, model)
