"""Published figures, from published.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources

import yaml


@dataclass(frozen=True)
class PublishedScore:
    """The published scores of one model on one task under one protocol.

    Attributes:
        task: name of the task in results.json.
        protocol: name of the protocol in results.json.
        model: name that the authors give the model.
        source: where the scores were read.
        scores: the published scores by metric, as shares of 1.
        deviations: standard deviations over seeds by metric, where published.
        seeds: number of seeds behind each mean, where published.
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
    """The content of published.yaml.

    Attributes:
        tasks: titles of the paper's tasks, in the order of the report.
        scores: all published scores.
        notes: what a reader of the scores must know.
    """

    tasks: Mapping[str, str]
    scores: tuple[PublishedScore, ...]
    notes: tuple[str, ...]


@cache
def published() -> Published:
    """The published scores that the package carries."""
    text = resources.files(__package__).joinpath("published.yaml").read_text(encoding="utf-8")
    content = yaml.safe_load(text)
    scores = tuple(PublishedScore(**figure) for figure in content["figures"])
    return Published(content["tasks"], scores, tuple(content["notes"]))
