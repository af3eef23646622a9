"""Published figures, from published.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources

import yaml


@dataclass(frozen=True)
class Figure:
    """The published scores of one model on one task under one protocol.

    Attributes:
        task: as results.json names it.
        protocol: as results.json names it.
        model: as its authors call it.
        source: where the scores were read.
        scores: shares of 1, by metric; those that were published.
        deviations: their standard deviations over seeds, where published.
        seeds: how many the scores are means of, where published.
    """

    task: str
    protocol: str
    model: str
    source: str
    scores: Mapping[str, float]
    deviations: Mapping[str, float] = field(default_factory=dict)
    seeds: int | None = None


@dataclass(frozen=True)
class Published:
    """Everything that published.yaml holds.

    Attributes:
        tasks: titles of the paper's tasks, in the order of the report.
        figures: all published scores.
        notes: what a reader of the figures must know.
    """

    tasks: Mapping[str, str]
    figures: tuple[Figure, ...]
    notes: tuple[str, ...]


@cache
def published() -> Published:
    """The published figures that the package carries."""
    text = resources.files(__package__).joinpath("published.yaml").read_text(encoding="utf-8")
    content = yaml.safe_load(text)
    figures = tuple(Figure(**figure) for figure in content["figures"])
    return Published(content["tasks"], figures, tuple(content["notes"]))
