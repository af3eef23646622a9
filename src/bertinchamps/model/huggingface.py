"""The encoder, the masked-LM model and the classifiers, as classes that Hugging Face can save, find and load.

Shapes: B batch, S sequence, H hidden, V vocabulary, K positions of a row that are read, C classes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional
from transformers import PreTrainedModel, initialization
from transformers.modeling_outputs import (
    BaseModelOutput,
    MaskedLMOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)

from bertinchamps.errors import UserError
from bertinchamps.model.configuration import BertinchampsConfig
from bertinchamps.model.heads import MaskedLanguageModelingHead
from bertinchamps.model.initialisation import INITS, ResidualLinear
from bertinchamps.model.layers import Embeddings, EncoderLayer
from bertinchamps.model.nested import refuse_nested
from bertinchamps.model.norms import build_norm
from bertinchamps.model.positions import Positions


class BertinchampsPreTrainedModel(PreTrainedModel):  # type: ignore[no-untyped-call]
    """What all models here share: the config, the initialisation, and what transformers asks about them."""

    config: BertinchampsConfig
    config_class = BertinchampsConfig
    base_model_prefix = "encoder"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _no_split_modules = ["Embeddings", "EncoderLayer"]  # noqa: RUF012, as transformers declares it

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Fill one module's own parameters; transformers calls it for each module left uninitialised."""
        if isinstance(module, (nn.Linear, nn.Embedding)):
            fill = INITS.build(self.config.init, config=self.config)
            fill(module.weight, isinstance(module, ResidualLinear))
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

    def forward(
        self,
        input_ids: torch.Tensor,  # [B, S]
        attention_mask: torch.Tensor | None = None,  # [B, S], true or nonzero at real tokens
        read_positions: torch.Tensor | None = None,  # [B, K], into S
    ) -> BaseModelOutput:  # last_hidden_state [B, S, H], or [B, K, H]
        """Encode. Leave the mask out where nothing is padded: attention has a faster path then.

        Where only some positions are read, the last layer computes nothing else; they are the same numbers.

        There is no `token_type_ids`: tokenizers of transformers 5 do not return them unless told to.
        """
        mask = None if attention_mask is None else attention_mask.bool()[:, None, None, :]  # [B, 1, 1, S]
        hidden = self.embeddings(input_ids)
        rotation = self.embeddings.positions.rotation(hidden)
        *layers, last = self.layers
        for layer in layers:
            hidden = layer(hidden, rotation, mask)
        hidden = last(hidden, rotation, mask, read_positions)
        return BaseModelOutput(last_hidden_state=self.final_norm(hidden))


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

    def forward(
        self,
        input_ids: torch.Tensor,  # [B, S]
        attention_mask: torch.Tensor | None = None,  # [B, S], true or nonzero at real tokens
        labels: torch.Tensor | None = None,  # [B, S], or [B, K] beside masked_positions; -100 is ignored
        masked_positions: torch.Tensor | None = None,  # [B, K], into S
    ) -> MaskedLMOutput:  # logits [B, S, V], or [B, K, V]
        """Logits everywhere, or at some positions only; and the mean loss in nats where labels are given."""
        hidden = self.encoder(input_ids, attention_mask, masked_positions).last_hidden_state
        logits = self.head(hidden)
        loss = None
        if labels is not None:
            loss = functional.cross_entropy(logits.flatten(0, -2).float(), labels.flatten())
        return MaskedLMOutput(loss=loss, logits=logits)  # type: ignore[arg-type]  # it asks for a FloatTensor

    def masked_logits(
        self,
        input_ids: torch.Tensor,  # [B, S]
        masked_positions: torch.Tensor,  # [B, K], into S
        attention_mask: torch.Tensor | None = None,  # [B, S]
    ) -> torch.Tensor:  # [B, K, V]
        """Logits at the masked positions only: what pretraining calls.

        It goes through `__call__`, so that a model compiled in place (`model.compile()`) runs compiled.
        """
        output: MaskedLMOutput = self(input_ids, attention_mask, masked_positions=masked_positions)
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

    def forward(
        self,
        input_ids: torch.Tensor,  # [B, S]
        attention_mask: torch.Tensor | None = None,  # [B, S], true or nonzero at real tokens
        labels: torch.Tensor | None = None,  # [B, S]; -100 is ignored
    ) -> TokenClassifierOutput:  # logits [B, S, C]
        """Logits of each token; and the mean loss in nats where labels are given."""
        hidden = self.encoder(input_ids, attention_mask).last_hidden_state
        logits = self.classifier(self.dropout(hidden))
        loss = None
        if labels is not None:
            loss = functional.cross_entropy(logits.flatten(0, 1).float(), labels.flatten())
        return TokenClassifierOutput(loss=loss, logits=logits)  # type: ignore[arg-type]  # it asks for a FloatTensor


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

    def forward(
        self,
        input_ids: torch.Tensor,  # [B, S]
        attention_mask: torch.Tensor | None = None,  # [B, S], true or nonzero at real tokens
        labels: torch.Tensor | None = None,  # [B], of one class each
    ) -> SequenceClassifierOutput:  # logits [B, C]
        """Logits of each text; and the mean loss in nats where labels are given."""
        hidden = self.encoder(input_ids, attention_mask).last_hidden_state
        if attention_mask is None:
            pooled = hidden.mean(1)
        else:
            weights = attention_mask[:, :, None].to(hidden.dtype)
            pooled = (hidden * weights).sum(1) / weights.sum(1)
        logits = self.classifier(self.dropout(torch.tanh(self.dense(pooled))))
        loss = None if labels is None else functional.cross_entropy(logits.float(), labels)
        return SequenceClassifierOutput(loss=loss, logits=logits)  # type: ignore[arg-type]


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
