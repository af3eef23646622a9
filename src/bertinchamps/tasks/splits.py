"""Training, dev and test examples: which are set aside, and which labels there are."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import cast

from bertinchamps.contract import AnnotatedText, LabelledText
from bertinchamps.errors import UserError
from bertinchamps.spans import without_edges
from bertinchamps.tasks import Splits

Record = AnnotatedText | LabelledText


def with_dev(splits: Splits, share: float, seed: int) -> Splits:
    """The splits, with a dev split taken from train where the data have none. Test is never touched.

    The choice follows a hash of the text and the seed, whatever the order of the examples and the process. Examples
    with the same (first) text stay on one side, so dev holds no premise and no copy that was trained on. Where each
    example has one class, every class gives its share.

    Args:
        splits: as a reader gives them.
        share: of the training examples, between 0 and 1.
        seed: another seed, another choice.

    Raises:
        UserError: the share is not between 0 and 1, or there are too few examples for it.
    """
    if splits.get("dev"):
        return splits
    if not 0 < share < 1:
        raise UserError(
            f"selection.dev_share={share}: a share of the training examples between 0 and 1, such as 0.1"
        )
    train = cast(Sequence[Record], splits["train"])
    chosen = _chosen(train, share, seed)
    if not chosen:
        raise UserError(
            f"selection.dev_share={share}: too small for {len(train)} training examples; raise it, or give a dev split"
        )
    parts = {
        "train": [record for record in train if record.text not in chosen],
        "dev": [record for record in train if record.text in chosen],
    }
    return cast(Splits, {**splits, **parts})


def _chosen(train: Sequence[Record], share: float, seed: int) -> set[str]:
    """The texts that go to dev."""
    copies = Counter(record.text for record in train)
    strata: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for text, classes in _classes(train).items():
        strata[classes].append(text)
    chosen = set()
    for texts in strata.values():
        wanted = round(share * sum(copies[text] for text in texts))
        for text in sorted(texts, key=lambda text: _hash(text, seed))[:-1]:  # train keeps some of each class
            if wanted <= 0:
                break
            chosen.add(text)
            wanted -= copies[text]
    return chosen


def _classes(train: Sequence[Record]) -> dict[str, tuple[str, ...]]:
    """Each text with the classes of its examples, or with nothing where examples have not exactly one class."""
    classes: dict[str, set[str]] = defaultdict(set)
    single = all(
        isinstance(record, LabelledText) and isinstance(record.target, tuple) and len(record.target) == 1
        for record in train
    )
    for record in train:
        classes[record.text] |= set(cast(LabelledText, record).target) if single else set()  # type: ignore[arg-type]
    return {text: tuple(sorted(names)) for text, names in classes.items()}


def _hash(text: str, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed} {text}".encode(), digest_size=16).digest()


def label_names(splits: Splits) -> tuple[str, ...]:
    """The names of entity types or classes in train and dev, sorted by code points; none for numbers.

    Entities of a type that only test has are left to be missed, and counted by the task.

    Raises:
        UserError: there is no label at all, or only test has a class. Classes are not named: where the wrong column
            was given, they are the texts.
    """
    names = _labels(splits, ("train", "dev"))
    numbers = any(
        isinstance(record, LabelledText) and isinstance(record.target, float) for record in splits["train"]
    )
    if not names and not numbers:
        raise UserError("task: no label in the training examples, so there is nothing to learn")
    unseen = _labels(splits, ("test",)).keys() - names.keys()
    for record in cast(Sequence[Record], splits.get("test", [])):
        if (
            isinstance(record, LabelledText)
            and isinstance(record.target, tuple)
            and unseen & {*record.target}
        ):
            raise UserError(
                f"task.test: {len(unseen)} classes that no training example has, the first in {record.name}. "
                "Correct their names (task.label is the column), or move examples of them to the training data"
            )
    return tuple(sorted(names))


def split_remarks(splits: Splits) -> list[str]:
    """What about the splits has to be said beside scores: texts that were trained on, nothing to find."""
    remarks = []
    train = {_content(record) for record in splits["train"]}
    for split in ("dev", "test"):
        records = cast(Sequence[Record], splits.get(split, []))
        known = sum(_content(record) in train for record in records)
        if known:
            remarks.append(f"{known} of the {len(records)} texts of {split} are word for word in train, too")
        edged = _with_blank_edges(records)
        if edged:
            remarks.append(
                f"entities of {split} that begin or end with a blank or an invisible character ({edged}) are learnt "
                "without it, and found in strict scores, but never in nested exact, which compares all characters"
            )
    test = cast(Sequence[Record], splits.get("test", []))
    if test and isinstance(test[0], AnnotatedText) and not _labels(splits, ("test",)):
        remarks.append("test has no entity: its scores say nothing")
    return remarks


def _with_blank_edges(records: Sequence[Record]) -> int:
    """Entities that begin or end with what cannot be seen."""
    return sum(
        learnt != entity
        for record in records
        if isinstance(record, AnnotatedText)
        for learnt, entity in zip(without_edges(record), record.entities, strict=True)
    )


def _content(record: Record) -> tuple[str, str | None]:
    return record.text.strip(), record.pair if isinstance(record, LabelledText) else None


def _labels(splits: Splits, names: Sequence[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for name in names:
        for record in cast(Sequence[Record], splits.get(name, [])):
            if isinstance(record, AnnotatedText):
                counts.update(entity.label for entity in record.entities)
            elif isinstance(record.target, tuple):
                counts.update(record.target)
    return counts
