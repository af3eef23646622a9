"""Entities ↔ what a head learns: one tag a word (flat), or a label for each stretch of words (nested).

What a representation cannot hold is counted by reason, never dropped in silence.
B windows, W words of the longest window, C tags, L labels.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bertinchamps.contract import Entity
from bertinchamps.registry import Registry
from bertinchamps.spans import ByPlace, flatten
from bertinchamps.tasks.windows import Window, Words

IGNORED = -100
OUTSIDE = "O"
FORBIDDEN = -1e9


class Found(NamedTuple):
    """An entity that a head's answers hold, and how sure they are of it, from 0 to 1."""

    entity: Entity
    confidence: float


class Kept(NamedTuple):
    """Entities that a representation holds, and how many it does not, by reason."""

    entities: list[Entity]
    lost: Counter[str]


class Representation(Protocol):
    """One way to write entities as targets of a head, and to read them off its logits.

    Attributes:
        labels: types of entities.
        classes: what the logits' last axis stands for.
        metric: the dev score that chooses among weights.
    """

    labels: tuple[str, ...]
    classes: tuple[str, ...]
    metric: str

    def kept(self, entities: Sequence[Entity], windows: Sequence[Window]) -> Kept:
        """Which entities of a document its windows can hold."""

    def targets(self, entities: Sequence[Entity], window: Window) -> np.ndarray[Any, Any]:
        """What the head should say of a window, in a form that `padded` collates."""

    def padded(self, targets: Sequence[np.ndarray[Any, Any]], words: int) -> Tensor:
        """Targets of some windows as one tensor, for windows of so many words."""

    def count(self, targets: np.ndarray[Any, Any]) -> int:
        """Over how many terms the loss of a window is summed."""

    def loss(self, logits: Tensor, targets: Tensor, words: Tensor) -> Tensor:
        """Summed loss of logits; `words` [B] is the number of words of each window."""

    def answer(self, logits: np.ndarray[Any, Any], window: Window) -> np.ndarray[Any, Any]:
        """What of a window's logits is kept for `entities`: a copy, as small as it can be."""

    def entities(self, windows: Sequence[Window], answers: Sequence[np.ndarray[Any, Any]]) -> list[Found]:
        """The entities of one document, from the answers of its windows in order."""


representations: Registry[Representation] = Registry("head", "head")


def word_tags(words: Words, entities: ByPlace) -> list[str]:
    """IOB2 tags of words under entities that do not overlap."""
    tags = [OUTSIDE] * len(words)
    for entity in entities.touching(words[0][0], words[-1][1]) if words else ():
        first = bisect_left(words, entity.start, key=lambda word: word[0])
        last = bisect_right(words, entity.end, key=lambda word: word[1])
        for index in range(first, last):
            tags[index] = f"{'I' if index > first else 'B'}-{entity.label}"
    return tags


