"""The terms of a guarantee, and what is told of it.

MODEL/privacy.json    the guarantee of the saved weights
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bertinchamps.durable import read_json
from bertinchamps.training.privacy.accounting import opacus_version, spent_epsilon

FACTS = "privacy.json"
FORMAT = 1  # to be raised when old files would be misread
NOT_PROTECTED = (
    "The guarantee is for the weights, towards whoever adds or removes one {record} of train. It does not cover: the "
    "texts of pretraining; dev, which chose the weights and thresholds; the list of labels and the number of {record}s "
    "of train; all {record}s of one person together; the other files of the run (predictions, metrics, checkpoints); "
    "several runs on the same data, whose ε add up."
)


@dataclass(frozen=True)
class Terms:
    """The settings of a guarantee: see `DpSgd`; `delta` is settled."""

    epsilon: float | None
    delta: float
    clip: float
    accountant: str
    gradients: str
    noise_seed: int | None


@dataclass(frozen=True)
class Guarantee:
    """What a run promises, and what it takes.

    Attributes:
        terms: that were asked for.
        noise_multiplier: standard deviation of the noise, in units of the clipping norm; 0: no noise, no guarantee.
        size: records in an update, on average.
        records: of train.
        record: what a record is, in a word.
        updates_planned: of the whole run.
        why_apart: why records go through the model one by one; None: several go together, or it was asked for.
    """

    terms: Terms
    noise_multiplier: float
    size: int
    records: int
    record: str
    updates_planned: int
    why_apart: str | None = None

    @property
    def sampling_rate(self) -> float:
        """The probability of a record to be in an update."""
        return self.size / self.records

    @property
    def not_protected(self) -> str:
        """What the guarantee does not cover, in sentences."""
        return NOT_PROTECTED.format(record=self.record)

    def facts(self, updates: int) -> dict[str, Any]:
        """What is told after some updates, JSON-able."""
        terms, noise, rate = self.terms, self.noise_multiplier, self.sampling_rate
        spent = spent_epsilon(noise, rate, updates, terms.delta, terms.accountant) if noise else None
        asked = {key: value for key, value in asdict(terms).items() if key != "noise_seed"}
        return {
            "format": FORMAT,
            "name": "dp_sgd",
            "epsilon_spent": spent,
            **asked,
            "noise_multiplier": noise,
            "sampling_rate": rate,
            "updates": updates,
            "updates_planned": self.updates_planned,
            "record": self.record,
            "records": self.records,
            "secret_noise": terms.noise_seed is None,
            "adjacency": f"one {self.record} of train is added or removed",
            "library": f"opacus {opacus_version()}",
            "not_protected": self.not_protected,
        }

    def lines(self) -> list[str]:
        """The guarantee, its unit, and what it does not cover, before training."""
        terms, noise = self.terms, self.noise_multiplier
        if not noise:
            return [
                f"privacy    NONE: gradients of each {self.record} are clipped to {terms.clip:g}, and no noise is added"
            ]
        found = [
            f"privacy    ε = {terms.epsilon:g}, δ = {terms.delta:.3g} for each {self.record} of train, after "
            f"{self.updates_planned:,} updates: noise {noise:.3f} × clip {terms.clip:g}, {self.sampling_rate:.2%} of "
            f"{self.records:,} {self.record}s an update",
            f"note       {self.not_protected}",
        ]
        if self.why_apart is not None:
            found.append(f"note       records go through the model one by one: {self.why_apart}")
        if terms.noise_seed is not None:
            found.append(
                "WARNING    privacy.noise_seed: whoever knows it can subtract the noise, so nothing is protected"
            )
        return found


def in_words(facts: Mapping[str, Any]) -> str:
    """The facts of a run as a sentence.

    Args:
        facts: as `Guarantee.facts` gives them.
    """
    if facts["epsilon_spent"] is None:
        return f"no privacy: gradients of each {facts['record']} were clipped, and no noise was added"
    public = "" if facts["secret_noise"] else ", but the seed of the noise is known, so nothing is protected"
    return (
        f"ε = {facts['epsilon_spent']:.2f}, δ = {facts['delta']:.3g} for each {facts['record']} of train "
        f"(DP-SGD, noise {facts['noise_multiplier']:.3f}, clip {facts['clip']:g}, {facts['sampling_rate']:.2%} of "
        f"{facts['records']:,} {facts['record']}s an update, {facts['updates']:,} updates, {facts['accountant']} "
        f"accountant of {facts['library']}){public}"
    )


def is_guaranteed(folder: Path) -> bool:
    """Whether records of train are protected in the weights of a model's directory.

    Raises:
        UserError: privacy.json is damaged.
    """
    file = folder / FACTS
    return file.is_file() and read_json(file, "epsilon_spent")["epsilon_spent"] is not None


def copy_facts(folder: Path, place: Path) -> None:
    """Copy privacy.json, where there is one, to a model that was made without reading train."""
    if (folder / FACTS).is_file():
        shutil.copy2(folder / FACTS, place)
