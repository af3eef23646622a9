"""FLOPs that texts need of a model, padding left out: the same whoever computes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch

from bertinchamps.model.encoders import EncoderSource
from bertinchamps.model.flops import downstream_flops_per_token, forward_flops_per_token
from bertinchamps.tasks.facts import TaskFacts
from bertinchamps.tasks.kinds import kinds


def of_labels(facts: TaskFacts, encoder: Any, lengths: Sequence[int]) -> float:
    """Of the forward passes that label texts; training takes three times as many.

    Args:
        facts: of the task.
        encoder: its configuration.
        lengths: tokens of each text.
    """
    with torch.device("meta"):  # no memory for weights
        model: Any = kinds.build(facts.kind).build_model(facts, EncoderSource(encoder.name_or_path, encoder))
    return _sum(lengths, lambda length: downstream_flops_per_token(model, encoder, length) / 3)


def of_masked_words(encoder: Any, lengths: Sequence[int]) -> float:
    """Of the forward passes that fill in one masked word a text.

    Args:
        encoder: configuration of a masked language model of this package.
        lengths: tokens of each text.
    """
    return _sum(lengths, lambda length: forward_flops_per_token(encoder, length, 1 / length))


def _sum(lengths: Sequence[int], flops_per_token: Callable[[int], float]) -> float:
    return sum(number * length * flops_per_token(length) for length, number in Counter(lengths).items())
