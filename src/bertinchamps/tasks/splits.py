"""Train, dev and test splits: carving a dev split, names and counts of labels, and remarks."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

from bertinchamps.console import LABELS_SHOWN, counted, shown
from bertinchamps.contract import SPLITS, AnnotatedText, LabelledText, RelatedText
from bertinchamps.errors import UserError
from bertinchamps.spans import without_edges
from bertinchamps.tasks.readers import Splits

Record = AnnotatedText | LabelledText | RelatedText
OTHERWISE = "written otherwise, as 0.0 is beside 0 and Oui beside oui"


def with_dev(splits: Splits, share: float, seed: int) -> Splits:
    """The splits, with a dev split taken from train where the data have none. Test is never touched.

    A hash of text and seed decides, so the order of the examples and the process do not matter. Examples with the same
    (first) text go to the same split, so dev has no premise and no copy of a training example. Where each example has
    one class, dev is stratified by class; the last text of a class or type stays in train.

    Args:
        splits: as a reader gives them.
        share: of the training examples, between 0 and 1.
        seed: of the choice.

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
            f"selection.dev_share={share}: too small for {counted(len(train), 'training example')}; "
            + (
                "raise it, or give a dev split"
                if len({record.text for record in train}) > 1
                else "give a dev split"
            )
            + " (task.dev=)"
        )
    parts = {
        "train": [record for record in train if record.text not in chosen],
        "dev": [record for record in train if record.text in chosen],
    }
    return cast(Splits, {**splits, **parts})


def _chosen(train: Sequence[Record], share: float, seed: int) -> set[str]:
    """The texts that go to dev."""
    copies = Counter(record.text for record in train)
    labels: dict[str, set[str]] = defaultdict(set)
    for record in train:
        labels[record.text] |= labels_of(record)
    left = Counter(label for own in labels.values() for label in own)  # label → texts of train that have it
    strata: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for text, classes in classes_of_texts(train).items():
        strata[classes].append(text)
    chosen = set()
    for texts in strata.values():
        wanted = round(share * sum(copies[text] for text in texts))
        for text in sorted(texts, key=lambda text: hash_of(text, seed))[
            :-1
        ]:  # train keeps some of each stratum
            if wanted <= 0:
                break
            if all(left[label] > 1 for label in labels[text]):
                chosen.add(text)
                wanted -= copies[text]
                left.subtract(labels[text])
    return chosen


def classes_of_texts(train: Sequence[Record]) -> dict[str, tuple[str, ...]]:
    """Text → the classes of its examples; no classes unless every example has exactly one class."""
    classes: dict[str, set[str]] = defaultdict(set)
    single = _have_one_class(train)
    for record in train:
        classes[record.text] |= set(cast(LabelledText, record).target) if single else set()  # type: ignore[arg-type]
    return {text: tuple(sorted(names)) for text, names in classes.items()}


def hash_of(text: str, seed: int) -> bytes:
    """Orders texts by chance, whatever their order and the process."""
    return hashlib.blake2b(f"{seed} {text}".encode(), digest_size=16).digest()


def label_names(splits: Splits) -> tuple[str, ...]:
    """The names of entity types or classes in train, sorted by code points; none for regression.

    Where an example may have any number of labels, dev and test may have labels that train lacks.

    Raises:
        UserError: train has no text or no label; each example has one class, and dev or test has a class that train
            lacks; or train has none of dev's labels. Messages do not quote labels, which are texts where the user
            named the wrong column.
    """
    train = cast(Sequence[Record], splits["train"])
    if not any(record.text.strip() for record in train):
        raise UserError("task.train: no text in it; is this the right file or folder?")
    names = _labels(splits, "train").keys()
    numbers = any(isinstance(record, LabelledText) and isinstance(record.target, float) for record in train)
    if not names and not numbers:
        raise UserError("task: no label in the training examples, so there is nothing to learn")
    for split in ("dev", "test"):
        found = _labels(splits, split)
        unseen = found.keys() - names
        if unseen and _have_one_class(train):
            records = cast(Sequence[LabelledText], splits[split])
            first = next(record.name for record in records if unseen & labels_of(record))
            raise UserError(
                f"task.{split}: classes that no training example has ({len(unseen)}), the first in {first}"
                f"{_alike_hint(unseen, names)}. "
                "Correct their names (task.label is the column), or move examples of them to the training data"
            )
        if split == "dev" and found and not names & found.keys():
            raise UserError(
                f"task.dev: none of its {len(found)} labels is in the training examples, so no score could select "
                f"the weights{_alike_hint(unseen, names)}. Correct the labels, or give another dev split"
            )
    return tuple(sorted(names))