@representations.register("flat")
class Flat:
    """One IOB2 tag a word. Of entities inside one another the longest is kept (the paper's way).

    A discontinuous entity becomes the stretch from its first word to its last.

    Args:
        labels: types of entities, in a stable order.
    """

    metric = "strict_f1"

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = tuple(labels)
        self.classes = (OUTSIDE, *(f"{place}-{label}" for label in labels for place in "BI"))
        self._index = {tag: index for index, tag in enumerate(self.classes)}
        self._allowed = _transitions(self.classes)

    def kept(self, entities: Sequence[Entity], windows: Sequence[Window]) -> Kept:
        """Those that survive `flatten` and begin and end with a word of one sentence."""
        flat = flatten(entities)
        lost = Counter(
            {"inside a longer one": len(entities) - len(flat)} if len(entities) > len(flat) else {}
        )
        return _aligned(flat, windows, lost)

    def targets(self, entities: Sequence[Entity], window: Window) -> np.ndarray[Any, Any]:
        """Tag indices [W], and -100 at words that another window owns."""
        tags = np.full(len(window.words), IGNORED)
        first, last = window.owned
        starts = {entity.start for entity in entities}
        for index, tag in enumerate(word_tags(window.words, ByPlace(entities))[first:last], start=first):
            # an entity which another window begins goes on here as one
            goes_on = tag != OUTSIDE and window.words[index][0] not in starts
            tags[index] = self._index[f"I{tag[1:]}" if goes_on else tag]
        return tags

    def padded(self, targets: Sequence[np.ndarray[Any, Any]], words: int) -> Tensor:
        """[B, W]."""
        rows = [np.pad(row, (0, words - len(row)), constant_values=IGNORED) for row in targets]
        return torch.from_numpy(np.stack(rows))

    def count(self, targets: np.ndarray[Any, Any]) -> int:
        """Words."""
        return int((targets != IGNORED).sum())

    def loss(self, logits: Tensor, targets: Tensor, words: Tensor) -> Tensor:
        """Cross-entropy of the tags, summed over words."""
        return F.cross_entropy(
            logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum"
        )

    def answer(self, logits: np.ndarray[Any, Any], window: Window) -> np.ndarray[Any, Any]:
        """The scores of the words that the window owns, [words, C]."""
        first, last = window.owned
        return logits[first:last].copy()

    def entities(self, windows: Sequence[Window], answers: Sequence[np.ndarray[Any, Any]]) -> list[Found]:
        """The best allowed sequence of tags of each sentence (Viterbi), read as spans.

        The confidence of one is that of its least sure word: the probability of the word's tag among all tags.
        """
        found: list[Found] = []
        pairs = zip(windows, answers, strict=True)
        for _, group in groupby(pairs, key=lambda pair: pair[0].sentence):
            words: list[tuple[int, int]] = []
            scores: list[np.ndarray[Any, Any]] = []
            for window, values in group:
                first, last = window.owned
                words += window.words[first:last]
                scores.append(values)
            logits = np.concatenate(scores)
            path = _viterbi(logits, self._allowed)
            shares = _shares(logits)[np.arange(len(path)), path]
            for label, first, last in _spans_of([self.classes[index] for index in path]):
                entity = Entity(label, ((words[first][0], words[last][1]),))
                found.append(Found(entity, float(shares[first : last + 1].min())))
        return found


