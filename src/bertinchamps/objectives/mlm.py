"""Masked language modelling on packed blocks. B batch, S sequence, K targets a block, V vocabulary."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from bertinchamps.contract import Batch, Output
from bertinchamps.data.blocks import Blocks
from bertinchamps.data.corpus import Corpus
from bertinchamps.data.loader import stream
from bertinchamps.errors import UserError
from bertinchamps.model.configuration import BertinchampsConfig
from bertinchamps.model.flops import flops_per_token, matrix_flops_per_token
from bertinchamps.model.heads.masked_lm import BertinchampsForMaskedLM, load_masked_lm
from bertinchamps.objectives import Given, Objective, objectives
from bertinchamps.objectives.masking import IGNORED, MASKS, Masking, MaskSettings
from bertinchamps.objectives.next_tokens import next_token_loss, targets_of
from bertinchamps.objectives.objective import BITS, bits_per_character
from bertinchamps.training.passes import each

HELD_OUT_MASK_RATE = 0.15  # whatever the training mask, so that any two runs compare
HELD_OUT_SEED = 1915
EVALUATION_BATCH = 64  # blocks, fewer where these would have more logits than
MOST_LOGITS = 2**28  # 1 GB, which a vocabulary of 250,000 entries reaches with 56 blocks of 128 tokens
Count = TypeVar("Count")
Stage = TypeVar("Stage")


class MasksTokens(Protocol):
    """The model's method that training uses: logits of the masked positions alone."""

    def masked_logits(self, input_ids: Tensor, masked_positions: Tensor) -> Tensor:
        """Positions [B, K] of `input_ids` [B, S] to logits [B, K, V]."""


