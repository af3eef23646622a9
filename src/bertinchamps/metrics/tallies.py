"""Counts of each document, from which the scores of any sample of documents follow. N documents, D samples, L labels.

A protocol's file makes the tally of its scores. `resampling.py` draws the samples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import numpy as np

Array = np.ndarray[Any, Any]
Path = tuple[str, ...]  # of a score, such as ("f1",) or ("types", "DISO", "f1")
Counts = tuple[Counter[str], Counter[str], Counter[str]]  # right, spurious and missed labels of a document


class Tally(Protocol):
    """What scores are computed from, document by document."""

    @property
    def documents(self) -> int:
        """N."""

    def scores(self, weights: Array) -> dict[Path, Array]:
        """The scores [D] of samples.

        Args:
            weights: how often each document is in each sample, [D, N].
        """

    def joined(self, other: Self) -> Self:
        """The tally of the documents of both, those of `other` last."""

    def as_json(self) -> dict[str, Any]:
        """What `tally_of` reads."""


@dataclass(frozen=True)
class LabelTally:
    """Right, spurious and missed labels, and shares that are not of labels.

    Attributes:
        labels: in the order of the columns.
        counts: a sparse matrix [N, 3 L], for each label true positives, false positives and false negatives.
        averages: which scores of all labels there are: precision, recall and f1 (micro-averaged), micro_f1, macro_f1,
            weighted_f1, accuracy (right labels among true ones).
        parts: the key of the scores by label; empty: none are given.
        ratios: name of a score → numerator and denominator of each document, [N, 2]; the score is the ratio of sums.
    """

    labels: tuple[str, ...]
    counts: Any
    averages: tuple[str, ...]
    parts: str = ""
    ratios: Mapping[str, Array] = field(default_factory=dict)

    @property
    def documents(self) -> int:
        return int(self.counts.shape[0])

    def scores(self, weights: Array) -> dict[Path, Array]:
        sums = (self.counts.T @ weights.T).T.reshape(len(weights), len(self.labels), 3)
        right, spurious, missed = (sums[:, :, side] for side in range(3))
        true, found = right + missed, right + spurious
        f1 = _ratio(2 * right, true + found)
        there = (true + found) > 0
        micro = _ratio(2 * right.sum(1), (true + found).sum(1))
        every = {
            "precision": lambda: _ratio(right.sum(1), found.sum(1)),
            "recall": lambda: _ratio(right.sum(1), true.sum(1)),
            "f1": lambda: micro,
            "micro_f1": lambda: micro,
            "macro_f1": lambda: _ratio(f1.sum(1), there.sum(1)),
            "weighted_f1": lambda: _ratio((f1 * true).sum(1), true.sum(1)),
            "accuracy": lambda: _ratio(right.sum(1), true.sum(1)),
        }
        scores: dict[Path, Array] = {(name,): every[name]() for name in self.averages}
        for name, shares in self.ratios.items():
            scores[(name,)] = _ratio(*(weights @ shares).T)
        if self.parts:
            scores |= {(self.parts, label, "f1"): f1[:, at] for at, label in enumerate(self.labels)}
        return scores

    def joined(self, other: LabelTally) -> LabelTally:
        labels = tuple(dict.fromkeys((*self.labels, *other.labels)))
        from scipy import sparse  # type: ignore[import-untyped]

        both = sparse.vstack([_with_labels(each, labels) for each in (self, other)]).tocsr()
        ratios = {name: np.concatenate([own, other.ratios[name]]) for name, own in self.ratios.items()}
        return LabelTally(labels, both, self.averages, self.parts, ratios)

    def as_json(self) -> dict[str, Any]:
        cells = self.counts.tocoo()
        return {
            "documents": self.documents,
            "labels": list(self.labels),
            "cells": [cells.row.tolist(), cells.col.tolist(), cells.data.tolist()],
            "averages": list(self.averages),
            "parts": self.parts,
            "ratios": {name: shares.tolist() for name, shares in self.ratios.items()},
        }


@dataclass(frozen=True)
class NumberTally:
    """Numbers that were predicted beside the true ones.

    Attributes:
        true, given: [N].
    """

    true: Array
    given: Array

    @property
    def documents(self) -> int:
        return len(self.true)

    def scores(self, weights: Array) -> dict[Path, Array]:
        errors = self.given - self.true
        count = np.maximum(weights.sum(1), 1)
        return {
            ("pearson",): _correlation(
                weights, *(np.broadcast_to(side, weights.shape) for side in self._sides)
            ),
            ("spearman",): _correlation(weights, *(_ranks(weights, side) for side in self._sides)),
            ("mean_absolute_error",): weights @ np.abs(errors) / count,
            ("root_mean_squared_error",): np.sqrt(weights @ errors**2 / count),
        }

    @property
    def _sides(self) -> tuple[Array, Array]:
        return self.true, self.given

    def joined(self, other: NumberTally) -> NumberTally:
        pairs = zip(self._sides, other._sides, strict=True)
        return NumberTally(*(np.concatenate(pair) for pair in pairs))

    def as_json(self) -> dict[str, Any]:
        return {"true": self.true.tolist(), "given": self.given.tolist()}


def tally_of(record: Mapping[str, Any]) -> Tally:
    """The tally that `as_json` wrote.

    Raises:
        LookupError, TypeError, ValueError: it is none.
    """
    if "true" in record:
        return NumberTally(np.array(record["true"], dtype=float), np.array(record["given"], dtype=float))
    rows, columns, values = record["cells"]
    ratios = {name: np.array(shares, dtype=float) for name, shares in record["ratios"].items()}
    counts = _matrix(rows, columns, values, (record["documents"], 3 * len(record["labels"])))
    return LabelTally(tuple(record["labels"]), counts, tuple(record["averages"]), record["parts"], ratios)


def tally_of_counts(
    counts: Sequence[Counts], averages: Sequence[str], parts: str, ratios: Mapping[str, Array] | None = None
) -> LabelTally:
    """The tally of right, spurious and missed labels of each document."""
    labels = tuple(sorted({label for document in counts for side in document for label in side}))
    index = {label: at for at, label in enumerate(labels)}
    cells = [
        (row, 3 * index[label] + side, count)
        for row, document in enumerate(counts)
        for side, own in enumerate(document)
        for label, count in own.items()
        if count
    ]
    rows, columns, values = zip(*cells, strict=True) if cells else ((), (), ())
    shape = (len(counts), 3 * len(labels))
    return LabelTally(labels, _matrix(rows, columns, values, shape), tuple(averages), parts, ratios or {})


def tally_of_labels(
    true: Sequence[str],
    given: Sequence[str],
    documents: Sequence[int],
    averages: Sequence[str],
    parts: str,
) -> LabelTally:
    """The tally of decisions that each have one label.

    Args:
        true, given: the labels of each decision.
        documents: the number of its document, from 0 on.
        averages, parts: as `LabelTally` has them.
    """
    labels = tuple(sorted({*true, *given}))
    index = {label: at for at, label in enumerate(labels)}
    wanted, found = (np.array([index[label] for label in side], dtype=np.int64) for side in (true, given))
    rows, equal = np.array(documents, dtype=np.int64), wanted == found
    every = (
        (rows[equal], 3 * wanted[equal]),
        (rows[~equal], 3 * found[~equal] + 1),
        (rows[~equal], 3 * wanted[~equal] + 2),
    )
    places, columns = (np.concatenate([side[at] for side in every]) for at in (0, 1))
    shape = (int(rows.max(initial=-1)) + 1, 3 * len(labels))
    return LabelTally(labels, _matrix(places, columns, np.ones(len(places)), shape), tuple(averages), parts)


def tally_of_ratios(ratios: Mapping[str, Iterable[tuple[float, float]]]) -> LabelTally:
    """The tally of shares alone: for each document numerator and denominator."""
    arrays = {name: np.array(list(pairs), dtype=float).reshape(-1, 2) for name, pairs in ratios.items()}
    documents = len(next(iter(arrays.values())))
    return LabelTally((), _matrix((), (), (), (documents, 0)), (), "", arrays)


def _matrix(rows: Any, columns: Any, values: Any, shape: tuple[int, int]) -> Any:
    from scipy import sparse

    return sparse.csr_matrix((np.asarray(values, dtype=float), (rows, columns)), shape=shape)


def _with_labels(tally: LabelTally, labels: Sequence[str]) -> Any:
    """The counts with the columns of other labels."""
    from scipy import sparse

    index = {label: at for at, label in enumerate(labels)}
    moved = np.array([3 * index[label] + side for label in tally.labels for side in range(3)], dtype=np.int64)
    cells = tally.counts.tocoo()
    columns = moved[cells.col] if len(moved) else cells.col
    return sparse.csr_matrix((cells.data, (cells.row, columns)), shape=(tally.documents, 3 * len(labels)))


def _ratio(numerator: Array, denominator: Array) -> Array:
    """0 where there is nothing to share."""
    return np.divide(numerator, denominator, out=np.zeros(numerator.shape), where=denominator > 0)


def _ranks(weights: Array, values: Array) -> Array:
    """The mean rank of each value in each sample, [D, N]; equal values share their ranks."""
    _, group = np.unique(values, return_inverse=True)
    order = np.argsort(group, kind="stable")
    firsts = np.searchsorted(group[order], np.arange(group.max(initial=-1) + 1))
    sizes = np.add.reduceat(weights[:, order], firsts, axis=1)
    ranks = np.cumsum(sizes, axis=1) - (sizes - 1) / 2
    return ranks[:, group]


def _correlation(weights: Array, first: Array, second: Array) -> Array:
    """Of each sample; 0 where a side is constant."""
    count = np.maximum(weights.sum(1, keepdims=True), 1)
    a, b = (side - (weights * side).sum(1, keepdims=True) / count for side in (first, second))
    shared = (weights * a * b).sum(1)
    spread = np.sqrt((weights * a**2).sum(1) * (weights * b**2).sum(1))
    return _ratio(shared, np.where(spread > 1e-12, spread, 0.0))
