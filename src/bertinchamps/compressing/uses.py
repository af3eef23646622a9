"""What a model is for: how it is opened, what it loses on examples, how it answers texts, and how it is scored.

Models of finetune have their task; masked language models fill masks in the texts of `texts=`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from bertinchamps.compressing.masked_texts import MaskedTexts
from bertinchamps.compressing.material import Material
from bertinchamps.contract import Batch
from bertinchamps.model.encoders import open_tokenizer
from bertinchamps.schemas import FinetuneBatchConfig
from bertinchamps.tasks.facts import TaskFacts, read_facts
from bertinchamps.tasks.inputs import Input
from bertinchamps.tasks.kinds import KindTask, kinds
from bertinchamps.tasks.saved_model import open_model
from bertinchamps.training.runtime import Runtime

Loss = Callable[[nn.Module, Batch], torch.Tensor]  # of a batch, summed over its targets
Sample = tuple[list[Batch], Loss]


@dataclass(frozen=True)
class Opened:
    """A model that is measured.

    Attributes:
        model: what computes.
        answer: some of `Use.texts` → what `predict` says of them.
        score: name → value on the examples that score.
        metric: the score that counts.
    """

    model: nn.Module
    answer: Callable[[Sequence[Any]], Any]
    score: Callable[[], dict[str, float]]
    metric: str


class Use(Protocol):
    """What a model is for."""

    def sample(self, folder: Path, count: int, batch: int, runtime: Runtime) -> Sample:
        """About `count` examples to judge weights by, for the tokenizer of a directory, and their loss.

        Raises:
            UserError: there are none.
        """

    def open(self, folder: Path, engine: str, batch: int, runtime: Runtime) -> Opened:
        """The model of a directory.

        Args:
            folder: of a model, the first one or one that a step wrote.
            engine: what computes.
            batch: texts or windows that go through the model at once.
            runtime: device and precision.
        """

    def texts(self) -> list[Any]:
        """What models are timed on, as `Opened.answer` reads it: none of what they were trained on, where there is
        more."""


def use_of(material: Material) -> Use:
    """The use of the model that is compressed."""
    return MaskFilling(material) if material.source.facts is None else LearntTask(material)


class LearntTask:
    """A model that finetune made."""

    def __init__(self, material: Material) -> None:
        self._material = material

    def _task(
        self, folder: Path, facts: TaskFacts, batch: int, device: torch.device, **others: list[Any]
    ) -> KindTask:
        """The task of a model; `others`: examples of splits in the place of the run's."""
        kind, splits = kinds.build(facts.kind), {**self._material.examples.splits, **others}
        predictor = kind.build_predictor(facts, open_tokenizer(str(folder)), batch, device)
        size = FinetuneBatchConfig(size=batch, micro_batch=batch, evaluation=batch)
        return kind.build_task(splits, predictor, size, self._material.config.seed)

    def sample(self, folder: Path, count: int, batch: int, runtime: Runtime) -> Sample:
        facts = read_facts(folder)
        judging = self._material.examples.splits[self._material.judging]
        task = self._task(folder, facts, batch, runtime.device, train=judging)
        wanted = -(-min(count, task.epoch_length()) // batch)
        stream = task.batches(0, batch)
        batches = [next(stream) for _ in range(wanted)]
        return batches, lambda model, given: task.loss(model, _on(given, runtime.device)).loss_sum

    def open(self, folder: Path, engine: str, batch: int, runtime: Runtime) -> Opened:
        facts = read_facts(folder)
        opened = open_model(folder, facts, batch, runtime, self._material.config.base, engine=engine)
        task = self._task(folder, facts, batch, runtime.device)

        def answer(texts: Sequence[Input]) -> Any:
            with opened.reading():
                return opened.predictions(list(texts), Counter())

        def score() -> dict[str, float]:
            with opened.reading():
                return task.evaluate(opened.model)

        return Opened(opened.model, answer, score, self._material.settings.selection.metric or task.metric)

    def texts(self) -> list[Input]:
        """The texts of dev with what `predict` reads beside them: second texts, words, and entities if asked for."""
        examples = self._material.examples
        return [
            Input(
                example.name,
                example.text,
                example.name,
                getattr(example, "pair", None),
                getattr(example, "words", None),
                entities=example.entities if examples.kind.reads_entities else None,
            )
            for example in examples.splits["dev"]
            if example.text
        ]


class MaskFilling:
    """A masked language model."""

    def __init__(self, material: Material) -> None:
        self._material = material

    def _masked(self, folder: Path, batch: int) -> MaskedTexts:
        tokenizer = open_tokenizer(str(folder))
        return MaskedTexts(tokenizer, self._material.unlabelled, batch, self._material.config.seed)

    def sample(self, folder: Path, count: int, batch: int, runtime: Runtime) -> Sample:
        masked = self._masked(folder, batch)
        return masked.batches("train", count), lambda model, given: masked.loss(
            model, _on(given, runtime.device)
        )

    def open(self, folder: Path, engine: str, batch: int, runtime: Runtime) -> Opened:
        masked = self._masked(folder, batch)
        model = self._material.at(folder).model().to(runtime.device)

        def answer(texts: Sequence[str]) -> Any:
            with torch.inference_mode(), runtime.arithmetic():
                return [model(**_on(inputs, runtime.device)).logits for inputs in masked.plain(texts)]

        def score() -> dict[str, float]:
            with torch.inference_mode(), runtime.arithmetic():
                return masked.scores(model, runtime.device)

        return Opened(model, answer, score, masked.metric)

    def texts(self) -> list[str]:
        return MaskedTexts.held_out(self._material.unlabelled)


def _on(given: Any, device: torch.device) -> Any:
    inputs = given.inputs if isinstance(given, Batch) else given
    return {name: tensor.to(device) for name, tensor in inputs.items()}
