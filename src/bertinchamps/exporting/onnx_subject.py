"""What is exported as a graph, and how texts go through it: a model with its head, masked words, or an encoder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial, singledispatch
from typing import Any

import numpy as np
import torch
from torch import nn

from bertinchamps.contract import AnnotatedText
from bertinchamps.errors import UserError
from bertinchamps.exporting.source import Source
from bertinchamps.model.adapters.bases import encoder_of
from bertinchamps.model.encoders import has_masked_lm, longest_input
from bertinchamps.model.heads import DownstreamModel, heads
from bertinchamps.model.heads.embeddings import Embeddings
from bertinchamps.model.heads.masked_words import MaskedWords
from bertinchamps.tasks.embeddings import EmbeddingPredictor
from bertinchamps.tasks.inputs import Input
from bertinchamps.tasks.kinds import kinds
from bertinchamps.tasks.masked_words import MaskedWordPredictor
from bertinchamps.tasks.tagging.windows import words_of
from bertinchamps.tasks.texts.targets import Prediction

Answers = Callable[[nn.Module, Sequence[str]], list[Any]]  # a model and texts → what it says of each text
LONGEST = 512  # subwords of a text, where the model has no limit
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Subject:
    """What is exported.

    Attributes:
        model: whose `graph` it is.
        head: its entry in `heads`.
        reader: batch → a function that puts texts through such a model.
        longest: subwords that the model reads.
    """

    model: DownstreamModel
    head: str
    reader: Callable[[int], Answers]
    longest: int


def subject_of(source: Source, what: str, pool: str) -> Subject:
    """The model of a source in the form that is exported.

    Args:
        source: the model.
        what: model, or embeddings: its encoder alone.
        pool: of embeddings: mean or none.

    Raises:
        UserError: the model cannot be read.
    """
    tokenizer = source.tokenizer()
    loaded: Any = source.model()
    longest = min(LONGEST, longest_input(loaded.config)) if source.facts is None else source.facts.max_length
    if what == "embeddings":
        encoder = loaded.base_model if source.facts is None else encoder_of(loaded)
        return Subject(
            Embeddings(encoder, pool).eval(), "embeddings", partial(_embedded, tokenizer, longest), longest
        )
    if source.facts is None:
        if not has_masked_lm(loaded.config):
            raise UserError(
                f"{source.folder}: this encoder has no head for masked tokens (objective=rtd); format.what=embeddings "
                "exports it"
            )
        return Subject(
            MaskedWords(loaded).eval(), "masked_words", partial(_filled, tokenizer, longest), longest
        )
    return Subject(loaded, _name_of(loaded), partial(_predicted, source, tokenizer), longest)


def _name_of(model: DownstreamModel) -> str:
    names = [name for name in heads.names() if heads.builder(name) is type(model)]
    if not names or type(model).graph is DownstreamModel.graph:
        raise UserError(
            f"format=onnx: {type(model).__name__} has no graph that could be exported (model/heads/__init__.py)"
        )
    return names[0]


def _predicted(source: Source, tokenizer: Any, batch: int) -> Answers:
    facts = source.facts
    assert facts is not None
    predictor = kinds.build(facts.kind).build_predictor(facts, tokenizer, batch, CPU)

    def answers(model: nn.Module, texts: Sequence[str]) -> list[Any]:
        beside = ["\n".join((*texts, *texts)[at + 1 : at + 3]) for at in range(len(texts))]
        given = [
            Input(f"text {number}", text, f"text {number}", pair if facts.pairs else None)
            for number, (text, pair) in enumerate(zip(texts, beside, strict=True), start=1)
        ]
        return list(predictor.predict(model, given, Counter()))

    return answers


def _filled(tokenizer: Any, longest: int, batch: int) -> Answers:
    predictor = MaskedWordPredictor(tokenizer, longest, batch, CPU)

    def answers(model: nn.Module, texts: Sequence[str]) -> list[Any]:
        return predictor.fill(model, [_masked(text, predictor.mask) for text in texts])

    return answers


def _masked(text: str, mask: str) -> str:
    """The text with its middle word masked."""
    words = words_of(text, 0, len(text)) or ((0, len(text)),)
    start, end = words[len(words) // 2]
    return f"{text[:start]}{mask}{text[end:]}"


def _embedded(tokenizer: Any, longest: int, batch: int) -> Answers:
    return EmbeddingPredictor(tokenizer, longest, batch, CPU).embed


@singledispatch
def agreement(one: Any, other: Any) -> tuple[float, float]:
    """How far two predictions for one text are the same: what they share, of how much."""
    return float(one == other), 1.0


@agreement.register
def _(one: AnnotatedText, other: AnnotatedText) -> tuple[float, float]:
    """Entities that both have, of the entities of both."""
    both = len(set(one.entities) & set(other.entities))
    return 2.0 * both, float(len(one.entities) + len(other.entities))


@agreement.register
def _(one: Prediction, other: Prediction) -> tuple[float, float]:
    """The same class or classes; numbers that differ by less than a hundredth."""
    if isinstance(one.target, float) and isinstance(other.target, float):
        return float(abs(one.target - other.target) < 0.01 * max(1.0, abs(one.target))), 1.0
    return float(one.target == other.target), 1.0


@agreement.register
def _(one: list, other: list) -> tuple[float, float]:  # type: ignore[type-arg]
    """Masks with the same likeliest word."""
    pairs = [(mine, theirs) for mine, theirs in zip(one, other, strict=True) if mine and theirs]
    return float(sum(mine[0].token == theirs[0].token for mine, theirs in pairs)), float(len(pairs))


@agreement.register
def _(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """The cosine of vectors, averaged over those of a text."""
    lengths = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
    return float(np.mean((one * other).sum(-1) / np.maximum(lengths, 1e-12))), 1.0
