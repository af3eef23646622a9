"""Classifies new texts with a trained model. B texts, R rows of them, S subwords of the longest row, C classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bertinchamps.model.encoders import control_ids, unknown_id
from bertinchamps.tasks.batching import in_length_order
from bertinchamps.tasks.inputs import Input
from bertinchamps.tasks.lessons import Opinion
from bertinchamps.tasks.texts.doubts import doubts
from bertinchamps.tasks.texts.soft_targets import SoftTargetType
from bertinchamps.tasks.texts.targets import Prediction, TargetType
from bertinchamps.training.passes import each

Integers = NDArray[np.int32] | NDArray[np.int8]
TEXTS_AT_ONCE = 4096  # in a call of the tokenizer, whose output takes far more memory than ids


class Encoded(NamedTuple):
    """A text as rows of subwords.

    Attributes:
        rows: the subwords of each row: one, or a long text's windows, or a row for each answer to a question.
        types: token type ids of each row; None where the tokenizer has none.
        left_out: rows that there would be without a bound.
    """

    rows: tuple[Integers, ...]
    types: tuple[Integers, ...] | None
    left_out: int = 0

    @property
    def length(self) -> int:
        """Subwords of all rows."""
        return sum(map(len, self.rows))

    @property
    def subwords(self) -> NDArray[Any]:
        """Subwords of all rows, one row after the other."""
        return np.concatenate(self.rows)


class Windows(NamedTuple):
    """How a text is read that is longer than a row.

    Attributes:
        overlap: subwords that a window shares with the next one.
        most: windows of a text.
    """

    overlap: int
    most: int


FIRST = Windows(0, 1)  # the text is cut


class TextPredictor:
    """Classifies texts with a trained model.

    Args:
        target_type: what is predicted of a text.
        classes: names, in a stable order; for regression, one of any name.
        tokenizer: a fast tokenizer of transformers.
        longest: subwords of a text, special tokens included; the longer text of a pair is cut first.
        batch: texts that go through the model at once.
        device: where the model is.
        windows: how longer texts are read; None: they are cut, and the model gets a row for each text.
        temperature: divides the logits.
    """

    def __init__(
        self,
        target_type: TargetType,
        classes: Sequence[str],
        tokenizer: Any,
        longest: int,
        batch: int,
        device: torch.device,
        windows: Windows | None = None,
        temperature: float = 1.0,
    ) -> None:
        self.temperature = temperature
        self.target_type, self.classes = target_type, tuple(classes)
        self._tokenizer, self._longest, self._batch, self._device = tokenizer, longest, batch, device
        self._windows, self._by_rows = windows or FIRST, windows is not None
        self.padding = tokenizer.pad_token_id
        self.row_columns: int | None = None  # of `rows`; None: as many as are needed
        self._controls, self._unknown = np.array(sorted(control_ids(tokenizer))), unknown_id(tokenizer)

    def encoded(self, texts: Sequence[tuple[str, str | None]]) -> list[Encoded]:
        """Texts, given as (text, second text or None), as subwords, in rows of at most `longest`."""
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
            stride=self._windows.overlap,
            return_token_type_ids=types,
        )
        for entry in output.encodings:
            rows = [entry, *entry.overflowing]
            read = rows[: self._windows.most]
            type_ids = tuple(np.array(row.type_ids, dtype=np.int8) for row in read) if types else None
            yield Encoded(tuple(map(self._ids, read)), type_ids, len(rows) - len(read))

    def _ids(self, row: Any) -> Integers:
        """The ids of a row, without those of special tokens whose names the text spells out."""
        ids = np.array(row.ids, dtype=np.int32)
        ids[np.isin(ids, self._controls) & (np.array(row.special_tokens_mask) == 0)] = self._unknown
        return ids

    def inputs(self, examples: Sequence[Encoded]) -> dict[str, Tensor]:
        """`input_ids` [R, S], and where needed `attention_mask` and `token_type_ids` of the same shape.

        For models that read several rows a text also `rows` [B, most rows of a text]: their indices, -1 for none.
        """
        every = [row for example in examples for row in example.rows]
        lengths = np.array([len(row) for row in every])
        ids = np.full((len(every), lengths.max()), self.padding, dtype=np.int64)
        for place, row in enumerate(every):
            ids[place, : lengths[place]] = row
        arrays = {"input_ids": ids}
        if examples[0].types is not None:
            arrays["token_type_ids"] = np.zeros_like(ids)
            for place, row in enumerate(row for example in examples for row in example.types or ()):
                arrays["token_type_ids"][place, : lengths[place]] = row
        if self._by_rows:
            arrays["rows"] = _rows_of([len(example.rows) for example in examples], self.row_columns)
        if lengths.min() < lengths.max():
            arrays["attention_mask"] = (np.arange(lengths.max()) < lengths[:, None]).astype(np.int64)
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    @torch.no_grad()
    def logits(self, model: nn.Module, examples: Sequence[Encoded]) -> np.ndarray[Any, Any]:
        """[examples, C], in the order given."""
        logits = np.zeros((len(examples), len(self.classes)), dtype=np.float32)

        def logits_of(indices: Sequence[int]) -> Tensor:
            inputs = self.inputs([examples[index] for index in indices])
            return cast(Tensor, model({name: tensor.to(self._device) for name, tensor in inputs.items()}))

        for indices, output in each(self._batches(examples), logits_of):
            logits[indices] = (output.float() / self.temperature).cpu().numpy()
        return logits

    def _batches(self, examples: Sequence[Encoded]) -> Iterator[list[int]]:
        """Indices of texts of similar length, of at most `batch` rows, or of one text."""
        for indices in in_length_order([example.length for example in examples], self._batch):
            chosen: list[int] = []
            rows = 0
            for index in indices:
                if chosen and rows + len(examples[index].rows) > self._batch:
                    yield chosen
                    chosen, rows = [], 0
                chosen.append(index)
                rows += len(examples[index].rows)
            yield chosen

    def predict(self, model: nn.Module, texts: Sequence[Input], cut: Counter[str]) -> list[Prediction]:
        """A prediction for each text or pair; adds the number of truncated texts to `cut`."""
        encoded = self.encoded([(given.text, given.pair) for given in texts])
        if short := sum(entry.left_out > 0 for entry in encoded):
            cut["texts"] += short
        return self.predictions(self.logits(model, encoded))

    def doubts(self, model: nn.Module, texts: Sequence[Input]) -> list[float]:
        """How unsure the model is of each text (`doubts.py`)."""
        logits = self.logits(model, self.encoded([(given.text, given.pair) for given in texts]))
        return doubts(self.target_type.problem_type, self.target_type.probabilities(logits, self.classes))

    def opinions(self, model: nn.Module, texts: Sequence[Input]) -> list[Opinion]:
        """Of each text the probabilities of the classes, [C]; of a `SoftTargetType` alone."""
        logits = self.logits(model, self.encoded([(given.text, given.pair) for given in texts]))
        return list(cast(SoftTargetType, self.target_type).shares(logits))

    def mixed(self, parts: Iterable[tuple[float, Opinion]]) -> Opinion:
        """Class by class."""
        return np.sum([weight * shares for weight, shares in parts], axis=0)

    def predictions(self, logits: np.ndarray[Any, Any]) -> list[Prediction]:
        """The predictions of logits [texts, C]."""
        targets = self.target_type.decoded(logits, self.classes)
        probabilities = self.target_type.probabilities(logits, self.classes)
        return [
            Prediction(self.target_type.plain(target), shares)
            for target, shares in zip(targets, probabilities, strict=True)
        ]


def _rows_of(counts: Sequence[int], columns: int | None) -> NDArray[np.int64]:
    """The indices of the rows of each text, [texts, columns]; -1 behind a text's last row."""
    firsts = np.cumsum([0, *counts])
    places = np.full((len(counts), columns or max(counts)), -1, dtype=np.int64)
    for text, count in enumerate(counts):
        places[text, :count] = np.arange(firsts[text], firsts[text + 1])
    return places