def _have_one_class(records: Sequence[Record]) -> bool:
    """Whether each example has exactly one class."""
    return all(
        isinstance(record, LabelledText) and isinstance(record.target, tuple) and len(record.target) == 1
        for record in records
    )


def _alike_hint(unseen: Collection[str], names: Collection[str]) -> str:
    """How many unseen labels are perhaps another spelling of a known label, as a part of a message."""
    known = set(map(_form, names))
    alike = sum(_form(label) in known for label in unseen)
    return f"; in train, {alike} of them are perhaps {OTHERWISE}" if alike else ""


def _form(label: str) -> str:
    """A normal form, the same for two spellings of one label: 0 and 0.0, oui and Oui, a_b and "a b"."""
    plain = " ".join(re.split(r"[\s_-]+", unicodedata.normalize("NFKC", label).casefold().strip()))
    try:
        return repr(float(plain.replace(",", ".")))
    except ValueError:
        return plain


def label_counts(splits: Splits) -> dict[str, Counter[str]]:
    """Split → the number of entities of each type, of examples of each class, or of relations of each type."""
    return {split: _labels(splits, split) for split in SPLITS if splits.get(split)}


def label_lines(splits: Splits) -> list[str]:
    """`label_counts` as lines to print, one a split, the most frequent label first; none for regression."""
    lines = []
    for split, counts in label_counts(splits).items():
        ordered = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
        cells = [f"{shown(label)} {count:,}" for label, count in ordered[:LABELS_SHOWN]]
        rest = ordered[LABELS_SHOWN:]
        if rest:
            cells.append(f"{len(rest)} others {sum(count for _, count in rest):,}")
        if cells:
            lines.append(f"{split:<10} {' · '.join(cells)}")
    return lines


def split_remarks(splits: Splits) -> list[str]:
    """Caveats for the report: empty texts, texts that are also in train, unseen labels, a test without entities."""
    remarks = _label_remarks(splits)
    train = {_content(record) for record in splits["train"]}
    for split in SPLITS:
        texts = [record.text for record in cast(Sequence[Record], splits.get(split, []))]
        empty = sum(not text.strip() for text in texts)
        if empty:
            remarks.append(f"{empty} of the {len(texts)} texts of {split} are empty")
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
    if test and not isinstance(test[0], LabelledText) and not _labels(splits, "test"):
        what = "entity" if isinstance(test[0], AnnotatedText) else "relation"
        remarks.append(f"test has no {what}: its scores say nothing")
    return remarks


def _with_blank_edges(records: Sequence[Record]) -> int:
    """The number of entities that begin or end with a blank or an invisible character."""
    return sum(
        learnt != entity
        for record in records
        if isinstance(record, AnnotatedText)
        for learnt, entity in zip(without_edges(record), record.entities, strict=True)
    )


def _label_remarks(splits: Splits) -> list[str]:
    names = _labels(splits, "train")
    forms = Counter(map(_form, names))
    alike = sum(count for count in forms.values() if count > 1)
    remarks = [f"{alike} labels of train are perhaps fewer, some {OTHERWISE}"] if alike else []
    for split in ("dev", "test"):
        unseen = {label: count for label, count in _labels(splits, split).items() if label not in names}
        if unseen:
            remarks.append(
                f"labels of {split} that train lacks: {len(unseen)}, {sum(unseen.values())} times, each of which "
                f"is missed{_alike_hint(unseen, names)}"
            )
    return remarks


def _content(record: Record) -> tuple[str, str | None]:
    return record.text.strip(), record.pair if isinstance(record, LabelledText) else None


def _labels(splits: Splits, split: str) -> Counter[str]:
    """Entity type, class or type of relation → how often a split has it."""
    counts: Counter[str] = Counter()
    for record in cast(Sequence[Record], splits.get(split, [])):
        counts.update(set(_every_label(record)) if isinstance(record, LabelledText) else _every_label(record))
    return counts


def labels_of(record: Record) -> set[str]:
    """The entity types, the classes, or the types of relations of one example."""
    return set(_every_label(record))


def _every_label(record: Record) -> list[str]:
    """The label of each entity, class or relation of one example."""
    if isinstance(record, AnnotatedText):
        return [entity.label for entity in record.entities]
    if isinstance(record, RelatedText):
        return [relation.label for relation in record.relations]
    return list(record.target) if isinstance(record.target, tuple) else []


def counts_in_words(facts: Mapping[str, Any]) -> str:
    """The counts of a split in a line.

    Args:
        facts: of `KindTask.facts`.
    """
    shown = [f"{value:,} {name.replace('_', ' ')}" for name, value in facts.items() if isinstance(value, int)]
    lost = facts.get("not_representable")
    if lost:
        shown.append("this head cannot hold " + ", ".join(f"{count} ({why})" for why, count in lost.items()))
    return ", ".join(shown)
