"""Any masked language model of transformers, whose head is computed at the masked positions alone, as ours is.

A hook between encoder and head passes on the last states at these positions; the head of a stock class reads states,
whatever their number is. Gradients go through it, and torch.compile traces it.

Shapes: B batch, S sequence, H hidden, K masked positions, V vocabulary.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput

from bertinchamps.errors import UserError
from bertinchamps.model.heads.masked_lm import BertinchampsForMaskedLM
from bertinchamps.model.positions import at

# Ends of the names of classes with a head for masked tokens; XLM and FlauBERT have the last one.
MASKED_LMS = ("ForMaskedLM", "ForPreTraining", "WithLMHeadModel")
PROBED_TOKENS, PROBED_POSITIONS = 8, (1, 4, 6)


class AtMaskedPositions(nn.Module):
    """A masked language model of transformers, trained or asked at masked positions.

    Args:
        model: of a stock class, or of ours; its base model gets a hook, which does nothing in calls from elsewhere.

    Attributes:
        model: the same.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self._positions: Tensor | None = None
        if not isinstance(model, BertinchampsForMaskedLM):
            model.base_model.register_forward_hook(self._only_at_positions)

    @property
    def config(self) -> Any:
        """The model's configuration."""
        return self.model.config

    def forward(self, ids: Tensor, positions: Tensor, **options: Any) -> Any:
        """The output of a stock class for ids [B, S], with logits [B, K, V] of positions [B, K]."""
        self._positions = positions
        output = self.model(input_ids=ids, return_dict=True, **options)
        self._positions = None
        return output

    def masked_logits(self, input_ids: Tensor, masked_positions: Tensor) -> Tensor:
        """Positions [B, K] of `input_ids` [B, S] to logits [B, K, V]."""
        if isinstance(self.model, BertinchampsForMaskedLM):
            return self.model.masked_logits(input_ids, masked_positions)
        return cast(Tensor, self(input_ids, masked_positions).logits)

    def _only_at_positions(self, module: nn.Module, given: Any, output: Any) -> Any:
        """What the head reads: the last states at the masked positions."""
        del module, given
        if self._positions is None:
            return output
        states: Any = at(output[0], self._positions)
        return BaseModelOutput(
            last_hidden_state=states,
            hidden_states=getattr(output, "hidden_states", None),
            attentions=getattr(output, "attentions", None),
        )


@torch.no_grad()
def refuse_other_logits(masked: AtMaskedPositions, key: str) -> None:
    """Compare logits at some positions with those that the class computes at all of them.

    Args:
        masked: on the CPU; left in evaluation mode.
        key: and value of the setting that names the model, for the message.

    Raises:
        UserError: they differ, or cannot be computed: the head of this class reads more than single states.
    """
    masked.eval()
    token = 1 if masked.config.pad_token_id != 1 else 2
    ids = torch.full((1, PROBED_TOKENS), token)
    ids[0, ::2] += 1  # so that positions differ in more than their place
    positions = torch.tensor([PROBED_POSITIONS])
    try:
        found = masked.masked_logits(ids, positions)
        whole: Tensor = masked.model(input_ids=ids).logits
        same = torch.allclose(found, whole[:, list(PROBED_POSITIONS)], rtol=1e-4, atol=1e-4)
    except (RuntimeError, TypeError, AttributeError, IndexError, ValueError):
        same = False
    if not same:
        raise UserError(
            f"{key}: {type(masked.model).__name__} does not predict each masked token from the last state at its place "
            "alone, which training needs; choose a model of another family"
        )
