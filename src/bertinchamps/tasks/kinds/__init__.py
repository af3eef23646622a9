"""Kinds of tasks: what is predicted, from labels and checks to scores and files. One file each, found by `reader.kind`.

A kind holds all that differs between entity recognition and text classification, so that no command, check or report
branches on the kind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn

from bertinchamps.contract import AnnotatedText, Task
from bertinchamps.metrics.tallies import Tally
from bertinchamps.model.encoders import EncoderSource
from bertinchamps.model.heads import DownstreamModel
from bertinchamps.registry import Registry
from bertinchamps.schemas import FinetuneBatchConfig, FinetuneConfig, SelectionConfig
from bertinchamps.tasks.facts import TaskFacts
from bertinchamps.tasks.inputs import Input, Inputs
from bertinchamps.tasks.lessons import Lessons, Opinion
from bertinchamps.tasks.thresholds import Settled

BySplit = Mapping[str, list[Any]]  # by split; all of one record type


class Predictor(Protocol):
    """Turns texts into a model's inputs, and the model's logits into predictions."""

    def predict(self, model: nn.Module, texts: Sequence[Input], cut: Counter[str]) -> Sequence[Any]:
        """A prediction for each text; adds the number of truncated texts to `cut`."""


@runtime_checkable
class Doubts(Protocol):
    """A predictor that says how unsure a model is of a text, so that the texts to annotate next can be chosen."""

    def doubts(self, model: nn.Module, texts: Sequence[Input]) -> list[float]:
        """A number for each text, comparable between texts of any length; higher is less sure.

        Raises:
            UserError: the model has no probabilities.
        """


@runtime_checkable
class Teaches(Protocol):
    """A predictor of models whose probabilities a student can learn."""

    def opinions(self, model: nn.Module, texts: Sequence[Input]) -> list[Opinion]:
        """Of each text the probabilities that the model gives."""

    def mixed(self, parts: Iterable[tuple[float, Opinion]]) -> Opinion:
        """The weighted sum of several opinions of one text, given as (weight, opinion); the weights sum to 1."""


class KindTask(Task, Protocol):
    """A `Task` of fine-tuning.

    Attributes:
        splits: the examples by split.
        metric: the dev score that selects the weights by default.
    """

    splits: BySplit
    metric: str

    def train_ids(self) -> set[int]:
        """Ids of all subwords of train, padding included."""

    def predict(self, model: nn.Module, split: str) -> Any:
        """Predictions for a split, as `scores` and `Kind.write_split` take them."""

    def scores(
        self, split: str, predicted: Any, places: Sequence[int] | None = None
    ) -> dict[str, dict[str, Any]]:
        """The scores of a split, by protocol (`metrics/protocols.py`).

        Args:
            split: dev or test.
            predicted: what `predict` gave for the whole split.
            places: of the examples to score, in the split; None for all.
        """

    def tallies(self, split: str, predicted: Any, places: Sequence[int] | None = None) -> dict[str, Tally]:
        """What the scores are computed from, document by document, by protocol; arguments as for `scores`."""

    def settled(self, model: nn.Module, facts: TaskFacts, choice: SelectionConfig) -> Settled:
        """What is chosen on dev for the final weights, such as thresholds; predictions use it from now on."""

    def facts(self, split: str) -> dict[str, Any]:
        """Counts of a split for the results."""


@runtime_checkable
class HasConfidences(Protocol):
    """A task whose predictions have confidences, which a temperature can make true."""

    def decisions(self, split: str, predicted: Any) -> list[tuple[float, bool]]:
        """Of each prediction for a split its confidence, and whether it is right."""

    def fit_temperature(self, model: nn.Module) -> float:
        """The temperature that is best on dev; predictions use it from now on."""


@runtime_checkable
class LearnsFromTeachers(Protocol):
    """A task that can learn opinions of teachers, `lessons` of `Kind.build_task`."""

    def judged(
        self, facts: TaskFacts, opinions: Mapping[str, Sequence[Opinion]], choice: str
    ) -> tuple[KindTask, dict[str, Any]]:
        """What opinions decide, so that they have scores beside the student's.

        Args:
            facts: of the student.
            opinions: by split, dev among them; one for each example.
            choice: `selection.thresholds`: those that are best on dev, or 0.5 (fixed).

        Returns:
            A task to score with, and the predictions by split, as `predict` gives them.
        """


@runtime_checkable
class HasRecords(Protocol):
    """A task whose training examples belong to records, which can be protected (`privacy=`)."""

    def examples_by_record(self) -> list[list[int]]:
        """The places of the examples of each record of train, those without an example included."""

    def length_of(self, place: int) -> int:
        """The length of an example, in subwords."""

    def targets_of(self, place: int) -> int:
        """How many targets the loss of an example is summed over."""

    def batch_of(self, places: Sequence[int]) -> tuple[dict[str, torch.Tensor], int]:
        """The inputs of some examples, and how many targets they have."""


@runtime_checkable
class ComparesTexts(Protocol):
    """A task that compares its predictions with gold, text by text."""

    def errors(self, split: str, predicted: Any) -> dict[str, Any]:
        """Counts of errors without text, JSON-able; empty where nothing can be counted.

        Returns:
            `columns`: titles, the first of them that of a label; `rows`: a label and its counts; `confusions`: lists of
            a gold label, the predicted one and how often, the commonest first.
        """

    def compared(self, split: str, predicted: Any) -> Iterator[dict[str, Any]]:
        """Each text as `tasks.comparing` describes it, for the user's own eyes."""


