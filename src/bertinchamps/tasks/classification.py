"""Classification of texts and pairs: one class, any number of classes, or a number.

B examples, S pieces of the longest, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from bertinchamps.contract import Batch, LabelledText, Output
from bertinchamps.metrics.classification import class_scores, multi_label_scores, number_scores
from bertinchamps.metrics.protocols import PROTOCOLS
from bertinchamps.model.encoders import control_ids, unknown_id
from bertinchamps.schemas import FinetuneBatchConfig
from bertinchamps.tasks.batching import batches_of, in_length_order

Target = tuple[str, ...] | float
Integers = NDArray[np.int32] | NDArray[np.int8]
TEXTS_AT_ONCE = 4096  # handed to the tokenizer together, whose own answers take far more memory than ids
PROTOCOL = {"single_label": "classes", "multi_label": "multi_label", "number": "number"}
METRICS = {kind: PROTOCOLS[name].choosing for kind, name in PROTOCOL.items()}


class Encoded(NamedTuple):
    """A text as pieces; `types` tells the two texts of a pair apart, where the tokenizer does."""

    pieces: Integers
    types: Integers | None
    cut: bool


class Scale(NamedTuple):
    """Mean and standard deviation of the numbers of train: models learn standardised ones."""

    mean: float
    deviation: float


class TextLabeller:
    """Classifies texts with a trained model.

    Args:
        kind: "single_label", "multi_label" or "number".
        classes: names, in a stable order; one of any name where a number is predicted.
        tokenizer: a fast tokenizer of transformers.
        longest: pieces of a text, special tokens included; the longer text of a pair is cut first.
        batch: texts that go through the model at once.
        device: where the model is.
        scale: of numbers.
    """

    def __init__(
        self,
        kind: str,
        classes: Sequence[str],
        tokenizer: Any,
        longest: int,
        batch: int,
        device: torch.device,
        scale: Scale,
    ) -> None:
        self.kind, self.classes, self.scale = kind, tuple(classes), scale
        self._tokenizer, self._longest, self._batch, self._device = tokenizer, longest, batch, device
        self.padding = tokenizer.pad_token_id
        self._controls, self._unknown = np.array(sorted(control_ids(tokenizer))), unknown_id(tokenizer)

    def encoded(self, texts: Sequence[tuple[str, str | None]]) -> list[Encoded]:
        """Texts, given as (text, second text or None), as pieces; cut where they are too long."""
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
            ids[written] = self._unknown  # their names, in the text
            yield Encoded(ids, type_ids, bool(entry.overflowing))

    def inputs(self, examples: Sequence[Encoded]) -> dict[str, Tensor]:
        """`input_ids` [B, S], and where needed `attention_mask` and `token_type_ids` of the same shape."""
        lengths = np.array([len(example.pieces) for example in examples])
        ids = np.full((len(examples), lengths.max()), self.padding, dtype=np.int64)
        types = np.zeros_like(ids)
        for row, example in enumerate(examples):
            ids[row, : lengths[row]] = example.pieces
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
        answers = np.zeros((len(examples), len(self.classes)), dtype=np.float32)
        for indices in in_length_order([len(example.pieces) for example in examples], self._batch):
            inputs = self.inputs([examples[index] for index in indices])
            output = model({name: tensor.to(self._device) for name, tensor in inputs.items()})
            answers[indices] = output.float().cpu().numpy()
        return answers

    def targets(self, logits: np.ndarray[Any, Any]) -> list[Target]:
        """What the logits [examples, C] say: class names, or numbers."""
        if self.kind == "number":
            return [float(value) * self.scale.deviation + self.scale.mean for value in logits[:, 0]]
        if self.kind == "single_label":
            return [(self.classes[index],) for index in logits.argmax(1)]
        return [tuple(np.array(self.classes)[row > 0].tolist()) for row in logits]

    def probabilities(self, logits: np.ndarray[Any, Any]) -> list[dict[str, float]]:
        """Of each class; nothing for numbers."""
        if self.kind == "number":
            return [{} for _ in logits]
        values = torch.from_numpy(logits)
        shares = (values.softmax(1) if self.kind == "single_label" else values.sigmoid()).tolist()
        return [
            {name: round(share, 6) for name, share in zip(self.classes, row, strict=True)} for row in shares
        ]


class TextClassification:
    """The engine's task.

    Args:
        splits: examples of train and dev, and of test where there is one.
        labeller: kind, classes, tokenizer and device.
        batch: how many examples at once, and in an update.
        seed: of the order.
    """

    name = "classification"
    target_share = 0.0  # the head reads a text, not its tokens

    def __init__(
        self,
        splits: Mapping[str, list[LabelledText]],
        labeller: TextLabeller,
        batch: FinetuneBatchConfig,
        seed: int,
    ) -> None:
        self.splits, self.labeller, self._batch, self._seed = splits, labeller, batch, seed
        self.metric = METRICS[labeller.kind][0]
        self.encoded = {
            split: labeller.encoded([(example.text, example.pair) for example in examples])
            for split, examples in splits.items()
        }
        self._lengths = [len(example.pieces) for example in self.encoded["train"]]
        self._targets = self._targets_of(splits["train"])

    def _targets_of(self, examples: Sequence[LabelledText]) -> Tensor:
        """Class indices [N], 0 and 1 [N, C], or standardised numbers [N]."""
        labeller = self.labeller
        targets = [example.target for example in examples]
        if labeller.kind == "number":
            numbers = np.array(targets, dtype=np.float64)  # float32 has no digits left for years or amounts
            return torch.from_numpy((numbers - labeller.scale.mean) / labeller.scale.deviation).float()
        index = {name: position for position, name in enumerate(labeller.classes)}
        if labeller.kind == "single_label":
            return torch.tensor([index[cast(tuple[str, ...], target)[0]] for target in targets])
        chosen = torch.zeros(len(targets), len(labeller.classes))
        for row, target in enumerate(targets):
            chosen[row, [index[name] for name in cast(tuple[str, ...], target)]] = 1.0
        return chosen

    def train_ids(self) -> set[int]:
        """Ids of all pieces that training reads, padding included."""
        used = np.unique(np.concatenate([example.pieces for example in self.encoded["train"]]))
        return {self.labeller.padding, *used.tolist()}

    def epoch_length(self) -> int:
        """Examples of the training split."""
        return len(self._lengths)

    def batches(self, position: int, micro_batch: int, first: int = 0, every: int = 1) -> Iterator[Batch]:
        """Endless micro-batches of training examples, grouped by length."""
        stream = batches_of(self._lengths, self._seed, position, self._batch.size, micro_batch)
        for indices, after in islice(stream, first, None, every):
            inputs = self.labeller.inputs([self.encoded["train"][index] for index in indices])
            inputs["targets"] = self._targets[torch.from_numpy(indices)]
            yield Batch(inputs, len(indices), inputs["input_ids"].numel(), after)

    def loss(self, model: nn.Module, inputs: Mapping[str, Tensor]) -> Output:
        """Summed over examples: cross-entropy, its binary form averaged over classes, or squared error."""
        given = dict(inputs)
        targets = given.pop("targets")
        return Output(self._loss(model(given).float(), targets))

    def _loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Of logits [B, C]."""
        if self.labeller.kind == "single_label":
            return F.cross_entropy(logits, targets, reduction="sum")
        if self.labeller.kind == "number":
            return F.mse_loss(logits[:, 0], targets, reduction="sum")
        return F.binary_cross_entropy_with_logits(logits, targets, reduction="sum") / logits.shape[1]

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """The mean loss on dev, of the examples whose classes are all known, and scores."""
        predicted = self.predict(model, "dev")
        known = [index for index, example in enumerate(self.splits["dev"]) if self._knows(example)]
        targets = self._targets_of([self.splits["dev"][index] for index in known])
        loss = float(self._loss(torch.from_numpy(predicted[known]), targets)) / max(1, len(known))
        scores = self.scores("dev", predicted)[PROTOCOL[self.labeller.kind]]
        return {"loss": loss, **{name: value for name, value in scores.items() if isinstance(value, float)}}

    def _knows(self, example: LabelledText) -> bool:
        return isinstance(example.target, float) or set(example.target) <= set(self.labeller.classes)

    def predict(self, model: nn.Module, split: str) -> np.ndarray[Any, Any]:
        """Logits [examples, C] of a split."""
        return self.labeller.logits(model, self.encoded[split])

    def scores(self, split: str, predicted: np.ndarray[Any, Any]) -> dict[str, dict[str, Any]]:
        """The kind's one protocol, under its name."""
        kind = self.labeller.kind
        gold: list[Any] = [example.target for example in self.splits[split]]
        answers: list[Any] = self.labeller.targets(predicted)
        if kind == "single_label":
            scores = class_scores([target[0] for target in gold], [target[0] for target in answers])
        else:
            scores = (multi_label_scores if kind == "multi_label" else number_scores)(gold, answers)
        return {PROTOCOL[kind]: scores}

    def facts(self, split: str) -> dict[str, Any]:
        """Counts for the results."""
        encoded = self.encoded[split]
        return {
            "examples": len(encoded),
            "pieces": sum(len(example.pieces) for example in encoded),
            "texts_cut": sum(example.cut for example in encoded),
        }


def scale_of(examples: Sequence[LabelledText]) -> Scale:
    """Mean and standard deviation of the numbers to predict; a deviation of 1 where they are all alike."""
    numbers = [cast(float, example.target) for example in examples]
    return Scale(float(np.mean(numbers)), float(np.std(numbers)) or 1.0)
