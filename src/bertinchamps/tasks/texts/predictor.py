"""Classifies new texts with a trained model. B texts, S subwords of the longest, C classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bertinchamps.model.encoders import control_ids, unknown_id
from bertinchamps.tasks.batching import in_length_order
from bertinchamps.tasks.inputs import Input
from bertinchamps.tasks.texts.targets import Prediction, TargetType

Integers = NDArray[np.int32] | NDArray[np.int8]
TEXTS_AT_ONCE = 4096  # in a call of the tokenizer, whose output takes far more memory than ids


class Encoded(NamedTuple):
    """A text as subwords; `types` are token type ids, where the tokenizer has them; `cut`: truncated."""

    subwords: Integers
    types: Integers | None
    cut: bool


class TextPredictor:
    """Classifies texts with a trained model.

    Args:
        target_type: what is predicted of a text.
        classes: names, in a stable order; for regression, one of any name.
        tokenizer: a fast tokenizer of transformers.
        longest: subwords of a text, special tokens included; the longer text of a pair is cut first.
        batch: texts that go through the model at once.
        device: where the model is.
    """

    def __init__(
        self,
        target_type: TargetType,
        classes: Sequence[str],
        tokenizer: Any,
        longest: int,
        batch: int,
        device: torch.device,
    ) -> None:
        self.target_type, self.classes = target_type, tuple(classes)
        self._tokenizer, self._longest, self._batch, self._device = tokenizer, longest, batch, device
        self.padding = tokenizer.pad_token_id
        self._controls, self._unknown = np.array(sorted(control_ids(tokenizer))), unknown_id(tokenizer)

    def encoded(self, texts: Sequence[tuple[str, str | None]]) -> list[Encoded]:
        """Texts, given as (text, second text or None), as subwords, truncated to `longest`."""
        chunks = range(0, len(texts), TEXTS_AT_ONCE)
        return [entry for start in chunks for entry in self._encoded(texts[start : start + TEXTS_AT_ONCE])]

    def _encoded(self, texts: Sequence[tuple[str, str | None]]) -> Iterator[Encoded]:
        types = "token_type_ids" in self._tokenizer.model_input_names
        pairs = [second or "" for _, second in texts]
        output = self._tokenizer(
            [first for first, _ in texts],
            pairs if any(second is not None for _, second in texts) else None,
            truncation="longest_first",
            max_length=self._longest,
            return_token_type_ids=types,
        )
        for entry in output.encodings:
            type_ids = np.array(entry.type_ids, dtype=np.int8) if types else None
            ids = np.array(entry.ids, dtype=np.int32)
            written = np.isin(ids, self._controls) & (np.array(entry.special_tokens_mask) == 0)
            ids[written] = self._unknown  # names of special tokens that the text spells out
            yield Encoded(ids, type_ids, bool(entry.overflowing))

    def inputs(self, examples: Sequence[Encoded]) -> dict[str, Tensor]:
        """`input_ids` [B, S], and where needed `attention_mask` and `token_type_ids` of the same shape."""
        lengths = np.array([len(example.subwords) for example in examples])
        ids = np.full((len(examples), lengths.max()), self.padding, dtype=np.int64)
        types = np.zeros_like(ids)
        for row, example in enumerate(examples):
            ids[row, : lengths[row]] = example.subwords
            if example.types is not None:
                types[row, : lengths[row]] = example.types
        arrays = {"input_ids": ids}
        if examples[0].types is not None:
            arrays["token_type_ids"] = types
        if lengths.min() < lengths.max():
            arrays["attention_mask"] = (np.arange(lengths.max()) < lengths[:, None]).astype(np.int64)
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    @torch.no_grad()
    def logits(self, model: nn.Module, examples: Sequence[Encoded]) -> np.ndarray[Any, Any]:
        """[examples, C], in the order given."""
        logits = np.zeros((len(examples), len(self.classes)), dtype=np.float32)
        for indices in in_length_order([len(example.subwords) for example in examples], self._batch):
            inputs = self.inputs([examples[index] for index in indices])
            output = model({name: tensor.to(self._device) for name, tensor in inputs.items()})
            logits[indices] = output.float().cpu().numpy()
        return logits

    def predict(self, model: nn.Module, texts: Sequence[Input], cut: Counter[str]) -> list[Prediction]:
        """A prediction for each text or pair; adds the number of truncated texts to `cut`."""
        encoded = self.encoded([(given.text, given.pair) for given in texts])
        if short := sum(entry.cut for entry in encoded):
            cut["texts"] += short
        return self.predictions(self.logits(model, encoded))

    def predictions(self, logits: np.ndarray[Any, Any]) -> list[Prediction]:
        """The predictions of logits [texts, C]."""
        targets = self.target_type.decoded(logits, self.classes)
        probabilities = self.target_type.probabilities(logits, self.classes)
        return [
            Prediction(self.target_type.plain(target), shares)
            for target, shares in zip(targets, probabilities, strict=True)
        ]
