"""A part of the training examples, as a user with little data would have: nested samples of each size.

The examples have one order for each seed, and a sample is its beginning, so a larger sample holds the smaller ones.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

from bertinchamps.console import shown
from bertinchamps.contract import LabelledText
from bertinchamps.errors import UserError
from bertinchamps.schemas import FewShotConfig
from bertinchamps.tasks.splits import Record, labels_of

NAMED = 5  # classes that a message names
NONE = ""  # stands for the examples without a label


def few(
    splits: dict[str, list[Record]], config: FewShotConfig, seed: int
) -> tuple[dict[str, list[Record]], list[str]]:
    """The splits with a sample of train, and of dev where that is asked for, and caveats for the scores.

    Of texts with classes, a sample has `examples` of each class, or more where examples have several classes, and
    texts without a class as often, in proportion, as the whole; of annotated documents and of numbers, `examples` in
    all.

    Args:
        splits: all examples; test stays as it is.
        config: how many, and whether dev is reduced, too.
        seed: of the order.

    Raises:
        UserError: train has fewer examples, of a class or in all.
    """
    if config.examples is None:
        return splits, []
    small = {**splits, "train": _sample(splits["train"], config.examples, seed)}
    if config.dev:
        small["dev"] = _sample(splits["dev"], config.examples, seed, at_most=True)
    train, dev = len(small["train"]), len(small["dev"])
    remarks = [
        f"few_shot.examples={config.examples}: train is {train:,} of {len(splits['train']):,} examples"
    ]
    if dev > train:
        remarks.append(
            f"the weights were selected on {dev:,} examples of dev, more than train has ({train:,}): whoever has so "
            "few to learn from has no such dev set (few_shot.dev=true reduces it)"
        )
    return small, remarks


def few_shot_problems(config: FewShotConfig) -> list[str]:
    """Mistakes in the settings, in the user's key names."""
    if config.examples is not None and config.examples < 1:
        return [f"few_shot.examples={config.examples}: must be at least 1; null: all examples"]
    if config.dev and config.examples is None:
        return ["few_shot.dev: reduces dev to few_shot.examples, so give few_shot.examples"]
    return []


def _sample(records: Sequence[Record], examples: int, seed: int, at_most: bool = False) -> list[Record]:
    """The chosen records, in the order of the data."""
    order = sorted(range(len(records)), key=lambda place: _hash(records[place], place, seed))
    labels = [labels_of(record) for record in records]
    if any(isinstance(record, LabelledText) and isinstance(record.target, tuple) for record in records):
        if not at_most:
            _refuse_scarce(records, labels, examples)
        chosen = _of_each_class(order, labels, examples)
    elif len(records) < examples and not at_most:
        raise UserError(f"few_shot.examples={examples}: train has {len(records):,} examples")
    else:
        chosen = _balanced(order, labels)[:examples]
    return [records[place] for place in sorted(chosen)]


def _refuse_scarce(records: Sequence[Record], labels: Sequence[set[str]], examples: int) -> None:
    """Raise UserError where a class has fewer examples; the message has file and line of its first one."""
    have = Counter(label for own in labels for label in own)
    scarce = sorted((count, label) for label, count in have.items() if count < examples)
    if not scarce:
        return
    named = [
        f"{shown(label)} ({count}, the first in "
        f"{next(record.name for record, own in zip(records, labels, strict=True) if label in own)})"
        for count, label in scarce[:NAMED]
    ]
    more = f" and {len(scarce) - NAMED} more" if len(scarce) > NAMED else ""
    raise UserError(
        f"few_shot.examples={examples}: classes with fewer training examples: {', '.join(named)}{more}. Ask for fewer, "
        "or drop these classes from the data"
    )


def _of_each_class(order: Sequence[int], labels: Sequence[set[str]], examples: int) -> list[int]:
    """Places whose class has too few so far, in this order, and texts without a class in proportion."""
    counts: Counter[str] = Counter()
    chosen = []
    for place in order:
        if any(counts[label] < examples for label in labels[place]):
            chosen.append(place)
            counts.update(labels[place])
    without = [place for place in order if not labels[place]]
    others = len(order) - len(without)
    return chosen + without[: round(len(without) * len(chosen) / others) if others else examples]


def _balanced(order: Sequence[int], labels: Sequence[set[str]]) -> list[int]:
    """All places, so that every beginning has the labels about as often, in proportion, as the whole."""
    waiting: dict[str, list[int]] = {}
    for place in reversed(order):
        for label in labels[place] or {NONE}:
            waiting.setdefault(label, []).append(place)
    total = {label: len(places) for label, places in waiting.items()}
    counts: Counter[str] = Counter()
    taken: set[int] = set()
    found: list[int] = []
    while len(found) < len(order):
        for places in waiting.values():
            while places and places[-1] in taken:
                places.pop()
        open_labels = [label for label, places in waiting.items() if places]
        label = min(open_labels, key=lambda label: (counts[label] / total[label], total[label], label))
        place = waiting[label].pop()
        taken.add(place)
        found.append(place)
        counts.update(labels[place] or {NONE})
    return found


def _hash(record: Record, place: int, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed} {place} {record.text}".encode(), digest_size=16).digest()
