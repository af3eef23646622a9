"""A vector for a text of any length: the mean of the encoder's hidden states over all windows of the text.

N texts, R rows, S subwords of the longest row, H hidden.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bertinchamps.tasks.batching import in_length_order
from bertinchamps.training.passes import each

TEXTS_AT_ONCE = 256  # in a call of the tokenizer


class TextReader:
    """Reads texts with the encoder of a model, whatever its head.

    Args:
        model: with a head, as `heads` builds it.
        tokenizer: of the model.
        longest: subwords of a window, special tokens included.
        batch: windows that go through the encoder at once.
        device: of the model.
    """

    def __init__(
        self, model: nn.Module, tokenizer: Any, longest: int, batch: int, device: torch.device
    ) -> None:
        whole: Any = model.model
        self._encoder = whole.base_model
        self.size = int(whole.config.hidden_size)
        self._tokenizer, self._longest, self._batch, self._device = tokenizer, longest, batch, device

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of unit length, [N, H]; zeros for a text without subwords."""
        sums, counts = np.zeros((len(texts), self.size), np.float64), np.zeros(len(texts))
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            owners, rows = self._rows(texts[start : start + TEXTS_AT_ONCE])
            for indices, hidden in self._means(rows):
                for index, vector in zip(indices, hidden, strict=True):
                    sums[start + owners[index]] += vector * len(rows[index])
                    counts[start + owners[index]] += len(rows[index])
        means = sums / np.maximum(counts, 1)[:, None]
        lengths = np.linalg.norm(means, axis=1, keepdims=True)
        vectors: NDArray[np.float32] = (means / np.maximum(lengths, 1e-12)).astype(np.float32)
        return vectors

    def _rows(self, texts: Sequence[str]) -> tuple[list[int], list[list[int]]]:
        """The windows of some texts as ids, and for each window the place of its text."""
        if not texts:
            return [], []
        encoded = self._tokenizer(
            list(texts), truncation=True, max_length=self._longest, return_overflowing_tokens=True
        )
        return list(encoded["overflow_to_sample_mapping"]), list(encoded["input_ids"])

    @torch.no_grad()
    def _means(self, rows: Sequence[Sequence[int]]) -> Iterator[tuple[list[int], NDArray[np.float32]]]:
        """The mean hidden state of each window, with the indices of the windows."""

        def means_of(indices: Sequence[int]) -> NDArray[np.float32]:
            lengths = torch.tensor([len(rows[index]) for index in indices])
            ids = torch.full((len(indices), int(lengths.max())), self._tokenizer.pad_token_id)
            for place, index in enumerate(indices):
                ids[place, : len(rows[index])] = torch.tensor(rows[index])
            mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long().to(self._device)
            hidden = self._encoder(input_ids=ids.to(self._device), attention_mask=mask).last_hidden_state
            hidden = hidden[:, -ids.shape[1] :].float()  # an adapter may put a prompt before the text
            means = (hidden * mask[..., None]).sum(1) / lengths[:, None].to(self._device)
            return cast(NDArray[np.float32], means.cpu().numpy())

        for indices, means in each(in_length_order([len(row) for row in rows], self._batch), means_of):
            yield list(indices), means
