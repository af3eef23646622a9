"""How sure a score is, and whether two models differ: documents are drawn anew, since they are what a test set samples.

- Intervals: the percentile bootstrap (Efron and Tibshirani, 1993, An Introduction to the Bootstrap, chapter 13).
- Differences: the same documents are drawn for both models (Koehn, 2004, Statistical Significance Tests for Machine
  Translation Evaluation, EMNLP), and approximate randomisation (Noreen, 1989; Yeh, 2000, More accurate tests for the
  statistical significance of result differences, COLING): if the models did not differ, exchanging their answers to a
  document would change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from bertinchamps.metrics.tallies import Array, Path, Tally

SEED = 0  # a score has one interval, however often it is computed
LEVEL = 95.0  # percent
ROUNDS = 10_000  # of a comparison
CELLS_AT_ONCE = 2**22  # of a matrix of samples and documents


class Difference(NamedTuple):
    """How a score of one model differs from that of another on the same documents.

    Attributes:
        value: first - second.
        low, high: ends of its 95 % interval.
        p: how often exchanged answers give at least this difference, in either direction.
    """

    value: float
    low: float
    high: float
    p: float


def intervals(tally: Tally, draws: int, level: float = LEVEL) -> dict[Path, tuple[float, float]]:
    """The interval of each score: percentiles over samples with replacement, each of as many documents.

    Args:
        tally: of at least one document.
        draws: samples.
        level: in percent.
    """
    documents = tally.documents
    drawn = _over_samples(
        lambda generator, count: _samples(generator, count, documents), draws, tally.scores, tally
    )
    tails = (50 - level / 2, 50 + level / 2)
    return {path: _percentiles(values, tails) for path, values in drawn.items()}


def whole(tally: Tally) -> dict[Path, float]:
    """The scores of all documents."""
    scores = tally.scores(np.ones((1, tally.documents)))
    return {path: float(values[0]) for path, values in scores.items()}


def differences(first: Tally, second: Tally, rounds: int = ROUNDS) -> dict[Path, Difference]:
    """How the scores of two models differ, for those scores that both have.

    Args:
        first, second: of the same documents in the same order.
        rounds: of both resamplings.

    Raises:
        ValueError: the numbers of documents differ.
    """
    documents = first.documents
    if documents != second.documents:
        raise ValueError(f"{documents} and {second.documents} documents")
    both: Any = first.joined(second)

    def drawn(weights: Array) -> dict[Path, Array]:
        one, other = first.scores(weights), second.scores(weights)
        return {path: one[path] - other[path] for path in one if path in other}

    def exchanged(swap: Array) -> dict[Path, Array]:
        one = both.scores(np.concatenate([1 - swap, swap], axis=1))
        other = both.scores(np.concatenate([swap, 1 - swap], axis=1))
        return {path: np.abs(one[path] - other[path]) for path in one}

    values = {path: float(own[0]) for path, own in drawn(np.ones((1, documents))).items()}
    samples = _over_samples(
        lambda generator, count: _samples(generator, count, documents), rounds, drawn, first
    )
    swaps = _over_samples(
        lambda generator, count: generator.integers(0, 2, (count, documents)).astype(float),
        rounds,
        exchanged,
        first,
    )
    found = {}
    for path, value in values.items():
        low, high = _percentiles(samples[path], (50 - LEVEL / 2, 50 + LEVEL / 2))
        as_large = int((swaps[path] >= abs(value) - 1e-12).sum())
        found[path] = Difference(value, low, high, (as_large + 1) / (rounds + 1))
    return found


def _samples(generator: np.random.Generator, count: int, documents: int) -> Array:
    """How often each document is in each of some samples, [count, N]."""
    chosen = generator.integers(0, documents, (count, documents))
    moved = chosen + documents * np.arange(count)[:, None]
    return np.bincount(moved.ravel(), minlength=count * documents).reshape(count, documents).astype(float)


def _over_samples(
    drawn: Callable[[np.random.Generator, int], Array],
    number: int,
    scores: Callable[[Array], dict[Path, Array]],
    tally: Tally,
) -> dict[Path, Array]:
    """The scores [number] of all samples, some at a time."""
    generator = np.random.default_rng(SEED)
    parts = [scores(drawn(generator, count)) for count in _portions(number, tally.documents)]
    return {path: np.concatenate([part[path] for part in parts]) for path in parts[0]}


def _portions(number: int, documents: int) -> Iterator[int]:
    size = max(1, CELLS_AT_ONCE // max(1, documents))
    for start in range(0, number, size):
        yield min(size, number - start)


def _percentiles(values: Array, tails: tuple[float, float]) -> tuple[float, float]:
    low, high = np.percentile(values, tails)
    return float(low), float(high)