@objectives.register("mlm")
class MaskedLanguageModeling(Objective):
    """Predict masked tokens of packed blocks.

    Args:
        given: by the run.
        masks: what is masked.

    Raises:
        UserError: `whole_word` is set, and the tokenizer does not mark where words end.
    """

    name = "mlm"
    continues = True
    scores_samples = True
    masking: Callable[..., Masking] = Masking  # what chooses the targets, in training and in evaluation

    def __init__(
        self,
        given: Given,
        masks: MaskSettings = MASKS,
    ) -> None:
        super().__init__(given)
        corpus, seed, device = given.corpus, given.seed, given.device
        if masks.whole_word and not corpus.vocabulary.continuations:
            raise UserError(
                f"objective.whole_word=true: the tokenizer in {corpus.tokenizer_folder} does not mark subwords that "
                "continue a word (as ## does in WordPiece), so word boundaries are unknown; set "
                "objective.whole_word=false"
            )
        length = corpus.train.sequence_length
        rows = [length // of_row for of_row in corpus.row_lengths or (length,)]
        of_masks = (masks.whole_word, device, masks.span_lengths())
        self._stages = [
            [self.masking(corpus.vocabulary, seed, length, rate, *of_masks, number) for rate in masks.rates()]
            for number in rows
        ]  # by the number of rows in a block, then by the rate
        self._masking, self._part = self._stages[0][0], 0
        self.predicted_fraction = self._masking.targets / length
        self._held_out_masking = self.masking(
            corpus.vocabulary, HELD_OUT_SEED, length, HELD_OUT_MASK_RATE, whole_word=False, device=device
        )

    def new_model(self, config: BertinchampsConfig) -> BertinchampsForMaskedLM:
        """The encoder with the masked-LM head."""
        return BertinchampsForMaskedLM(config)

    def load_model(self, folder: Path) -> BertinchampsForMaskedLM:
        """The model of a checkpoint, loaded strictly."""
        return load_masked_lm(folder)

    def flops_per_token(self, model: nn.Module) -> float | Callable[[float], float]:
        """By the formula of `model/flops.py`; a function of progress where rows or the mask rate change."""
        length = self.tokens_per_position

        def of_stage(masking: Masking) -> float:
            if self.base is not None:
                return self.base.flops(masking.targets // masking.rows, length // masking.rows)
            config = cast(BertinchampsForMaskedLM, model).config
            return self._flops(config, masking.targets / length, length // masking.rows)

        return self._of_stages(of_stage)

    def matrix_flops(self, model: nn.Module) -> Mapping[str, float] | Callable[[float], Mapping[str, float]]:
        """Those of the last layer at masked positions, except keys and values; of another class, as it computes."""
        length = self.tokens_per_position

        def of_stage(masking: Masking) -> Mapping[str, float]:
            if self.base is not None:
                return self.base.matrix_flops(masking.targets // masking.rows, length // masking.rows)
            config = cast(BertinchampsForMaskedLM, model).config
            return self._matrix_flops(config, masking.targets / length)

        return self._of_stages(of_stage)

    def _flops(self, config: BertinchampsConfig, predicted_fraction: float, length: int) -> float:
        """Operations a token in rows of a length, of whose positions a share is predicted."""
        return flops_per_token(config, length, predicted_fraction)

    def _of_stages(self, count: Callable[[Masking], Count]) -> Count | Callable[[float], Count]:
        """A count of the only stage, or a function from progress to that of its stage."""
        counted = {masking: count(masking) for of_length in self._stages for masking in of_length}
        first, *others = counted.values()
        return (lambda progress: counted[self._masking_at(progress)]) if others else first

    def _matrix_flops(self, config: BertinchampsConfig, predicted_fraction: float) -> Mapping[str, float]:
        return matrix_flops_per_token(config, predicted_fraction)

    def set_progress(self, progress: float) -> None:
        """Cut and mask as the stages at this progress do."""
        self._masking = self._masking_at(progress)

    def _masking_at(self, progress: float) -> Masking:
        return _stage_of(_stage_of(self._stages, progress), self._progress_of_rates(progress))

    def _progress_of_rates(self, progress: float) -> float:
        """The progress that the stages of the mask rate divide."""
        return progress

    def scores_line(self, scores: Mapping[str, float]) -> str:
        bits = f", {scores[BITS]:.4f} bits per character" if BITS in scores else ""
        return f"loss {scores['loss']:.4f} nats, accuracy {scores['accuracy']:.1%} of masked tokens{bits}"

    def epoch_length(self) -> int:
        """Blocks in one pass over the training split."""
        return len(self.corpus.train)

    def turns_to(self, progress: float) -> bool:
        """Turn to the part of the blocks that is read at this progress (`blocks.curriculum`)."""
        before, self._part = self._part, _stage_of(range(self.corpus.curriculum), progress)
        return self._part != before

    def batches(self, cursor: int, micro_batch: int, rank: int = 0, world_size: int = 1) -> Iterator[Batch]:
        """Endless micro-batches of training blocks, in an order that the seed decides."""
        targets = self._stages[0][0].targets  # `loss` counts as many in every stage
        blocks, parts = self.corpus.train, self.corpus.curriculum
        read = blocks if parts == 1 else cast(Blocks, blocks).part(self._part, parts)
        return stream(read, self._seed, cursor, micro_batch, targets, rank, world_size)

    def loss(self, model: nn.Module, inputs: Mapping[str, Tensor]) -> Output:
        """Summed cross-entropy of the masked tokens of `input_ids` [B, S] at stream `positions` [B]."""
        masked, chosen, labels = self._masking(inputs["input_ids"], inputs["positions"])
        logits = cast(MasksTokens, model).masked_logits(masked, chosen).flatten(0, 1)
        return self._output(
            F.cross_entropy(logits.float(), labels.flatten(), ignore_index=IGNORED, reduction="sum")
        )

    def _output(self, loss_sum: Tensor, targets: int | None = None) -> Output:
        """The loss of as many targets as the first stage has: batches, which are read ahead, count those.

        Args:
            loss_sum: summed over targets.
            targets: of a block; None: those of the present stage.
        """
        scale = self._stages[0][0].targets / (targets or self._masking.targets)
        return Output(loss_sum if scale == 1 else loss_sum * scale)

    def _next_tokens(self, model: nn.Module, ids: Tensor) -> Output:
        """The summed loss of the token behind each place of blocks [B, S], for objectives with a causal part."""
        rows, config = self._masking.rows, cast(BertinchampsForMaskedLM, model).config
        ids = ids.reshape(len(ids) * rows, -1)
        loss_sum = next_token_loss(model, config, ids, self.corpus.ends_of_documents)
        return self._output(loss_sum, rows * targets_of(self.tokens_per_position // rows))

    @torch.no_grad()
    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Held-out scores at the fixed mask of 15 %, those of the corpus, then those of each sample as TITLE/NAME.

        The blocks are spread evenly over a split, whose documents may be sorted in some way.
        """
        scores = self._scores_on(model, self.corpus)
        for title, sample in self.corpus.also.items():
            of_sample = self._scores_on(model, sample)
            scores |= {f"{title}/{name}": value for name, value in of_sample.items()}
        return scores

    def _scores_on(self, model: nn.Module, corpus: Corpus) -> dict[str, float]:
        """Loss in nats and accuracy, over masked tokens, and bits per character, on the held-out blocks of a corpus."""
        sums = self._held_out_sums(
            corpus, lambda ids, positions: self._scored(model, *self._held_out_masking(ids, positions))
        )
        targets = sums.pop("targets")
        scores = {name: number / targets for name, number in sums.items()}
        return {**scores, **bits_per_character(scores["loss"], corpus)}

    def _scored(self, model: nn.Module, masked: Tensor, chosen: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Scores of masked ids [B, S] at chosen positions [B, K], summed over targets, and the number of targets."""
        logits = cast(MasksTokens, model).masked_logits(masked, chosen)
        return sums_of(logits.flatten(0, 1), labels.flatten())

    def _held_out_sums(
        self, corpus: Corpus, score: Callable[[Tensor, Tensor], Mapping[str, Tensor]]
    ) -> dict[str, float]:
        """Sums over held-out blocks of a corpus, by name.

        Args:
            corpus: whose blocks are read.
            score: ids [B, S] of blocks and the numbers [B] of the blocks → sums over these blocks.
        """
        spread = spread_over(corpus.held_out, self._evaluation_blocks)
        logits = self._held_out_masking.targets * corpus.vocabulary.size  # of a block
        at_once = max(1, min(EVALUATION_BATCH, MOST_LOGITS // logits))

        def of_blocks(numbers: Sequence[int]) -> Mapping[str, Tensor]:
            indices = np.asarray(numbers)
            ids = torch.from_numpy(corpus.held_out.read(indices).astype(np.int64)).to(self._device)
            return score(ids, torch.from_numpy(indices).to(self._device))

        sums: dict[str, float] = {}
        batches = (spread[start : start + at_once].tolist() for start in range(0, len(spread), at_once))
        for _, found in each(batches, of_blocks):
            for name, number in found.items():
                sums[name] = sums.get(name, 0.0) + float(number)
        return sums


def spread_over(blocks: Blocks, most: int) -> NDArray[np.int64]:
    """Indices of so many blocks, at the most, at even distances."""
    return np.linspace(0, len(blocks) - 1, min(most, len(blocks))).astype(np.int64)


def _stage_of(stages: Sequence[Stage], progress: float) -> Stage:
    """Of stages of equal length the one at a progress from 0 to 1."""
    return stages[min(int(progress * len(stages)), len(stages) - 1)]


def sums_of(logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Loss in nats and right guesses of logits [T, V] for labels [T], summed, and the number of targets."""
    return {
        "loss": F.cross_entropy(logits.float(), labels, ignore_index=IGNORED, reduction="sum"),
        "accuracy": (logits.argmax(-1) == labels).sum(),
        "targets": (labels != IGNORED).sum(),
    }
