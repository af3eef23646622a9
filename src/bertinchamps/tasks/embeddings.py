"""Vectors of texts, from an encoder. H hidden."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bertinchamps.model.encoders import control_ids, unknown_id
from bertinchamps.tasks.batching import in_length_order
from bertinchamps.tasks.masked_words import padded
from bertinchamps.training.passes import each


class EmbeddingPredictor:
    """Embeds texts with an encoder and a pool.

    Args:
        tokenizer: a fast tokenizer of transformers, of the model.
        longest: subwords of a text, special tokens included; longer texts are cut.
        batch: texts that go through the model at once.
        device: where the model is.
    """

    def __init__(self, tokenizer: Any, longest: int, batch: int, device: torch.device) -> None:
        self._tokenizer, self._longest, self._batch, self._device = tokenizer, longest, batch, device
        self._controls, self._unknown = np.array(sorted(control_ids(tokenizer))), unknown_id(tokenizer)

    @torch.no_grad()
    def embed(self, model: nn.Module, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """A vector [H] for each text; with an encoder that does not pool, one for each subword of it [S, H]."""
        encoded = self._encoded(texts)
        found: list[NDArray[np.float32]] = [np.empty(0, dtype=np.float32)] * len(texts)

        def vectors_of(indices: Sequence[int]) -> Tensor:
            inputs = padded([encoded[index] for index in indices], self._tokenizer.pad_token_id)
            return cast(Tensor, model({name: tensor.to(self._device) for name, tensor in inputs.items()}))

        for indices, vectors in each(in_length_order([len(ids) for ids in encoded], self._batch), vectors_of):
            for index, own in zip(indices, vectors.float().cpu().numpy(), strict=True):
                found[index] = own if own.ndim == 1 else own[: len(encoded[index])]
        return found

    def _encoded(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        output = self._tokenizer(list(texts), truncation=True, max_length=self._longest, verbose=False)
        encoded = []
        for entry in output.encodings:
            ids = np.array(entry.ids, dtype=np.int64)
            ids[np.isin(ids, self._controls) & (np.array(entry.special_tokens_mask) == 0)] = self._unknown
            encoded.append(ids)
        return encoded
