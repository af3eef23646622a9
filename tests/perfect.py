"""What a model that makes no mistake would answer, for tests of everything around it."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bertinchamps.contract import AnnotatedText
from bertinchamps.model.encoders import open_tokenizer
from bertinchamps.schemas import FinetuneBatchConfig
from bertinchamps.tasks.splits import label_names
from bertinchamps.tasks.tagging.flat import Flat
from bertinchamps.tasks.tagging.predictor import EntityPredictor
from bertinchamps.tasks.tagging.recognition import EntityRecognition
from bertinchamps.tasks.tagging.representations import representations
from bertinchamps.tasks.tagging.windows import SubwordTokenizer
from tiny_encoders import make_encoder


@functools.cache
def tokenizer() -> Any:
    """A small WordPiece tokenizer."""
    with tempfile.TemporaryDirectory() as folder:
        return open_tokenizer(str(make_encoder("bert", Path(folder))))


def recognition(splits: Mapping[str, list[AnnotatedText]], head: str, longest: int = 48) -> EntityRecognition:
    """The engine's task for these documents."""
    representation = representations.build(head, labels=label_names(splits))
    labeller = EntityPredictor(
        representation, SubwordTokenizer(tokenizer(), longest), 0, 8, torch.device("cpu")
    )
    return EntityRecognition(splits, labeller, FinetuneBatchConfig(), 0)


def predictions(task: EntityRecognition, split: str) -> list[AnnotatedText]:
    """A split's documents with all entities that the head can hold, read off perfect logits."""
    head = task.representation
    answers = []
    for window, targets in zip(task.windows[split], task._targets[split], strict=True):
        padded = head.padded([targets], len(window.words))[0].numpy()
        if isinstance(head, Flat):
            logits = np.where(np.arange(len(head.classes)) == padded[:, None], 1.0, 0.0)
        else:
            logits = padded * 2.0 - 1.0
        answers.append(head.reduced_logits(logits, window))
    return task.decoded(split, answers)


def scored_by_itself(documents: list[AnnotatedText]) -> list[float]:
    """F1 or accuracy of the truth given as predictions, in all protocols."""
    task = recognition({"train": documents[:1], "dev": documents}, "flat", 128)
    scores = task.scores("dev", [document._replace() for document in documents])
    return [scores["strict"]["f1"], scores["nested_exact"]["f1"], scores["paper"]["accuracy"]]
