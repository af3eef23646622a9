"""Masked language modelling (Devlin et al., 2019) on packed blocks, with a fixed number of targets.

Which tokens are masked is a pure function of (seed, position of the block in the stream, column): the
same for any micro-batch size, on any device, in any resumed run. It is integer arithmetic on the
device, inside the compiled step, so that masking costs next to nothing and shapes stay static.

B batch, S sequence, K targets a block, V vocabulary.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Protocol, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bertinchamps.contract import Batch, Output
from bertinchamps.data.corpus import Corpus
from bertinchamps.data.loader import stream
from bertinchamps.data.tokenizer import Vocabulary
from bertinchamps.errors import UserError
from bertinchamps.objectives import objectives

HELD_OUT_MASK_RATE = 0.15  # whatever the training mask, so that any two runs compare
HELD_OUT_SEED = 1915
EVALUATION_BATCH = 64  # blocks
IGNORED = -100
SHARE_MASKED, SHARE_RANDOM = 0.8, 0.1
LAST = 2**62  # a sort key behind every candidate's


class MasksTokens(Protocol):
    """The model's method that training uses: logits of the masked positions alone."""

    def masked_logits(self, input_ids: Tensor, masked_positions: Tensor) -> Tensor:
        """Positions [B, K] of `input_ids` [B, S] to logits [B, K, V]."""


def mlm_problems(settings: Mapping[str, object]) -> list[str]:
    """Mistakes in the values of the settings, in the user's key names."""
    rate = settings.get("mask_rate", 0.15)
    if isinstance(rate, int | float) and 0 < rate < 1:
        return []
    return [f"objective.mask_rate={rate}: a share between 0 and 1, such as 0.15"]


