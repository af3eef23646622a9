"""Masked language modelling: the head, the model that pretraining trains, and its strict loading.

Shapes: B batch, S sequence, H hidden, V vocabulary, K query positions whose logits are computed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from torch import nn
from transformers.modeling_outputs import MaskedLMOutput
from transformers.utils.generic import can_return_tuple

from bertinchamps.errors import UserError
from bertinchamps.model.activations import ACTIVATIONS
from bertinchamps.model.configuration import BertinchampsConfig
from bertinchamps.model.huggingface import BertinchampsModel, BertinchampsPreTrainedModel
from bertinchamps.model.losses import of_classes
from bertinchamps.model.norms import build_norm
from bertinchamps.model.positions import POSITIONS, Positions


class HeadTransform(nn.Module):
    """dense → activation → norm, between the encoder and the decoder (BERT, ModernBERT)."""

    def __init__(self, config: BertinchampsConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size, bias=config.head_bias)
        self.activation = ACTIVATIONS.build(config.activation)
        self.norm = build_norm(config)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:  # [..., H] -> [..., H]
        transformed: torch.Tensor = self.norm(self.activation(self.dense(hidden)))
        return transformed


class MaskedLanguageModelingHead(nn.Module):
    """Transform and decode. Pretraining decodes masked positions only: the decoder is the largest matrix.

    With `head_positions` the encoding of positions is added before, with a factor or a table of its own (He et al.,
    2021, of DeBERTa): the last hidden states need not keep where a token stands.
    """

    def __init__(self, config: BertinchampsConfig) -> None:
        super().__init__()
        again = config.head_positions
        self.positions = POSITIONS.build(config.positions, config=config) if again else Positions(config)
        self.transform = HeadTransform(config) if config.head_transform else nn.Identity()
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size, bias=config.decoder_bias)

    def forward(self, hidden: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """Hidden states [B, K, H] at places [K] or [B, K] to logits [B, K, V]."""
        logits: torch.Tensor = self.decoder(self.states(hidden, places))
        return logits

    def states(self, hidden: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """What the decoder reads, [B, K, H]."""
        return cast(torch.Tensor, self.transform(self.positions(hidden, places)))


class BertinchampsForMaskedLM(BertinchampsPreTrainedModel):  # type: ignore[no-untyped-call]
    """The encoder with the masked-LM head, whose decoder is the token embedding unless untied.

    Raises:
        UserError: the config is that of an encoder that did not learn masked tokens.
    """

    # As transformers declares it: the tied weight, and the weight that it is tied to.
    _tied_weights_keys = {"head.decoder.weight": "encoder.embeddings.tokens.weight"}  # noqa: RUF012

    def __init__(self, config: BertinchampsConfig) -> None:
        super().__init__(config)
        if not config.masked_lm:
            raise UserError(
                "this encoder was pretrained to detect replaced tokens (objective=rtd), and has no head for masked "
                "ones; fine-tune it, or open it with AutoModel"
            )
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
        document_ids: torch.Tensor | None = None,  # [B, S], equal in tokens of one document
        **options: Any,
    ) -> MaskedLMOutput:  # logits [B, S, V], or [B, K, V]
        """Logits of the tokens at all positions, or at `masked_positions`; with labels also the mean loss in nats.

        Where the config has `predicts_next`, they are read one position earlier; the first token's at its own.
        """
        inputs = (input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        read = self.where_read(masked_positions)
        encoded = self.encoder(
            *inputs, query_positions=read, document_ids=document_ids, return_dict=True, **options
        )
        hidden = encoded.last_hidden_state
        places = torch.arange(hidden.shape[1], device=hidden.device) if read is None else read
        if position_ids is not None:  # [B, S] or [1, S]
            places = position_ids if read is None else position_ids.expand(len(read), -1).gather(1, read)
        logits = self.head(hidden, places)
        if self.config.predicts_next and read is None:
            logits = torch.cat((logits[:, :1], logits[:, :-1]), dim=1)
        targets = options.get("num_items_in_batch")
        return MaskedLMOutput(
            loss=None if labels is None else of_classes(logits, labels, targets),  # type: ignore[arg-type]
            logits=logits,
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
        )

    def where_read(self, positions: torch.Tensor | None) -> torch.Tensor | None:
        """Where the logits of the tokens at positions [B, K] are read."""
        if positions is None or not self.config.predicts_next:
            return positions
        return (positions - 1).clamp(min=0)

    def masked_logits(
        self,
        input_ids: torch.Tensor,  # [B, S]
        masked_positions: torch.Tensor,  # [B, K], into S
        attention_mask: torch.Tensor | None = None,  # [B, S]
        document_ids: torch.Tensor | None = None,  # [B, S], equal in tokens of one document
    ) -> torch.Tensor:  # [B, K, V]
        """Logits at the masked positions only, for pretraining.

        Calls `__call__`, so that a model compiled in place (`model.compile()`) runs compiled.
        """
        output: MaskedLMOutput = self(
            input_ids,
            attention_mask,
            masked_positions=masked_positions,
            document_ids=document_ids,
            return_dict=True,
        )
        return cast(torch.Tensor, output.logits)

    def masked_states(
        self,
        input_ids: torch.Tensor,  # [B, S]
        masked_positions: torch.Tensor,  # [B, K], into S
        document_ids: torch.Tensor | None = None,  # [B, S], equal in tokens of one document
    ) -> torch.Tensor:  # [B, K, H]
        """What the decoder reads at the masked positions, for losses that need not all of its rows."""
        read = cast(torch.Tensor, self.where_read(masked_positions))
        encoded = self.encoder(input_ids, query_positions=read, document_ids=document_ids, return_dict=True)
        return self.head.states(encoded.last_hidden_state, read)


def load_masked_lm(directory: Path) -> BertinchampsForMaskedLM:
    """Load a checkpoint directory of a masked language model strictly, as `load_strictly` does."""
    return load_strictly(BertinchampsForMaskedLM, directory)


Loaded = TypeVar("Loaded", bound=BertinchampsPreTrainedModel)


def load_strictly(model_class: type[Loaded], directory: Path) -> Loaded:
    """Load a checkpoint directory strictly. `from_pretrained` alone draws missing weights and only warns.

    Args:
        model_class: of what is saved there.
        directory: of config.json and model.safetensors.

    Raises:
        UserError: not a checkpoint; or weights are missing, unexpected, or of another shape than config.json says.
    """
    absent = [name for name in ("config.json", "model.safetensors") if not (directory / name).is_file()]
    if absent:  # transformers would take the path for a name on the Hub, and ask the network
        raise UserError(f"{directory} is not a checkpoint: it has no {' and no '.join(absent)}")
    # transformers annotates one result, not the pair that output_loading_info returns.
    loaded: Any = model_class.from_pretrained(
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
    return cast(Loaded, model)
