"""Masked language modelling with a sampled softmax: the loss of a large vocabulary from a few thousand of its rows.

The vocabulary's product is half of the arithmetic of a small model. Here the softmax's sum over the vocabulary,
Z = Σ exp(s_v), is estimated in two strata: the most frequent tokens, which hold most of Z, are summed exactly, and a
uniform draw stands for the others (importance sampling: Bengio and Senécal, 2008; for large vocabularies Jean et al.,
2015). The target's own score is always exact:

    Z' = exp(s_y) + Σ_{frequent, ≠ y} exp(s_v) + (rare / drawn) Σ_{draws, ≠ y} exp(s_v)
    loss = log Z' − s_y

Held-out loss and accuracy are those of the whole vocabulary, as for `mlm`.

B batch, S sequence, T targets of a micro-batch, C candidates, H hidden, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bertinchamps.contract import Output
from bertinchamps.model.configuration import BertinchampsConfig
from bertinchamps.model.heads.masked_lm import BertinchampsForMaskedLM
from bertinchamps.objectives import Given, objectives
from bertinchamps.objectives.masking import IGNORED, MASKS, MaskSettings, random_start, random_values
from bertinchamps.objectives.mlm import MaskedLanguageModeling, spread_over

BLOCKS_COUNTED = 4096  # held-out blocks that tell frequent tokens from rare ones
NEVER = -1e9  # a logit of no weight


def _problems(settings: Mapping[str, object]) -> list[str]:
    return [
        f"objective.{name}={settings[name]}: at least 1 row of the vocabulary"
        for name in ("frequent", "drawn")
        if cast(int, settings.get(name, 1)) < 1
    ]


class Candidates:
    """The rows of the vocabulary that stand for all: the frequent ones, and a draw of the others.

    Args:
        counts: of each token [V], which decide the frequent ones. Any counts give an unbiased estimate of Z; good ones
            give a precise estimate.
        frequent: rows that are always there.
        drawn: rows that are drawn for each micro-batch, with replacement.
        seed: decides the draws, with the place of the micro-batch in the stream.
        device: of the batches.
    """

    def __init__(
        self, counts: np.ndarray[Any, Any], frequent: int, drawn: int, seed: int, device: torch.device
    ) -> None:
        order = torch.from_numpy(np.argsort(-counts, kind="stable").copy()).to(device)
        self._frequent, self._rare = order[:frequent], order[frequent:]
        self._drawn = drawn if len(self._rare) else 0
        self._start = random_start(seed, "candidates")
        self.number = len(self._frequent) + self._drawn  # C
        # what the score of a candidate counts more, because a draw stands for many rows, [C]
        self._shares = torch.zeros(self.number, device=device)
        if self._drawn:
            self._shares[frequent:] = math.log(len(self._rare) / self._drawn)

    def at(self, position: Tensor) -> Tensor:
        """The candidates [C] of the micro-batch that begins at a position of the stream (scalar)."""
        if not self._drawn:
            return self._frequent
        cells = position * self._drawn + torch.arange(self._drawn, device=position.device)
        draws = random_values(cells, self._start).remainder(len(self._rare))
        return torch.cat((self._frequent, self._rare[draws]))

    def loss(self, hidden: Tensor, decoder: nn.Linear, labels: Tensor, candidates: Tensor) -> Tensor:
        """Summed cross-entropy in nats, estimated.

        Args:
            hidden: at the targets, [T, H].
            decoder: its weight [V, H] and, where it has one, its bias [V].
            labels: true ids [T]; -100 is ignored.
            candidates: of `at`, [C].
        """
        known = labels.clamp(min=0)
        # one look-up, because the gradient of each look-up is a matrix of the whole vocabulary
        rows = F.embedding(torch.cat((candidates, known)), decoder.weight)
        own = (hidden.float() * rows[self.number :].to(hidden.dtype).float()).sum(-1)  # [T]
        added = self._shares
        if decoder.bias is not None:
            added, own = added + decoder.bias[candidates].float(), own + decoder.bias[known].float()
        # Added by the product itself, because the scores are most of the memory that is read and written.
        scores = F.linear(hidden, rows[: self.number], added.to(rows.dtype)).float()  # [T, C]
        # Outside of autograd, whose own mask would be one more pass: the gradient of a score of no weight is zero.
        scores.detach().masked_fill_(candidates == known[:, None], NEVER)
        losses = torch.logaddexp(torch.logsumexp(scores, dim=1), own) - own
        return losses.masked_fill(labels == IGNORED, 0.0).sum()


@objectives.register("mlm_sampled", check=_problems)
class SampledMaskedLanguageModeling(MaskedLanguageModeling):
    """`mlm`, trained on a sampled softmax.

    The draws are a function of the seed and the place of a micro-batch in the stream, so a resumed run goes on
    exactly; another micro-batch size draws others.

    Args:
        given: by the run.
        masks: as for `mlm`.
        frequent: tokens of the vocabulary that are summed exactly.
        drawn: draws among the others, for each micro-batch.
    """

    name = "mlm_sampled"
    continues = False  # it looks inside a model of ours

    def __init__(
        self,
        given: Given,
        masks: MaskSettings = MASKS,
        frequent: int = 2048,
        drawn: int = 2048,
    ) -> None:
        super().__init__(given, masks)
        corpus = given.corpus
        blocks = spread_over(corpus.held_out, BLOCKS_COUNTED)
        seen = corpus.held_out.read(blocks).reshape(-1)
        counts = np.bincount(seen, minlength=corpus.vocabulary.size)
        self._candidates = Candidates(counts, frequent, drawn, given.seed, given.device)

    def _flops(self, config: BertinchampsConfig, predicted_fraction: float, length: int) -> float:
        left_out = config.vocab_size - min(config.vocab_size, self._candidates.number + 1)
        return super()._flops(config, predicted_fraction, length) - (
            3 * 2 * config.hidden_size * left_out * predicted_fraction
        )

    def loss(self, model: nn.Module, inputs: Mapping[str, Tensor]) -> Output:
        """Summed, estimated cross-entropy of the masked tokens of `input_ids` [B, S] at stream `positions` [B]."""
        ids, positions = inputs["input_ids"], inputs["positions"]
        masked, chosen, labels = self._masking(ids, positions)
        trained = cast(BertinchampsForMaskedLM, model)
        hidden = trained.masked_states(masked, chosen).flatten(0, 1)
        decoder = cast(nn.Linear, trained.get_output_embeddings())
        candidates = self._candidates.at(positions[0])
        return self._output(self._candidates.loss(hidden, decoder, labels.flatten(), candidates))