@objectives.register("mlm", check=mlm_problems)
class MaskedLanguageModeling:
    """The `Task` of pretraining.

    Args:
        corpus: blocks to train on and held-out blocks.
        seed: of order and masks.
        evaluation_blocks: held-out blocks to score, at the most.
        device: where the model is, and where masks are made.
        mask_rate: share of the tokens that are targets.
        whole_word: choose whole words instead of pieces; the last gap is filled with one-piece words.

    Raises:
        UserError: whole words are asked for, and the tokenizer does not say where they end.
    """

    name = "mlm"

    def __init__(
        self,
        corpus: Corpus,
        seed: int,
        evaluation_blocks: int,
        device: torch.device,
        mask_rate: float = 0.15,
        whole_word: bool = False,
    ) -> None:
        if whole_word and not corpus.vocabulary.continuations:
            raise UserError(
                f"objective.whole_word=true: the tokenizer in {corpus.tokenizer_folder} does not mark pieces that go "
                "on with a word (as ## does in WordPiece), so nobody knows where words end; objective.whole_word=false"
            )
        self._corpus, self._seed, self._device = corpus, seed, device
        self._evaluation_blocks = min(evaluation_blocks, len(corpus.held_out))
        length = corpus.train.sequence_length
        self._masking = Masking(corpus.vocabulary, seed, length, mask_rate, whole_word, device)
        self.target_share = self._masking.targets / length
        self._held_out_masking = Masking(
            corpus.vocabulary, HELD_OUT_SEED, length, HELD_OUT_MASK_RATE, whole_word=False, device=device
        )

    def epoch_length(self) -> int:
        """Blocks in one pass over the training split."""
        return len(self._corpus.train)

    def batches(self, position: int, micro_batch: int, first: int = 0, every: int = 1) -> Iterator[Batch]:
        """Endless micro-batches of training blocks, in an order that the seed decides."""
        targets = self._masking.targets
        return stream(self._corpus.train, self._seed, position, micro_batch, targets, first, every)

    def loss(self, model: nn.Module, inputs: Mapping[str, Tensor]) -> Output:
        """Summed cross-entropy of the masked tokens of `input_ids` [B, S] at stream `positions` [B]."""
        logits, labels = self._masked_logits(model, inputs["input_ids"], inputs["positions"], self._masking)
        return Output(F.cross_entropy(logits.float(), labels, ignore_index=IGNORED, reduction="sum"))

    @torch.no_grad()
    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Held-out loss in nats and accuracy, over masked tokens, at a fixed mask of 15 %.

        The blocks are spread evenly over the split, whose documents may be sorted in some way.
        """
        loss = correct = targets = 0.0
        spread = np.linspace(0, len(self._corpus.held_out) - 1, self._evaluation_blocks).astype(np.int64)
        for start in range(0, len(spread), EVALUATION_BATCH):
            indices = spread[start : start + EVALUATION_BATCH]
            ids = torch.from_numpy(self._corpus.held_out.read(indices).astype(np.int64)).to(self._device)
            positions = torch.from_numpy(indices).to(self._device)
            logits, labels = self._masked_logits(model, ids, positions, self._held_out_masking)
            loss += float(F.cross_entropy(logits.float(), labels, ignore_index=IGNORED, reduction="sum"))
            correct += float((logits.argmax(-1) == labels).sum())
            targets += float((labels != IGNORED).sum())
        return {"loss": loss / targets, "accuracy": correct / targets}

    def _masked_logits(
        self, model: nn.Module, ids: Tensor, positions: Tensor, masking: Masking
    ) -> tuple[Tensor, Tensor]:
        masked, chosen, labels = masking(ids, positions)
        logits = cast(MasksTokens, model).masked_logits(masked, chosen)
        return logits.flatten(0, 1), labels.flatten()


class Masking:
    """Chooses the targets of blocks and corrupts them.

    Args:
        vocabulary: which ids are special, and which continue a word.
        seed: with position and column it decides everything.
        sequence_length: S.
        mask_rate: K = round(rate · S) targets in each block.
        whole_word: see `MaskedLanguageModeling`.
        device: of the batches.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        seed: int,
        sequence_length: int,
        mask_rate: float,
        whole_word: bool,
        device: torch.device,
    ) -> None:
        self.targets = max(1, round(mask_rate * sequence_length))
        self._mask_id = vocabulary.mask_id
        self._choice, self._share, self._draw = (_start(seed, use) for use in ("choice", "share", "draw"))
        self._whole_word = whole_word
        ordinary = torch.ones(vocabulary.size, dtype=torch.bool)
        ordinary[list(vocabulary.special_ids)] = False
        continues = torch.zeros(vocabulary.size, dtype=torch.bool)
        continues[list(vocabulary.continuations)] = True
        self._ordinary = ordinary.to(device)  # [V]: may be masked, may be drawn
        self._ordinary_ids = ordinary.nonzero().flatten().to(device)
        self._continues = continues.to(device)  # [V]

    def __call__(self, ids: Tensor, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Corrupt a batch.

        Args:
            ids: [B, S], int64.
            positions: [B], of the blocks in the stream.

        Returns:
            Corrupted ids [B, S]; positions of the targets [B, K]; their true ids [B, K], -100 where a
            block has fewer ordinary tokens than targets.
        """
        length = ids.shape[1]
        columns = torch.arange(length, device=ids.device)
        cells = positions[:, None] * length + columns  # [B, S]: a number for each cell of the stream
        candidates = self._ordinary[ids]  # [B, S]
        keys = self._word_keys(ids, cells, candidates) if self._whole_word else _random(cells, self._choice)
        # No two of a block are equal, because devices order equal keys in ways of their own.
        keys = torch.where(candidates, keys, LAST) // length * length + columns
        chosen = keys.topk(self.targets, dim=1, largest=False).indices.sort(dim=1).values  # [B, K]
        originals = ids.gather(1, chosen)
        labels = torch.where(candidates.gather(1, chosen), originals, IGNORED)
        corrupted = self._corrupted(originals, cells.gather(1, chosen), labels)
        return ids.scatter(1, chosen, corrupted), chosen, labels

    def _corrupted(self, originals: Tensor, cells: Tensor, labels: Tensor) -> Tensor:
        """80 % [MASK], 10 % a random ordinary token, 10 % as it was; [B, K]."""
        share = _random(cells, self._share).remainder(1_000_003).float() / 1_000_003
        drawn = self._ordinary_ids[_random(cells, self._draw).remainder(len(self._ordinary_ids))]
        replaced = torch.where(share < SHARE_MASKED + SHARE_RANDOM, drawn, originals)
        replaced = torch.where(share < SHARE_MASKED, self._mask_id, replaced)
        return torch.where(labels == IGNORED, originals, replaced)

    def _word_keys(self, ids: Tensor, cells: Tensor, candidates: Tensor) -> Tensor:
        """Sort keys [B, S] that put whole words first, then one-piece words, then the rest.

        Words are taken in random order as long as they fit into K; what is left of K is filled with
        one-piece words, so that the number of targets is fixed and no word is masked in part unless a
        block has no one-piece word left.
        """
        length = ids.shape[1]
        starts = ~self._continues[ids] | ~candidates
        columns = torch.arange(length, device=ids.device).expand_as(ids)
        first: Tensor = (
            torch.where(starts, columns, 0).cummax(dim=1).values
        )  # [B, S]: column where the word starts
        keys = torch.where(candidates, _random(cells.gather(1, first), self._choice) // 4, LAST // 4)
        in_order = (keys[:, :, None] >= keys[:, None, :]).sum(-1)  # [B, S]: tokens up to the end of this word
        word_length = (first[:, :, None] == first[:, None, :]).sum(-1)
        fits = in_order <= self.targets
        single = word_length == 1
        return keys + torch.where(fits, 0, torch.where(single, LAST // 4, LAST // 2))


def _random(cells: Tensor, start: int) -> Tensor:
    """Pseudo-random integers in [0, 2^62) for each cell: SplitMix64 (Steele, Lea and Flood, 2014).

    Signed 64-bit arithmetic wraps alike on every device, so masks do not depend on where they are made.
    """
    values = cells * _signed(0x9E3779B97F4A7C15) + start
    values = (values ^ _shifted(values, 30)) * _signed(0xBF58476D1CE4E5B9)
    values = (values ^ _shifted(values, 27)) * _signed(0x94D049BB133111EB)
    return _shifted(values ^ _shifted(values, 31), 2)


def _start(seed: int, purpose: str) -> int:
    """Where the random sequence of a seed and a purpose starts.

    A hash, because steps of one sequence would make the masks of a seed those of the next one, moved.
    """
    digest = hashlib.blake2b(f"{seed} {purpose}".encode(), digest_size=8).digest()
    return _signed(int.from_bytes(digest, "big"))


def _shifted(values: Tensor, bits: int) -> Tensor:
    """Logical right shift, which torch lacks for signed integers."""
    shifted: Tensor = (values >> bits) & (2 ** (64 - bits) - 1)
    return shifted


def _signed(value: int) -> int:
    """The signed 64-bit integer of the same bits."""
    value %= 2**64
    return value - 2**64 if value >= 2**63 else value