@runtime_checkable
class FindsEntities(Protocol):
    """A kind whose predictions are entities of a text, which can be replaced there."""

    def found(self, prediction: Any) -> AnnotatedText:
        """The text with the entities that were found."""


class Kind(Protocol):
    """One kind of task.

    Attributes:
        name: its entry here.
        metrics: dev scores that may select the weights; higher is better.
        has_heads: whether `head=` chooses among several heads.
        formats: output formats of `predict`, the default first.
        reads_words: whether `predict` reads CoNLL files and may name a file after each text.
        reads_entities: whether `predict` needs the entities of each text, from its file or from another model (`ner=`).
        keeps_text: whether a table of predictions keeps the column of the text.
        wants: which of `selection.recall` and `selection.precision` choose a threshold.
        record: what a record of train is, which `privacy=` protects as a whole.
        mixes_records: why a record cannot be protected, since what others hold is learnt from them; None: it can.
        refuses_teachers: why a student cannot learn what teachers say (`distillation`); None: it can, and predictors
            are `Teaches`, tasks `LearnsFromTeachers`.
    """

    name: str
    metrics: tuple[str, ...]
    has_heads: bool
    formats: tuple[str, ...]
    reads_words: bool
    reads_entities: bool
    keeps_text: bool
    wants: tuple[str, ...]
    record: str
    mixes_records: str | None
    refuses_teachers: str | None

    def example_problems(self, splits: BySplit, labels: Sequence[str]) -> list[str]:
        """Why these examples cannot train or select a model, in the user's key names."""

    def facts(self, config: FinetuneConfig, title: str, splits: BySplit, labels: Sequence[str]) -> TaskFacts:
        """The task.json of a model of this kind."""

    def build_model(self, facts: TaskFacts, source: EncoderSource) -> DownstreamModel:
        """An encoder with the head that `facts` names."""

    def build_predictor(
        self, facts: TaskFacts, tokenizer: Any, batch: int, device: torch.device
    ) -> Predictor:
        """The predictor of such a model; `batch` windows or texts go through the model at once."""

    def build_task(
        self,
        splits: BySplit,
        predictor: Any,
        batch: FinetuneBatchConfig,
        seed: int,
        lessons: Lessons | None = None,
    ) -> KindTask:
        """The task that the trainer trains; one that refuses teachers gets no lessons."""

    def write_split(self, folder: Path, task: Any, split: str, predicted: Any) -> None:
        """Write the predictions of a split into a folder that exists."""

    def columns(self, facts: TaskFacts) -> tuple[str, ...]:
        """The columns that a table of predictions has beside the user's columns."""

    def output_keys(self, inputs: Inputs) -> set[str]:
        """The keys that predictions need in a JSON line, so that the user's file must not have them."""

    def rows(self, facts: TaskFacts, prediction: Any, beside: list[str]) -> Iterator[list[str]]:
        """The table rows of one prediction: the user's cells (`beside`), then the cells of `columns`."""

    def as_object(self, facts: TaskFacts, given: Input, prediction: Any, inputs: Inputs) -> dict[str, Any]:
        """The JSON object of one prediction, with the user's fields of the text."""


@runtime_checkable
class ReadsWholeTexts(Protocol):
    """A kind that predicts something of a whole text, so that `loss` and `long_texts` are settings of it.

    Attributes:
        losses: entries of `tasks.texts.losses` that it can minimise.
        threshold_choices: values of `selection.thresholds` that mean something.
    """

    losses: tuple[str, ...]
    threshold_choices: tuple[str, ...]


kinds: Registry[Kind] = Registry("kind of task", "kind", package=__name__)

__all__ = [
    "BySplit",
    "ComparesTexts",
    "Doubts",
    "FindsEntities",
    "HasConfidences",
    "HasRecords",
    "Kind",
    "KindTask",
    "LearnsFromTeachers",
    "Predictor",
    "ReadsWholeTexts",
    "Teaches",
    "kinds",
]
