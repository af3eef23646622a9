"""Masks of masked language modelling (Devlin et al., 2019): a fixed number of targets in each block.

Targets are subwords, whole words, or spans of either (Joshi et al., 2020, SpanBERT: lengths of a geometric distribution
that is cut at a limit; a span becomes [MASK], random tokens, or stays, as a whole).

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
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from bertinchamps.data.tokenizer import Vocabulary
from bertinchamps.registry import SharedSettings

IGNORED = -100
SHARE_MASKED, SHARE_RANDOM = 0.8, 0.1
LAST = 2**62  # a sort key behind every candidate's
LONGEST_SPAN = 64
SHARES = 1_000_003  # steps of a draw from a distribution
MOST_STAGES = 6  # because a compiled loss is compiled for each


@dataclass(frozen=True)
class MaskSettings(SharedSettings):
    """What is masked, in every objective that masks.

    Attributes:
        mask_rate: share of the tokens that are targets.
        whole_word: choose whole words instead of subwords; the last gap is filled with one-subword words.
        final_mask_rate: the share in the last stage of the budget; None: `mask_rate` throughout.
        mask_stages: stages of equal progress, between whose shares the steps are equal, where there is a final rate.
        span: choose spans of neighbours; of whole words, with `whole_word`. The last span of a block is cut to fit.
        span_mean: mean length of spans, in subwords or words.
        span_limit: length of the longest span.
    """

    mask_rate: float = 0.15
    whole_word: bool = False
    final_mask_rate: float | None = None
    mask_stages: int = 4
    span: bool = False
    span_mean: float = 3.8
    span_limit: int = 10

    def problems(self) -> list[str]:
        rates = {"mask_rate": self.mask_rate, "final_mask_rate": self.final_mask_rate}
        found = [
            f"objective.{name}={rate}: a share between 0 and 1, such as 0.15"
            for name, rate in rates.items()
            if rate is not None and not 0 < rate < 1
        ]
        if not 2 <= self.mask_stages <= MOST_STAGES:
            found.append(f"objective.mask_stages={self.mask_stages}: a whole number from 2 to {MOST_STAGES}")
        if not 2 <= self.span_limit <= LONGEST_SPAN:
            found.append(f"objective.span_limit={self.span_limit}: a whole number from 2 to {LONGEST_SPAN}")
        elif not 1 < self.span_mean < (1 + self.span_limit) / 2:
            found.append(
                f"objective.span_mean={self.span_mean}: above 1, where spans are single tokens, and below "
                f"{(1 + self.span_limit) / 2:g}, where all lengths up to objective.span_limit are equally likely"
            )
        return found

    def rates(self) -> list[float]:
        """The share of the targets in each stage."""
        if self.final_mask_rate is None:
            return [self.mask_rate]
        shares: list[float] = np.linspace(self.mask_rate, self.final_mask_rate, self.mask_stages).tolist()
        return shares

    def span_lengths(self) -> NDArray[np.float64] | None:
        """Probabilities of the lengths 1, 2, … of spans; None: no spans."""
        return geometric(self.span_mean, self.span_limit) if self.span else None


MASKS = MaskSettings()


def geometric(mean: float, limit: int) -> NDArray[np.float64]:
    """Probabilities of 1, 2, …, limit, each the same multiple of the one before, with a given mean.

    A mean of 3.8 and a limit of 10 are p = 0.2 of SpanBERT (Joshi et al., 2020, section 3.1).
    """
    lengths = np.arange(1, limit + 1)
    low, high = 1e-9, 1.0  # of the multiple: the mean grows with it
    for _ in range(60):
        middle = (low + high) / 2
        weights = middle**lengths
        low, high = (middle, high) if weights @ lengths / weights.sum() < mean else (low, middle)
    return np.asarray(weights / weights.sum())


class Masking:
    """Chooses the targets of blocks and corrupts them.

    Args:
        vocabulary: which ids are special, and which continue a word.
        seed: decides the masks, with position and column.
        sequence_length: S.
        mask_rate: K = round(rate · S) targets in each block.
        whole_word: see `MaskedLanguageModeling`.
        device: of the batches.
        span_lengths: probabilities of lengths of spans, from 1 on; None: no spans.
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
        span_lengths: NDArray[np.float64] | None = None,
        rows: int = 1,
    ) -> None:
        self.rows, self._targets_of_row = rows, max(1, round(mask_rate * sequence_length / rows))
        self._mask_id = vocabulary.mask_id
        self._choice, self._share, self._draw, self._length = (
            random_start(seed, use) for use in ("choice", "share", "draw", "length")
        )
        self._whole_word = whole_word
        self._longer: Tensor | None = None  # [limit - 1]: draws from which on a span is longer than 1, 2, …
        if span_lengths is not None:
            steps = (span_lengths.cumsum()[:-1] * SHARES).round().astype(np.int64)
            self._longer = torch.from_numpy(steps).to(device)
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
        return self.in_rows(*self.rows_of(ids, positions))

    def rows_of(self, ids: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """The rows [R · B, S / R] of blocks [B, S], and the positions of the rows in a stream of rows."""
        if self.rows == 1:
            return ids, positions
        within = torch.arange(self.rows, device=positions.device)
        return ids.reshape(len(ids) * self.rows, -1), (positions[:, None] * self.rows + within).flatten()

    def in_rows(self, ids: Tensor, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Corrupt rows of `rows_of`, as a call does for blocks."""
        length = ids.shape[1]
        columns = torch.arange(length, device=ids.device)
        cells = positions[:, None] * length + columns  # [B, S]: a number for each cell of the stream
        candidates = self._ordinary[ids]  # [B, S]
        words = self._starts_of_words(ids, candidates) if self._whole_word else columns.expand_as(ids)
        spans = (
            words if self._longer is None else self._starts_of_spans(words, cells, candidates, self._longer)
        )
        first = cells.gather(1, spans)  # the same throughout a word or a span
        keys = random_values(first, self._choice)
        if self._whole_word:
            keys = self._whole_words_first(keys, words, candidates)
        # Keys of a block are unique, because devices differ in the order of equal keys.
        keys = torch.where(candidates, keys, LAST) // length * length + columns
        chosen = keys.topk(self._targets_of_row, dim=1, largest=False).indices.sort(dim=1).values  # [B, K]
        originals = ids.gather(1, chosen)
        labels = torch.where(candidates.gather(1, chosen), originals, IGNORED)
        shared = cells if self._longer is None else first
        corrupted = self._corrupted(originals, cells.gather(1, chosen), shared.gather(1, chosen), labels)
        return ids.scatter(1, chosen, corrupted), chosen, labels

    def _corrupted(self, originals: Tensor, cells: Tensor, shared: Tensor, labels: Tensor) -> Tensor:
        """80 % [MASK], 10 % a random ordinary token, 10 % as it was; [B, K]. Cells in `shared` decide which."""
        share = random_values(shared, self._share).remainder(SHARES).float() / SHARES
        drawn = self._ordinary_ids[random_values(cells, self._draw).remainder(len(self._ordinary_ids))]
        replaced = torch.where(share < SHARE_MASKED + SHARE_RANDOM, drawn, originals)
        replaced = torch.where(share < SHARE_MASKED, self._mask_id, replaced)
        return torch.where(labels == IGNORED, originals, replaced)

    def _starts_of_words(self, ids: Tensor, candidates: Tensor) -> Tensor:
        """Column [B, S] where the word of each token starts."""
        return _latest(~self._continues[ids] | ~candidates)

    def _starts_of_spans(self, words: Tensor, cells: Tensor, candidates: Tensor, longer: Tensor) -> Tensor:
        """Column [B, S] where the span of each token starts. Spans follow each other, and end at special tokens.

        The length of span number n of a block, in words, is drawn in cell n of the block.
        """
        length = cells.shape[1]
        draws = random_values(cells, self._length).remainder(SHARES)
        lengths = 1 + (draws[:, :, None] >= longer).sum(-1)
        ends = lengths.cumsum(1).clamp(max=length)  # number of the word behind each span
        begins = cells.new_zeros(len(cells), length + 1).scatter(1, ends, 1)[:, :-1]
        starts_word = words == torch.arange(length, device=cells.device)
        number = starts_word.cumsum(1) - 1  # of the word of each token
        special = ~candidates
        behind = functional.pad(special[:, :-1], (1, 0), value=True)
        return _latest((starts_word & (begins.gather(1, number.clamp(min=0)) > 0)) | special | behind)

    def _whole_words_first(self, keys: Tensor, words: Tensor, candidates: Tensor) -> Tensor:
        """Sort keys [B, S] that put whole words first, then one-subword words, then the rest.

        Words are taken in the order of their keys as long as they fit into K; the rest of K is filled with
        one-subword words, so that the number of targets is fixed and no word is masked in part unless a
        block has no one-subword word left.
        """
        keys = torch.where(candidates, keys // 4, LAST // 4)
        order = keys
        if self._longer is not None:  # words of a span have one key
            order = keys // keys.shape[1] * keys.shape[1] + words
        in_order = (order[:, :, None] >= order[:, None, :]).sum(-1)  # tokens up to the end of this word
        word_length = (words[:, :, None] == words[:, None, :]).sum(-1)
        fits = in_order <= self._targets_of_row
        single = word_length == 1
        return keys + torch.where(fits, 0, torch.where(single, LAST // 4, LAST // 2))


def _latest(starts: Tensor) -> Tensor:
    """For each column of [B, S], the latest one up to it where something starts."""
    columns = torch.arange(starts.shape[1], device=starts.device).expand_as(starts)
    found: Tensor = torch.where(starts, columns, 0).cummax(dim=1).values
    return found


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
