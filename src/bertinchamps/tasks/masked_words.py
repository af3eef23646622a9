"""Fills masked words with a masked language model. B texts of a batch, S subwords, K masks of a text, V vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bertinchamps.errors import UserError
from bertinchamps.model.encoders import control_ids, unknown_id
from bertinchamps.tasks.batching import in_length_order
from bertinchamps.training.passes import each

PROPOSALS = 5


class Proposal(NamedTuple):
    """A subword in the place of a mask.

    Attributes:
        token: the subword, as text.
        probability: by softmax over the vocabulary.
    """

    token: str
    probability: float


class MaskedWordPredictor:
    """Fills masks in texts with a trained model.

    Args:
        tokenizer: a fast tokenizer of transformers, of the model.
        longest: subwords of a text, special tokens included; of a longer text, those around its first mask are read.
        batch: texts that go through the model at once.
        device: where the model is.
        proposals: for each mask.

    Attributes:
        mask: how a mask is written in a text.

    Raises:
        UserError: the tokenizer has no mask.
    """

    def __init__(
        self, tokenizer: Any, longest: int, batch: int, device: torch.device, proposals: int = PROPOSALS
    ) -> None:
        if tokenizer.mask_token is None:
            raise UserError("the tokenizer has no mask, so this model fills no masks")
        self.mask, self.proposals = str(tokenizer.mask_token), proposals
        self._tokenizer, self._longest, self._batch, self._device = tokenizer, longest, batch, device
        self._mask_id, self._unknown = tokenizer.mask_token_id, unknown_id(tokenizer)
        self._controls = np.array(sorted(control_ids(tokenizer) - {self._mask_id}))

    def fill(self, model: nn.Module, texts: Sequence[str]) -> list[list[list[Proposal]]]:
        """Text → mask → proposals, the likeliest first; none for a mask too far from the first one."""
        encoded = self._encoded(texts)
        found: list[list[list[Proposal]]] = [[] for _ in texts]
        batches = in_length_order([len(ids) for ids, _ in encoded], self._batch)
        for indices, answers in each(batches, lambda own: self._of_batch(model, [encoded[at] for at in own])):
            for index, proposals in zip(indices, answers, strict=True):
                found[index] = proposals + [[] for _ in range(encoded[index][1] - len(proposals))]
        return found

    def _encoded(self, texts: Sequence[str]) -> list[tuple[NDArray[np.int64], int]]:
        """The subwords of each text, and the number of its masks."""
        output = self._tokenizer(list(texts), split_special_tokens=False, verbose=False)
        encoded = []
        for entry in output.encodings:
            ids = np.array(entry.ids, dtype=np.int64)
            # names of other special tokens that the text spells out
            ids[np.isin(ids, self._controls) & (np.array(entry.special_tokens_mask) == 0)] = self._unknown
            places = np.flatnonzero(ids == self._mask_id)
            first = int(places[0]) if len(places) else 0
            start = max(0, min(first - self._longest // 2, len(ids) - self._longest))
            encoded.append((ids[start : start + self._longest], len(places)))
        return encoded

    @torch.no_grad()
    def _of_batch(
        self, model: nn.Module, batch: Sequence[tuple[NDArray[np.int64], int]]
    ) -> list[list[list[Proposal]]]:
        places = [np.flatnonzero(ids == self._mask_id) for ids, _ in batch]
        positions = np.zeros((len(batch), max(1, *map(len, places))), dtype=np.int64)  # [B, K]
        for row, own in enumerate(places):
            positions[row, : len(own)] = own
        inputs = padded([ids for ids, _ in batch], self._tokenizer.pad_token_id)
        moved = {name: tensor.to(self._device) for name, tensor in inputs.items()}
        logits = model(moved, torch.from_numpy(positions).to(self._device))  # [B, K, V]
        logits = logits[..., : len(self._tokenizer)].float()  # a vocabulary may be padded
        shares, tokens = (part.cpu().numpy() for part in logits.softmax(-1).topk(self.proposals))
        return [
            [self._proposals(tokens[row, at], shares[row, at]) for at in range(len(own))]
            for row, own in enumerate(places)
        ]

    def _proposals(self, tokens: NDArray[np.int64], shares: NDArray[np.float32]) -> list[Proposal]:
        words = [self._tokenizer.decode([token]) for token in tokens.tolist()]
        return [Proposal(word, float(share)) for word, share in zip(words, shares, strict=True)]


def padded(rows: Sequence[NDArray[np.int64]], padding: int) -> dict[str, torch.Tensor]:
    """`input_ids` [B, S], and `attention_mask` of the same shape where rows differ in length."""
    lengths = np.array([len(row) for row in rows])
    ids = np.full((len(rows), lengths.max()), padding, dtype=np.int64)
    for place, row in enumerate(rows):
        ids[place, : lengths[place]] = row
    arrays = {"input_ids": ids}
    if lengths.min() < lengths.max():
        arrays["attention_mask"] = (np.arange(lengths.max()) < lengths[:, None]).astype(np.int64)
    return {name: torch.from_numpy(array) for name, array in arrays.items()}
