"""Nested entities: labels for each span of words, with probabilities. B windows, W words, L labels."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bertinchamps.contract import Entity
from bertinchamps.spans import EntitiesByOffset
from bertinchamps.tasks.lessons import Opinion
from bertinchamps.tasks.tagging.representations import Found, Kept, aligned, representations
from bertinchamps.tasks.tagging.windows import Window


@representations.register("nested")
class Nested:
    """Labels for each span of words, so that entities may nest; discontinuous entities are left out.

    Args:
        labels: types of entities, in a stable order.
        thresholds: for each label, the probability above which a span is an entity; none: 0.5 for all.
    """

    metric = "nested_exact_f1"

    def __init__(self, labels: Sequence[str], thresholds: Sequence[float] = ()) -> None:
        self.labels = self.classes = tuple(labels)
        self._shares = np.array(thresholds or [0.5] * len(self.labels))  # [L]
        self._least = np.log(self._shares / (1 - self._shares))  # logits [L]
        self._index = {label: index for index, label in enumerate(labels)}

    def kept(self, entities: Sequence[Entity], windows: Sequence[Window]) -> Kept:
        """The entities of one fragment that begin and end with a word of the window that owns their middle."""
        whole = [entity for entity in entities if len(entity.fragments) == 1]
        lost = Counter({"discontinuous": len(entities) - len(whole)} if len(entities) > len(whole) else {})
        held_by_words = aligned(whole, windows, lost)
        by_place = EntitiesByOffset(held_by_words.entities)
        held = {
            entity
            for window in windows
            for entity, first, last in _placed(by_place.touching(*_range(window)), window)
            if _owns(window, first, last)
        }
        kept: dict[Entity, None] = {}  # in order
        for entity in held_by_words.entities:
            near = by_place.touching(entity.start, entity.end)
            if entity not in held:
                lost["longer than the windows' overlap"] += 1
            elif any(other in kept and _cross(entity, other) for other in near):
                lost["crosses another one"] += 1
            elif entity in kept:
                lost["the same as another one"] += 1
            else:
                kept[entity] = None
        return Kept(list(kept), lost)

    def targets(self, entities: Sequence[Entity], window: Window) -> np.ndarray[Any, Any]:
        """Rows (first word, last word, label, probability) [entities, 4], after a row with the number of words."""
        return self._rows([Found(entity, 1.0) for entity in entities], window)

    def _rows(self, spans: Sequence[Found], window: Window) -> np.ndarray[Any, Any]:
        """As `targets`, of spans with probabilities."""
        probability = dict(spans)
        placed = _placed([entity for entity, _ in spans], window)
        rows = [(float(len(window.words)), 0.0, 0.0, 0.0)]
        rows += [
            (first, last, self._index[entity.label], probability[entity]) for entity, first, last in placed
        ]
        return np.array(rows)

    def padded(self, targets: Sequence[np.ndarray[Any, Any]], words: int) -> Tensor:
        """Probabilities [B, W, W, L]."""
        padded = np.zeros((len(targets), words, words, len(self.classes)), dtype=np.float32)
        for row, places in enumerate(targets):
            first, last, label = places[1:, :3].astype(np.int64).T
            padded[row, first, last, label] = places[1:, 3]
        return torch.from_numpy(padded)

    def count(self, targets: np.ndarray[Any, Any]) -> int:
        """Words, as for flat tags, so that the losses of both heads have one scale."""
        return int(targets[0, 0])

    def loss(self, logits: Tensor, targets: Tensor, words: Tensor) -> Tensor:
        """Binary cross-entropy of every label of every span, summed."""
        places = torch.arange(logits.shape[1], device=logits.device)
        real = (places[None, :, None] <= places[None, None, :]) & (places < words[:, None])[:, None, :]
        terms = F.binary_cross_entropy_with_logits(logits.float(), targets, reduction="none")
        return (terms * real[..., None]).sum()

    def reduced_logits(self, logits: np.ndarray[Any, Any], window: Window) -> np.ndarray[Any, Any]:
        """Rows (first word, last word, label, logit) of owned spans above their label's threshold, [found, 4]."""
        size = len(window.words)
        scores = logits[:size, :size]
        first, last, label = np.nonzero(scores > self._least)
        middle = (first + last) // 2
        owned = (first <= last) & (window.owned[0] <= middle) & (middle < window.owned[1])
        columns = np.stack([first, last, label, scores[first, last, label]], axis=1)
        return columns[owned].astype(np.float64)

    def tempered(self, answer: np.ndarray[Any, Any], temperature: float) -> np.ndarray[Any, Any]:
        """The last column."""
        tempered: np.ndarray[Any, Any] = answer / np.array([1.0, 1.0, 1.0, temperature])
        return tempered

    def entities(self, windows: Sequence[Window], answers: Sequence[np.ndarray[Any, Any]]) -> list[Found]:
        """Every span above its label's threshold, the likeliest first, unless the span crosses one already taken.

        The confidence of an entity is its probability, the sigmoid of its logit.
        """
        return without_crossings(self.spans(windows, answers))

    def doubts(self, logits: Tensor, words: Tensor) -> Tensor:
        """Of each word the highest entropy of a label of a span that begins there, [B, W].

        Not the sum: a word begins hundreds of spans and labels, nearly all of which are none beyond doubt.
        """
        logits = logits.float()
        entropy = F.softplus(logits) - logits * logits.sigmoid()  # of yes or no, [B, W, W, L]
        places = torch.arange(logits.shape[1], device=logits.device)
        real = (places[None, :, None] <= places[None, None, :]) & (places < words[:, None])[:, None, :]
        return (entropy * real[..., None]).amax((2, 3))

    def spans(self, windows: Sequence[Window], answers: Sequence[np.ndarray[Any, Any]]) -> list[Found]:
        """Every span above its label's threshold, with its probability."""
        return [
            Found(self._entity(window, int(first), int(last), int(label)), 1 / (1 + math.exp(-logit)))
            for window, rows in zip(windows, answers, strict=True)
            for first, last, label, logit in rows
            if logit > self._least[int(label)]  # the answers may be those of lower thresholds
        ]

    def opinion(self, windows: Sequence[Window], answers: Sequence[np.ndarray[Any, Any]]) -> list[Found]:
        """`spans`; one that an opinion lacks has the probability 0 there."""
        return self.spans(windows, answers)

    def certain(self, entities: Sequence[Entity], windows: Sequence[Window]) -> list[Found]:
        """With the probability 1."""
        del windows  # a span is known by its place in the text
        return [Found(entity, 1.0) for entity in entities]

    def mixed(self, parts: Iterable[tuple[float, Opinion]]) -> list[Found]:
        """Every span of an opinion."""
        sums: defaultdict[Entity, float] = defaultdict(float)
        for weight, spans in parts:
            for entity, probability in spans:
                sums[entity] += weight * probability
        return sorted(Found(entity, probability) for entity, probability in sums.items())

    def soft_targets(self, opinion: Opinion, windows: Sequence[Window]) -> list[np.ndarray[Any, Any]]:
        """Spans with probabilities, which `loss` learns by binary cross-entropy."""
        return [self._rows(opinion, window) for window in windows]

    def decided(self, opinion: Opinion, windows: Sequence[Window]) -> list[Found]:
        """As `entities`."""
        del windows
        return without_crossings(
            span for span in opinion if span.confidence > self._shares[self._index[span.entity.label]]
        )

    def _entity(self, window: Window, first: int, last: int, label: int) -> Entity:
        return Entity(self.classes[label], ((window.words[first][0], window.words[last][1]),))


