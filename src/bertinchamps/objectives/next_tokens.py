"""Prediction of the next token with causal attention, by the model that masked language modelling trains.

B batch, S sequence, V vocabulary.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from bertinchamps.model.configuration import BertinchampsConfig
from bertinchamps.objectives.masking import IGNORED


def next_token_loss(
    model: nn.Module, config: BertinchampsConfig, ids: Tensor, separator_id: int | None = None
) -> Tensor:
    """Summed cross-entropy in nats of all tokens of ids [B, S] but each row's first one, from those before it.

    Args:
        model: `BertinchampsForMaskedLM`.
        config: of the model.
        ids: uncorrupted.
        separator_id: of the token that ends a document, where documents are apart: then the first token of each is
            left out as well, before which nothing but another document stands; None: a row is one document.
    """
    logits = model(ids, causal=True, return_dict=True).logits  # [B, S, V]
    before = logits[:, 1:] if config.predicts_next else logits[:, :-1]
    labels = ids[:, 1:]
    if separator_id is not None:
        labels = labels.masked_fill(ids[:, :-1] == separator_id, IGNORED)
    return F.cross_entropy(
        before.float().flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="sum"
    )


def causal_share_problems(share: float, of: str, outside: str) -> list[str]:
    """Mistakes in `objective.causal_share`, in the user's key names.

    Args:
        share: that is causal.
        of: what it is a share of.
        outside: why 0 and 1 are none.
    """
    if 0 < share < 1:
        return []
    return [
        f"objective.causal_share={share}: a share of the {of}, above 0 and below 1; objective=mlm has no {outside}"
    ]


def targets_of(sequence_length: int) -> int:
    """How many tokens of a row of S are predicted: all but the first. Those that begin documents apart count, too."""
    return sequence_length - 1
