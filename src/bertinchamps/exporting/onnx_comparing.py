"""Two models on the same texts: an example of a model's tensors, how far numbers differ, texts a second."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bertinchamps.exporting.onnx_subject import Answers, Subject
from bertinchamps.model.heads import DownstreamModel

BATCHES = (1, 3, 8)  # texts at once, when numbers are compared
COMPARED = 12  # texts
REPEATS = 5  # of a measurement of speed


class _Watched(nn.Module):
    """Calls a model, and keeps the tensors that its graph gets."""

    def __init__(self, model: DownstreamModel) -> None:
        super().__init__()
        self._model = model
        self.seen: list[Mapping[str, Tensor]] = []

    def forward(self, *given: Any) -> Tensor:
        return self._model.through(self._graph, *given)

    def _graph(self, tensors: Mapping[str, Tensor]) -> Tensor:
        self.seen.append(tensors)
        return self._model.graph(tensors)


class Both(nn.Module):
    """Calls two models and compares their numbers; returns those of the first.

    Attributes:
        difference: the largest of all.
        largest: of the first model's numbers, without their sign.
        shapes: rows and subwords of the batches.
        padded: batches with padding.
        calls: batches.
    """

    def __init__(self, one: nn.Module, other: nn.Module) -> None:
        super().__init__()
        self._one, self._other = one, other
        self.difference = self.largest = 0.0
        self.calls = self.padded = 0
        self.shapes: set[tuple[int, int]] = set()

    def forward(self, *given: Any) -> Tensor:
        mine: Tensor = self._one(*given)
        theirs: Tensor = self._other(*given)
        self.difference = max(self.difference, float((mine - theirs).abs().max()))
        self.largest = max(self.largest, float(mine.abs().max()))
        rows, subwords = given[0]["input_ids"].shape
        self.shapes.add((rows, subwords))
        self.calls += 1
        self.padded += "attention_mask" in given[0]
        return mine


def example_of(subject: Subject, texts: Sequence[str]) -> dict[str, Tensor]:
    """The tensors of a padded batch of several texts."""
    watched = _Watched(subject.model)
    subject.reader(len(texts))(watched, texts)
    most = max(range(len(watched.seen)), key=lambda at: min(min(t.shape) for t in watched.seen[at].values()))
    tensors = dict(watched.seen[most])
    tensors.setdefault("attention_mask", torch.ones_like(tensors["input_ids"]))
    order = ["input_ids", "attention_mask"]
    return {name: tensors[name] for name in [*order, *sorted(tensors.keys() - set(order))]}


def speeds_of(
    models: Mapping[str, nn.Module], answers: Answers, texts: Sequence[str], seconds: float
) -> dict[str, float]:
    """Texts a second of each model, the median of repeats in turn; nothing for 0 seconds."""
    if not seconds:
        return {}
    began = time.perf_counter()
    answers(models["torch"], texts)
    each = time.perf_counter() - began
    texts = texts[: max(8, int(len(texts) * min(1.0, seconds / REPEATS / each)))]
    spent: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(REPEATS):
        for name, model in models.items():
            began = time.perf_counter()
            answers(model, texts)
            spent[name].append(time.perf_counter() - began)
    return {name: len(texts) / statistics.median(own) for name, own in spent.items()}


def of_many_lengths(texts: Sequence[str]) -> list[str]:
    """Some of the texts, among them a short and a long one."""
    some = list(texts[:COMPARED])
    return [*some, some[0].split()[0], " ".join(texts[:COMPARED])]