def without_crossings(candidates: Iterable[Found]) -> list[Found]:
    """The candidates in order, without those that cross another one of higher probability."""
    found: list[Found] = []
    touching: list[Found] = []
    end = 0
    for candidate in sorted(candidates, key=lambda found: found.entity.start):
        if candidate.entity.start >= end:
            found += _uncrossed(touching)
            touching = []
        touching.append(candidate)
        end = max(end, candidate.entity.end)
    return sorted(found + _uncrossed(touching))


def _uncrossed(candidates: Sequence[Found]) -> list[Found]:
    taken: list[Found] = []
    for candidate in sorted(candidates, key=lambda found: (-found.confidence, found.entity)):
        if not any(_cross(candidate.entity, other) for other, _ in taken):
            taken.append(candidate)
    return taken


def _range(window: Window) -> tuple[int, int]:
    return window.words[0][0], window.words[-1][1]


def _placed(entities: Sequence[Entity], window: Window) -> Iterator[tuple[Entity, int, int]]:
    """The entities that a window holds whole, with the indices of their first and last word."""
    starts = {start: index for index, (start, _) in enumerate(window.words)}
    ends = {end: index for index, (_, end) in enumerate(window.words)}
    for entity in entities:
        first, last = starts.get(entity.start), ends.get(entity.end)
        if first is not None and last is not None:
            yield entity, first, last


def _owns(window: Window, first: int, last: int) -> bool:
    return bool(window.owned[0] <= (first + last) // 2 < window.owned[1])


def _cross(a: Entity, b: Entity) -> bool:
    return a.start < b.start < a.end < b.end or b.start < a.start < b.end < a.end
