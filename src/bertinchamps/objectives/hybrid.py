"""Masked and causal language modelling by turns with one head, which predicts the next token in both.

Charpentier and Samuel (2024), "GPT or BERT: why not both?" (GPT-BERT); Yu et al. (2024), AntLM. In a masked
micro-batch, positions read both sides of a text with masks, and a masked token is predicted at the position
before it (masked next-token prediction). In a causal one, positions read what stands before them. Model,
head and shift are the same, so the finished model gives logits either way: `BertinchampsForMaskedLM` reads
each token's logits one position earlier (`predicts_next` in its config.json), and takes `causal=True`.

Which micro-batch is causal depends on its number in the stream alone: among the first n, ⌊n · share⌋ are, at
even distances. Each block counts alike, whatever its number of targets. Held-out scores are those of the
tokens that `mlm` masks, at the same 15 %, each read one position earlier; a token at the first place of a
block, before which nothing stands, is no target. Nor is one at the first place of a document where documents
are apart: the position before it is the end of the previous document, and reads nothing else.

B batch, S sequence, K targets a block.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor, nn

from bertinchamps.contract import Batch, Output
from bertinchamps.model.configuration import BertinchampsConfig
from bertinchamps.model.heads.masked_lm import BertinchampsForMaskedLM
from bertinchamps.objectives import Given, objectives
from bertinchamps.objectives.masking import IGNORED, MASKS, Masking, MaskSettings
from bertinchamps.objectives.mlm import MaskedLanguageModeling
from bertinchamps.objectives.next_tokens import causal_share_problems


class MaskingBehindTheFirst(Masking):
    """Masks whose targets at first places are ignored: those of a row, and those of documents that are kept apart.

    Args:
        separator_id: of the token that ends a document, where documents are apart; None: a row is one document.
        settings: of `Masking`.
    """

    def __init__(self, separator_id: int | None, *settings: Any, **named: Any) -> None:
        super().__init__(*settings, **named)
        self._separator = separator_id

    def __call__(self, ids: Tensor, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As `Masking` does; labels [B, K] are -100 at first places."""
        masked, chosen, labels = super().__call__(ids, positions)
        first = chosen == 0
        if self._separator is not None:  # which no mask replaces
            first |= masked.gather(1, (chosen - 1).clamp(min=0)) == self._separator
        return masked, chosen, labels.masked_fill(first, IGNORED)


def _problems(settings: Mapping[str, Any]) -> list[str]:
    share = settings.get("causal_share", 0.0625)
    return causal_share_problems(share, "micro-batches", "causal ones")


@objectives.register("hybrid", check=_problems)
class Hybrid(MaskedLanguageModeling):
    """Masked and causal micro-batches.

    Args:
        given: by the run.
        masks: as for `mlm`.
        causal_share: of the micro-batches; 1/16 is one causal to fifteen masked.
    """

    name = "hybrid"
    continues = False

    def __init__(
        self,
        given: Given,
        masks: MaskSettings = MASKS,
        causal_share: float = 0.0625,
    ) -> None:
        self.masking = partial(MaskingBehindTheFirst, given.corpus.ends_of_documents)
        super().__init__(given, masks)
        self._share = causal_share

    def new_model(self, config: BertinchampsConfig) -> BertinchampsForMaskedLM:
        """The encoder with the masked-LM head, read one position earlier."""
        config.predicts_next = True
        return super().new_model(config)

    def _flops(self, config: BertinchampsConfig, predicted_fraction: float, length: int) -> float:
        causal, masked = (
            super(Hybrid, self)._flops(config, part, length) for part in (1.0, predicted_fraction)
        )
        return self._share * causal + (1 - self._share) * masked

    def _matrix_flops(self, config: BertinchampsConfig, predicted_fraction: float) -> Mapping[str, float]:
        causal, masked = (
            super(Hybrid, self)._matrix_flops(config, part) for part in (1.0, predicted_fraction)
        )
        return {
            name: self._share * flops + (1 - self._share) * masked[name] for name, flops in causal.items()
        }

    def describe(self, parameters: int, flops_per_token: float) -> Iterator[str]:
        """The model and the shares, a line each; the FLOPs are a mean over micro-batches."""
        yield from super().describe(parameters, flops_per_token)
        yield f"shares     {self._share:.4g} of the micro-batches causal, the others masked"

    def batches(self, cursor: int, micro_batch: int, rank: int = 0, world_size: int = 1) -> Iterator[Batch]:
        """Those of `mlm`. Causal ones have no `positions`, which decide masks: the host need not look at tensors."""
        for batch in super().batches(cursor, micro_batch, rank, world_size):
            number = batch.next_cursor // micro_batch
            causal = math.floor(number * self._share) > math.floor((number - 1) * self._share)
            yield replace(batch, inputs={"input_ids": batch.inputs["input_ids"]}) if causal else batch

    def loss(self, model: nn.Module, inputs: Mapping[str, Tensor]) -> Output:
        """The summed loss of `input_ids` [B, S]: of masked tokens, or without `positions` [B] of next tokens."""
        if "positions" in inputs:
            return super().loss(model, inputs)
        return self._next_tokens(model, inputs["input_ids"])
