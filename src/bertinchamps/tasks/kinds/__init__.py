"""Kinds of tasks: what is predicted, from labels and checks to scores and files. One file each, found by `reader.kind`.

A kind answers every question that differs between finding entities and classifying texts, so that no command, check or
report asks which kind it has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from bertinchamps.contract import Task
from bertinchamps.model.encoders import EncoderSource
from bertinchamps.model.heads import DownstreamModel
from bertinchamps.registry import Registry
from bertinchamps.schemas import FinetuneBatchConfig, FinetuneConfig
from bertinchamps.tasks.facts import TaskFacts
from bertinchamps.tasks.inputs import Input, Inputs

Examples = Mapping[str, list[Any]]  # by split; all of one record type


class Predictor(Protocol):
    """Turns texts into inputs of a model, and its logits into answers."""

    def predict(self, model: nn.Module, texts: Sequence[Input], cut: Counter[str]) -> Sequence[Any]:
        """An answer for each text; counts in `cut` the texts that are read by their beginning."""


class KindTask(Task, Protocol):
    """A `Task` of fine-tuning.

    Attributes:
        splits: the examples by split.
        metric: the dev score that chooses among weights unless another is asked for.
    """

    splits: Examples
    metric: str

    def train_ids(self) -> set[int]:
        """Ids of all subwords that training reads, padding included."""

    def predict(self, model: nn.Module, split: str) -> Any:
        """Predictions for a split, as `scores` and `Kind.write_split` take them."""

    def scores(self, split: str, predicted: Any) -> dict[str, dict[str, Any]]:
        """The scores of a split, by protocol (`metrics/protocols.py`)."""

    def facts(self, split: str) -> dict[str, Any]:
        """Counts of a split for the results."""


class Kind(Protocol):
    """One kind of task.

    Attributes:
        name: its entry here.
        metrics: dev scores that may choose among weights, the higher the better.
        has_heads: whether `head=` chooses among several heads.
        formats: what `predict` writes, the usual one first.
        reads_words: whether inputs may be files of words (CoNLL), and each text gets a file name of its own.
        text_stays: whether a table of answers keeps the column of the text.
    """

    name: str
    metrics: tuple[str, ...]
    has_heads: bool
    formats: tuple[str, ...]
    reads_words: bool
    text_stays: bool

    def example_problems(self, splits: Examples, labels: Sequence[str]) -> list[str]:
        """Why no model can be trained or chosen on these examples, in the user's key names."""

    def facts(self, config: FinetuneConfig, title: str, splits: Examples, labels: Sequence[str]) -> TaskFacts:
        """What a model of this kind is built from."""

    def build_model(self, facts: TaskFacts, source: EncoderSource) -> DownstreamModel:
        """An encoder with the head that the facts ask for."""

    def build_predictor(
        self, facts: TaskFacts, tokenizer: Any, batch: int, device: torch.device
    ) -> Predictor:
        """The predictor of such a model; `batch` windows or texts go through the model at once."""

    def build_task(self, splits: Examples, predictor: Any, batch: FinetuneBatchConfig, seed: int) -> KindTask:
        """What the engine trains."""

    def write_split(self, folder: Path, task: Any, split: str, predicted: Any) -> None:
        """Write the predictions of a split into a folder that exists."""

    def columns(self, facts: TaskFacts) -> tuple[str, ...]:
        """The columns that a table of answers gets beside those of the user."""

    def keys(self, inputs: Inputs) -> set[str]:
        """The keys of a JSON line that are the kind's own, so that a user's key of that name has no place."""

    def rows(self, facts: TaskFacts, answer: Any, beside: list[str]) -> Iterator[list[str]]:
        """The rows of a table for one answer: the user's cells `beside`, and those of `columns`."""

    def as_object(self, facts: TaskFacts, given: Input, answer: Any, inputs: Inputs) -> dict[str, Any]:
        """The JSON object of one answer, with what the user's file has of the text."""


kinds: Registry[Kind] = Registry("kind of task", "kind", package=__name__)

__all__ = ["Examples", "Kind", "KindTask", "Predictor", "kinds"]
