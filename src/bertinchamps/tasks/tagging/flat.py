"""Flat tags: one IOB2 tag a word, decoded by Viterbi. W words, C tags."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bertinchamps.contract import Entity
from bertinchamps.spans import EntitiesByOffset, flatten
from bertinchamps.tasks.lessons import Opinion
from bertinchamps.tasks.tagging.representations import (
    IGNORED,
    OUTSIDE,
    Found,
    Kept,
    aligned,
    representations,
    word_tags,
)
from bertinchamps.tasks.tagging.windows import Window

FORBIDDEN = -1e9
LEAST = 1e-12  # probability of a tag that has a logarithm


@representations.register("flat")
class Flat:
    """One IOB2 tag a word. Of nested entities the longest is kept (the paper's way).

    A discontinuous entity becomes the span from its first word to its last.

    Args:
        labels: types of entities, in a stable order.
        thresholds: the same for each label: a word whose probability of an inside tag, 1 - P(O), is above it is inside
            of an entity, and above 0.5 only such words are; none: the best sequence of tags decides.
    """

    metric = "strict_f1"

    def __init__(self, labels: Sequence[str], thresholds: Sequence[float] = ()) -> None:
        self.labels = tuple(labels)
        self._threshold = max(thresholds, default=None)
        self.classes = (OUTSIDE, *(f"{place}-{label}" for label in labels for place in "BI"))
        self._index = {tag: index for index, tag in enumerate(self.classes)}
        self._allowed = _transitions(self.classes)

    def kept(self, entities: Sequence[Entity], windows: Sequence[Window]) -> Kept:
        """The entities that `flatten` keeps and that begin and end with a word of one sentence."""
        flat = flatten(entities)
        lost = Counter(
            {"inside a longer one": len(entities) - len(flat)} if len(entities) > len(flat) else {}
        )
        return aligned(flat, windows, lost)

    def targets(self, entities: Sequence[Entity], window: Window) -> np.ndarray[Any, Any]:
        """Tag indices [W], and -100 at words that another window owns."""
        tags = np.full(len(window.words), IGNORED)
        first, last = window.owned
        starts = {entity.start for entity in entities}
        for index, tag in enumerate(
            word_tags(window.words, EntitiesByOffset(entities))[first:last], start=first
        ):
            # an entity that begins in another window continues here with I-
            continued = tag != OUTSIDE and window.words[index][0] not in starts
            tags[index] = self._index[f"I{tag[1:]}" if continued else tag]
        return tags

    def padded(self, targets: Sequence[np.ndarray[Any, Any]], words: int) -> Tensor:
        """[B, W]; of soft targets [B, W, C], with the probability 0 of every tag at words that do not count."""
        if targets[0].ndim == 2:
            shares = [np.pad(row, ((0, words - len(row)), (0, 0))) for row in targets]
            return torch.from_numpy(np.stack(shares))
        rows = [np.pad(row, (0, words - len(row)), constant_values=IGNORED) for row in targets]
        return torch.from_numpy(np.stack(rows))

    def count(self, targets: np.ndarray[Any, Any]) -> int:
        """Words."""
        return int((targets.any(1) if targets.ndim == 2 else targets != IGNORED).sum())

    def loss(self, logits: Tensor, targets: Tensor, words: Tensor) -> Tensor:
        """Cross-entropy of the tags, or of their probabilities in soft targets, summed over words."""
        if targets.ndim == logits.ndim:
            return -(targets * logits.float().log_softmax(-1)).sum()
        return F.cross_entropy(
            logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum"
        )

    def reduced_logits(self, logits: np.ndarray[Any, Any], window: Window) -> np.ndarray[Any, Any]:
        """The logits of the words that the window owns, [words, C]."""
        first, last = window.owned
        return logits[first:last].copy()

    def tempered(self, answer: np.ndarray[Any, Any], temperature: float) -> np.ndarray[Any, Any]:
        """All of it."""
        return answer / temperature

    def entities(self, windows: Sequence[Window], answers: Sequence[np.ndarray[Any, Any]]) -> list[Found]:
        """The best allowed sequence of tags of each sentence (Viterbi), as spans.

        The confidence of an entity is the lowest probability (softmax) of a tag among its words.
        """
        found: list[Found] = []
        pairs = zip(windows, answers, strict=True)
        for _, group in groupby(pairs, key=lambda pair: pair[0].sentence):
            words: list[tuple[int, int]] = []
            owned: list[np.ndarray[Any, Any]] = []
            for window, answer in group:
                first, last = window.owned
                words += window.words[first:last]
                owned.append(answer)
            logits = np.concatenate(owned)
            path = _viterbi(self._decided(logits), self._allowed)
            probabilities = _softmax(logits)[np.arange(len(path)), path]
            for label, first, last in _spans_of([self.classes[index] for index in path]):
                entity = Entity(label, ((words[first][0], words[last][1]),))
                found.append(Found(entity, float(probabilities[first : last + 1].min())))
        return found

    def doubts(self, logits: Tensor, words: Tensor) -> Tensor:
        """The entropy of each word's tags, [B, W]."""
        del words
        shares = logits.float().log_softmax(-1)
        return -(shares.exp() * shares).sum(-1)

    def opinion(
        self, windows: Sequence[Window], answers: Sequence[np.ndarray[Any, Any]]
    ) -> np.ndarray[Any, Any]:
        """The probabilities of each word's tags, [words of the document, C], which sum to 1."""
        del windows  # which cover the words in order, each word owned by one of them
        none = np.zeros((0, len(self.classes)))
        return np.concatenate([none, *map(_softmax, answers)]).astype(np.float32)

    def certain(self, entities: Sequence[Entity], windows: Sequence[Window]) -> np.ndarray[Any, Any]:
        """1 for the tag of each word."""
        by_place, tags = EntitiesByOffset(entities), [np.zeros(0, dtype=np.int64)]
        for window in windows:
            near = by_place.touching(window.words[0][0], window.words[-1][1])
            tags.append(self.targets(near, window)[slice(*window.owned)])
        return np.eye(len(self.classes), dtype=np.float32)[np.concatenate(tags)]

    def mixed(self, parts: Iterable[tuple[float, Opinion]]) -> np.ndarray[Any, Any]:
        """Word by word: models with other tokenizers read the same words."""
        return np.sum([weight * shares for weight, shares in parts], axis=0)  # type: ignore[no-any-return]

    def soft_targets(self, opinion: Opinion, windows: Sequence[Window]) -> list[np.ndarray[Any, Any]]:
        """Probabilities [W, C], 0 for every tag at words that another window owns."""
        targets, read = [], 0
        for window in windows:
            first, last = window.owned
            shares = np.zeros((len(window.words), len(self.classes)), dtype=np.float32)
            shares[first:last] = opinion[read : read + last - first]
            targets.append(shares)
            read += last - first
        return targets

    def decided(self, opinion: Opinion, windows: Sequence[Window]) -> list[Found]:
        """As `entities`, whose logits are logarithms of these probabilities."""
        soft = zip(self.soft_targets(opinion, windows), windows, strict=True)
        return self.entities(
            windows, [np.log(np.maximum(own[slice(*window.owned)], LEAST)) for own, window in soft]
        )

    def _decided(self, logits: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Logits [W, C] that forbid O to words above the threshold; one above 0.5 forbids all but O to the others."""
        if self._threshold is None:
            return logits
        inside = 1 - _softmax(logits)[:, 0] > self._threshold
        is_outside = np.arange(logits.shape[1]) == 0
        forbidden = inside[:, None] & is_outside
        if self._threshold > 0.5:
            forbidden |= ~inside[:, None] & ~is_outside
        return np.where(forbidden, FORBIDDEN, logits)


def _transitions(classes: Sequence[str]) -> np.ndarray[Any, Any]:
    """0 where a tag may follow another, a large negative number where IOB2 forbids it; row 0 is also the start."""
    allowed = np.zeros((len(classes), len(classes)), dtype=np.float32)
    for after, tag in enumerate(classes):
        if tag.startswith("I-"):
            for before, previous in enumerate(classes):
                if previous[2:] != tag[2:]:
                    allowed[before, after] = FORBIDDEN
    return allowed


def _viterbi(scores: np.ndarray[Any, Any], allowed: np.ndarray[Any, Any]) -> list[int]:
    """The sequence of tags with the highest sum of scores [W, C] that the transitions [C, C] allow."""
    alone = scores.argmax(1)
    if (allowed[np.concatenate([[0], alone[:-1]]), alone] == 0).all():
        return alone.tolist()  # type: ignore[no-any-return]  # the highest scores are an allowed path
    best = scores[0] + allowed[0]  # the first word follows as if after O
    back = np.zeros(scores.shape, dtype=np.int64)
    for index in range(1, len(scores)):
        through = best[:, None] + allowed
        back[index] = through.argmax(0)
        best = through.max(0) + scores[index]
    path = [int(best.argmax())]
    for index in range(len(scores) - 1, 0, -1):
        path.append(int(back[index, path[-1]]))
    return path[::-1]


def _softmax(logits: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Probabilities [W, C] of logits [W, C]."""
    powers = np.exp(logits - logits.max(1, keepdims=True), dtype=np.float64)
    return powers / powers.sum(1, keepdims=True)  # type: ignore[no-any-return]


def _spans_of(tags: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """Type, first and last word of each entity of IOB2 tags."""
    start = 0
    for index, tag in enumerate(tags):
        if tag.startswith("B-"):
            start = index
        following = tags[index + 1] if index + 1 < len(tags) else OUTSIDE
        if tag != OUTSIDE and not following.startswith("I-"):
            yield tag[2:], start, index
