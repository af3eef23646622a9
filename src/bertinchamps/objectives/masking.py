"""Masks of masked language modelling (Devlin et al., 2019): a fixed number of targets in each block.

Which tokens are masked is a pure function of (seed, position of the block in the stream, column): the
same for any micro-batch size, on any device, in any resumed run. It is integer arithmetic on the
device, inside the compiled step, so that masking costs next to nothing and shapes stay static.

B batch, S sequence, K targets a block, V vocabulary.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bertinchamps.data.tokenizer import Vocabulary
from bertinchamps.registry import SharedSettings

IGNORED = -100
SHARE_MASKED, SHARE_RANDOM = 0.8, 0.1
LAST = 2**62  # a sort key behind every candidate's
MOST_STAGES = 6  # because a compiled loss is compiled for each


@dataclass(frozen=True)
class MaskSettings(SharedSettings):
    """What is masked, in every objective that masks.

    Attributes:
        mask_rate: share of the tokens that are targets.
        whole_word: choose whole words instead of subwords; the last gap is filled with one-subword words.
        final_mask_rate: the share in the last stage of the budget; None: `mask_rate` throughout.
        mask_stages: stages of equal progress, between whose shares the steps are equal, where there is a final rate.
    """

    mask_rate: float = 0.15
    whole_word: bool = False
    final_mask_rate: float | None = None
    mask_stages: int = 4

    def problems(self) -> list[str]:
        rates = {"mask_rate": self.mask_rate, "final_mask_rate": self.final_mask_rate}
        found = [
            f"objective.{name}={rate}: a share between 0 and 1, such as 0.15"
            for name, rate in rates.items()
            if rate is not None and not 0 < rate < 1
        ]
        if not 2 <= self.mask_stages <= MOST_STAGES:
            found.append(f"objective.mask_stages={self.mask_stages}: a whole number from 2 to {MOST_STAGES}")
        return found

    def rates(self) -> list[float]:
        """The share of the targets in each stage."""
        if self.final_mask_rate is None:
            return [self.mask_rate]
        shares: list[float] = np.linspace(self.mask_rate, self.final_mask_rate, self.mask_stages).tolist()
        return shares


MASKS = MaskSettings()


class Masking:
    """Chooses the targets of blocks and corrupts them.

    Args:
        vocabulary: which ids are special, and which continue a word.
        seed: decides the masks, with position and column.
        sequence_length: S.
        mask_rate: K = round(rate · S) targets in each block.
        whole_word: see `MaskedLanguageModeling`.
        device: of the batches.
        rows: into which a block is cut first; the targets are those of its rows.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        seed: int,
        sequence_length: int,
        mask_rate: float,
        whole_word: bool,
        device: torch.device,
        rows: int = 1,
    ) -> None:
        self.rows, self._targets_of_row = rows, max(1, round(mask_rate * sequence_length / rows))
        self._mask_id = vocabulary.mask_id
        self._choice, self._share, self._draw = (
            random_start(seed, use) for use in ("choice", "share", "draw")
        )
        self._whole_word = whole_word
        ordinary = torch.ones(vocabulary.size, dtype=torch.bool)
        ordinary[list(vocabulary.special_ids)] = False
        continues = torch.zeros(vocabulary.size, dtype=torch.bool)
        continues[list(vocabulary.continuations)] = True
        self._ordinary = ordinary.to(device)  # [V]: may be masked, may be drawn
        self._ordinary_ids = ordinary.nonzero().flatten().to(device)
        self._continues = continues.to(device)  # [V]

    @property
    def targets(self) -> int:
        """Of a block."""
        return self.rows * self._targets_of_row

    def __call__(self, ids: Tensor, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Corrupt a batch.

        Args:
            ids: [B, S], int64.
            positions: [B], of the blocks in the stream.

        Returns:
            Corrupted ids [B, S]; positions of the targets [B, K]; their true ids [B, K], -100 where a
            block has fewer ordinary tokens than targets. Of blocks that are cut into R rows, with R · B for B and S / R
            for S.
        """
        if self.rows > 1:
            within = torch.arange(self.rows, device=positions.device)
            ids = ids.reshape(len(ids) * self.rows, -1)
            positions = (positions[:, None] * self.rows + within).flatten()
        length = ids.shape[1]
        columns = torch.arange(length, device=ids.device)
        cells = positions[:, None] * length + columns  # [B, S]: a number for each cell of the stream
        candidates = self._ordinary[ids]  # [B, S]
        keys = (
            self._word_keys(ids, cells, candidates)
            if self._whole_word
            else random_values(cells, self._choice)
        )
        # Keys of a block are unique, because devices differ in the order of equal keys.
        keys = torch.where(candidates, keys, LAST) // length * length + columns
        chosen = keys.topk(self._targets_of_row, dim=1, largest=False).indices.sort(dim=1).values  # [B, K]
        originals = ids.gather(1, chosen)
        labels = torch.where(candidates.gather(1, chosen), originals, IGNORED)
        corrupted = self._corrupted(originals, cells.gather(1, chosen), labels)
        return ids.scatter(1, chosen, corrupted), chosen, labels

    def _corrupted(self, originals: Tensor, cells: Tensor, labels: Tensor) -> Tensor:
        """80 % [MASK], 10 % a random ordinary token, 10 % as it was; [B, K]."""
        share = random_values(cells, self._share).remainder(1_000_003).float() / 1_000_003
        drawn = self._ordinary_ids[random_values(cells, self._draw).remainder(len(self._ordinary_ids))]
        replaced = torch.where(share < SHARE_MASKED + SHARE_RANDOM, drawn, originals)
        replaced = torch.where(share < SHARE_MASKED, self._mask_id, replaced)
        return torch.where(labels == IGNORED, originals, replaced)

    def _word_keys(self, ids: Tensor, cells: Tensor, candidates: Tensor) -> Tensor:
        """Sort keys [B, S] that put whole words first, then one-subword words, then the rest.

        Words are taken in random order as long as they fit into K; the rest of K is filled with
        one-subword words, so that the number of targets is fixed and no word is masked in part unless a
        block has no one-subword word left.
        """
        length = ids.shape[1]
        starts = ~self._continues[ids] | ~candidates
        columns = torch.arange(length, device=ids.device).expand_as(ids)
        first: Tensor = (
            torch.where(starts, columns, 0).cummax(dim=1).values
        )  # [B, S]: column where the word starts
        keys = torch.where(candidates, random_values(cells.gather(1, first), self._choice) // 4, LAST // 4)
        in_order = (keys[:, :, None] >= keys[:, None, :]).sum(-1)  # [B, S]: tokens up to the end of this word
        word_length = (first[:, :, None] == first[:, None, :]).sum(-1)
        fits = in_order <= self._targets_of_row
        single = word_length == 1
        return keys + torch.where(fits, 0, torch.where(single, LAST // 4, LAST // 2))


def random_values(cells: Tensor, start: int) -> Tensor:
    """Pseudo-random integers in [0, 2^62) for each cell: SplitMix64 (Steele, Lea and Flood, 2014).

    Signed 64-bit arithmetic wraps alike on every device, so masks do not depend on where they are made.
    """
    values = cells * _signed(0x9E3779B97F4A7C15) + start
    values = (values ^ _shifted(values, 30)) * _signed(0xBF58476D1CE4E5B9)
    values = (values ^ _shifted(values, 27)) * _signed(0x94D049BB133111EB)
    return _shifted(values ^ _shifted(values, 31), 2)


def random_start(seed: int, purpose: str) -> int:
    """The start of the random sequence of a seed and a purpose.

    The start is a hash, because consecutive starts would give shifted copies of the same masks.
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
