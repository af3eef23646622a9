"""Entities ↔ what a head learns: one tag a word (flat), or a label for each stretch of words (nested).

What a representation cannot hold is counted by reason, never dropped in silence.
B windows, W words of the longest window, C tags, L labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bertinchamps.contract import Entity
from bertinchamps.metrics.strict_spans import flatten
from bertinchamps.registry import Registry
from bertinchamps.tasks.windows import Window, Words

IGNORED = -100
OUTSIDE = "O"
FORBIDDEN = -1e9


class Kept(NamedTuple):
    """Entities that a representation holds, and how many it does not, by reason."""

    entities: list[Entity]
    lost: Counter[str]


class Representation(Protocol):
    """One way to write entities as targets of a head, and to read them off its logits.

    Attributes:
        classes: what the logits' last axis stands for.
        metric: the dev score that chooses among weights.
    """

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

    def entities(self, windows: Sequence[Window], logits: Sequence[np.ndarray[Any, Any]]) -> list[Entity]:
        """The entities of one document, from the logits of its windows in order."""


representations: Registry[Representation] = Registry("head", "head")


def word_tags(words: Words, entities: Sequence[Entity]) -> list[str]:
    """IOB2 tags of words under entities that do not overlap."""
    tags = [OUTSIDE] * len(words)
    for entity in entities:
        inside = [i for i, (start, end) in enumerate(words) if entity.start <= start and end <= entity.end]
        for place, index in enumerate(inside):
            tags[index] = f"{'I' if place else 'B'}-{entity.label}"
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
        # of all its words, so that an entity which another window begins goes on here as one
        starts = {entity.start for entity in entities}
        for index in range(first, last):
            start, end = window.words[index]
            around = next((e for e in entities if e.start <= start and end <= e.end), None)
            tag = OUTSIDE if around is None else f"{'B' if start in starts else 'I'}-{around.label}"
            tags[index] = self._index[tag]
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

    def entities(self, windows: Sequence[Window], logits: Sequence[np.ndarray[Any, Any]]) -> list[Entity]:
        """The best allowed sequence of tags of each sentence (Viterbi), read as spans."""
        found: list[Entity] = []
        pairs = zip(windows, logits, strict=True)
        for _, group in groupby(pairs, key=lambda pair: pair[0].sentence):
            words: list[tuple[int, int]] = []
            scores: list[np.ndarray[Any, Any]] = []
            for window, values in group:
                first, last = window.owned
                words += window.words[first:last]
                scores.append(values[first:last])
            tags = [self.classes[index] for index in _viterbi(np.concatenate(scores), self._allowed)]
            found += _spans_of(tags, words)
        return found


@representations.register("nested")
class Nested:
    """A label for each stretch of words, any number of them over a word; discontinuous entities are left out.

    Args:
        labels: types of entities, in a stable order.
    """

    metric = "nested_exact_f1"

    def __init__(self, labels: Sequence[str]) -> None:
        self.classes = tuple(labels)
        self._index = {label: index for index, label in enumerate(labels)}

    def kept(self, entities: Sequence[Entity], windows: Sequence[Window]) -> Kept:
        """Those of one fragment that begin and end with a word of one window which owns their middle."""
        whole = [entity for entity in entities if len(entity.fragments) == 1]
        lost = Counter({"discontinuous": len(entities) - len(whole)} if len(entities) > len(whole) else {})
        aligned = _aligned(whole, windows, lost)
        held = {entity for window in windows for entity in self._held(aligned.entities, window)}
        kept: list[Entity] = []
        for entity in aligned.entities:
            if entity not in held:
                lost["longer than the windows' overlap"] += 1
            elif any(_cross(entity, other) for other in kept):
                lost["crosses another one"] += 1
            elif entity not in kept:
                kept.append(entity)
        return Kept(kept, lost)

    def _held(self, entities: Sequence[Entity], window: Window) -> list[Entity]:
        return [entity for entity in entities if (place := _place(entity, window)) and _owns(window, *place)]

    def targets(self, entities: Sequence[Entity], window: Window) -> np.ndarray[Any, Any]:
        """Rows (first word, last word, label) [entities, 3], preceded by one that holds the number of words."""
        rows = [(len(window.words), 0, 0)]
        for entity in entities:
            place = _place(entity, window)
            if place:
                rows.append((*place, self._index[entity.label]))
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

    def entities(self, windows: Sequence[Window], logits: Sequence[np.ndarray[Any, Any]]) -> list[Entity]:
        """Every stretch with a score above 0, the highest first, unless it crosses one already taken."""
        found: list[Entity] = []
        pairs = zip(windows, logits, strict=True)
        for _, group in groupby(pairs, key=lambda pair: pair[0].sentence):
            candidates = [
                candidate for window, values in group for candidate in self._candidates(window, values)
            ]
            taken: list[Entity] = []
            for _, entity in sorted(candidates, key=lambda pair: (-pair[0], pair[1])):
                if not any(_cross(entity, other) for other in taken):
                    taken.append(entity)
            found += taken
        return sorted(found)

    def _candidates(self, window: Window, scores: np.ndarray[Any, Any]) -> Iterator[tuple[float, Entity]]:
        size = len(window.words)
        for first, last, label in np.argwhere(scores[:size, :size] > 0):
            if first <= last and _owns(window, first, last):
                span = (window.words[first][0], window.words[last][1])
                yield float(scores[first, last, label]), Entity(self.classes[label], (span,))


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


def _place(entity: Entity, window: Window) -> tuple[int, int] | None:
    """First and last word of an entity in a window, or None if it is not all there."""
    first = next((i for i, (start, _) in enumerate(window.words) if start == entity.start), None)
    last = next((i for i, (_, end) in enumerate(window.words) if end == entity.end), None)
    return None if first is None or last is None else (first, last)


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


def _spans_of(tags: Sequence[str], words: Sequence[tuple[int, int]]) -> Iterator[Entity]:
    start = 0
    for index, tag in enumerate(tags):
        if tag.startswith("B-"):
            start = index
        following = tags[index + 1] if index + 1 < len(tags) else OUTSIDE
        if tag != OUTSIDE and not following.startswith("I-"):
            yield Entity(tag[2:], ((words[start][0], words[index][1]),))