@representations.register("nested")
class Nested:
    """A label for each stretch of words, any number of them over a word; discontinuous entities are left out.

    Args:
        labels: types of entities, in a stable order.
    """

    metric = "nested_exact_f1"

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = self.classes = tuple(labels)
        self._index = {label: index for index, label in enumerate(labels)}

    def kept(self, entities: Sequence[Entity], windows: Sequence[Window]) -> Kept:
        """Those of one fragment that begin and end with a word of one window which owns their middle."""
        whole = [entity for entity in entities if len(entity.fragments) == 1]
        lost = Counter({"discontinuous": len(entities) - len(whole)} if len(entities) > len(whole) else {})
        aligned = _aligned(whole, windows, lost)
        by_place = ByPlace(aligned.entities)
        held = {
            entity
            for window in windows
            for entity, first, last in _placed(by_place.touching(*_stretch(window)), window)
            if _owns(window, first, last)
        }
        kept: dict[Entity, None] = {}  # in order
        for entity in aligned.entities:
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
        """Rows (first word, last word, label) [entities, 3], preceded by one that holds the number of words."""
        rows = [(len(window.words), 0, 0)]
        rows += [
            (first, last, self._index[entity.label]) for entity, first, last in _placed(entities, window)
        ]
        return np.array(rows)

    def padded(self, targets: Sequence[np.ndarray[Any, Any]], words: int) -> Tensor:
        """[B, W, W, L], 1 at entities."""
        padded = torch.zeros(len(targets), words, words, len(self.classes), dtype=torch.bool)
        for row, places in enumerate(targets):
            for first, last, label in places[1:]:
                padded[row, first, last, label] = True
        return padded

    def count(self, targets: np.ndarray[Any, Any]) -> int:
        """Words, as for flat tags, so that both heads' losses are of one size."""
        return int(targets[0, 0])

    def loss(self, logits: Tensor, targets: Tensor, words: Tensor) -> Tensor:
        """Binary cross-entropy of every label of every stretch, summed."""
        places = torch.arange(logits.shape[1], device=logits.device)
        real = (places[None, :, None] <= places[None, None, :]) & (places < words[:, None])[:, None, :]
        terms = F.binary_cross_entropy_with_logits(logits.float(), targets.float(), reduction="none")
        return (terms * real[..., None]).sum()

    def answer(self, logits: np.ndarray[Any, Any], window: Window) -> np.ndarray[Any, Any]:
        """Rows (first word, last word, label, score) of the scores above 0 that the window owns, [found, 4]."""
        size = len(window.words)
        scores = logits[:size, :size]
        first, last, label = np.nonzero(scores > 0)
        middle = (first + last) // 2
        owned = (first <= last) & (window.owned[0] <= middle) & (middle < window.owned[1])
        columns = np.stack([first, last, label, scores[first, last, label]], axis=1)
        return columns[owned].astype(np.float64)

    def entities(self, windows: Sequence[Window], answers: Sequence[np.ndarray[Any, Any]]) -> list[Found]:
        """Every stretch with a score above 0, the highest first, unless it crosses one already taken.

        The confidence of one is the probability that its score stands for (the sigmoid), so above a half.
        """
        found: list[Found] = []
        pairs = zip(windows, answers, strict=True)
        for _, group in groupby(pairs, key=lambda pair: pair[0].sentence):
            candidates = [
                (float(score), self._entity(window, int(first), int(last), int(label)))
                for window, rows in group
                for first, last, label, score in rows
            ]
            taken: list[Found] = []
            for score, entity in sorted(candidates, key=lambda pair: (-pair[0], pair[1])):
                if not any(_cross(entity, other) for other, _ in taken):
                    taken.append(Found(entity, 1 / (1 + math.exp(-score))))
            found += taken
        return sorted(found)

    def _entity(self, window: Window, first: int, last: int, label: int) -> Entity:
        return Entity(self.classes[label], ((window.words[first][0], window.words[last][1]),))


def _aligned(entities: Sequence[Entity], windows: Sequence[Window], lost: Counter[str]) -> Kept:
    """The entities that begin and end with words of one sentence."""
    begins = {start: window.sentence for window in windows for start, _ in window.words}
    ends = {end: window.sentence for window in windows for _, end in window.words}
    kept = []
    for entity in entities:
        if entity.start not in begins or entity.end not in ends:
            lost["does not begin and end with a word"] += 1
        elif begins[entity.start] != ends[entity.end]:
            lost["reaches over the end of a sentence"] += 1
        else:
            kept.append(entity)
    return Kept(kept, lost)


def _stretch(window: Window) -> tuple[int, int]:
    return window.words[0][0], window.words[-1][1]


def _placed(entities: Sequence[Entity], window: Window) -> Iterator[tuple[Entity, int, int]]:
    """The entities that are in a window as a whole, with their first and last word there."""
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
        return alone.tolist()  # type: ignore[no-any-return]  # no sum is higher than that of the highest scores
    best = scores[0] + allowed[0]  # nothing before the first word: as after an outside word
    back = np.zeros(scores.shape, dtype=np.int64)
    for index in range(1, len(scores)):
        through = best[:, None] + allowed
        back[index] = through.argmax(0)
        best = through.max(0) + scores[index]
    path = [int(best.argmax())]
    for index in range(len(scores) - 1, 0, -1):
        path.append(int(back[index, path[-1]]))
    return path[::-1]


def _shares(logits: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Probabilities [W, C] of logits [W, C]."""
    shares = np.exp(logits - logits.max(1, keepdims=True), dtype=np.float64)
    return shares / shares.sum(1, keepdims=True)  # type: ignore[no-any-return]


def _spans_of(tags: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """Type, first and last word of each entity that tags spell."""
    start = 0
    for index, tag in enumerate(tags):
        if tag.startswith("B-"):
            start = index
        following = tags[index + 1] if index + 1 < len(tags) else OUTSIDE
        if tag != OUTSIDE and not following.startswith("I-"):
            yield tag[2:], start, index
