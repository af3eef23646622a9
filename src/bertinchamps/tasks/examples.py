"""The examples of a fine-tuning run, read and checked before anything is written or computed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from bertinchamps.console import counted
from bertinchamps.contract import SPLITS
from bertinchamps.errors import UserError
from bertinchamps.fingerprints import canonical
from bertinchamps.schemas import FinetuneConfig, named
from bertinchamps.tasks.few_shot import few
from bertinchamps.tasks.kinds import Kind, kinds
from bertinchamps.tasks.label_column import refuse_own_classes
from bertinchamps.tasks.readers import Combined, LeavesOut, readers
from bertinchamps.tasks.readers.custom import named_after
from bertinchamps.tasks.splits import label_names, split_remarks, with_dev
from bertinchamps.textfiles.bad_records import BadRecords

LONGEST_LABEL = 100  # characters of a title in the name of a directory
CARVING_SEED = 0  # the same for every seed of training, so that runs of different seeds share one dev split


class Subtask(NamedTuple):
    """A task whose examples are some of these (`readers.Combined`).

    Attributes:
        title: what the report calls it.
        places: split → the places of its examples in that split, ascending; no split is empty.
        fingerprint: the same as where its examples are read alone.
    """

    title: str
    places: Mapping[str, tuple[int, ...]]
    fingerprint: str


@dataclass(frozen=True)
class Examples:
    """The examples of a reader, in the final splits.

    Attributes:
        title: what the report calls the task.
        kind: what is predicted.
        splits: train, dev, and test where there is one.
        labels: types of entities, or classes, sorted; none for regression.
        remarks: caveats that belong beside every score.
        fingerprint: a hash of all examples and their splits, those that `few_shot` leaves out included.
        subtasks: tasks that are scored by themselves as well.
        bad: split of the data → records that cannot be read and were left out; no split without one.
        carved: whether dev was carved from train.
    """

    title: str
    kind: Kind
    splits: dict[str, list[Any]]
    labels: tuple[str, ...]
    remarks: tuple[str, ...]
    fingerprint: str
    subtasks: tuple[Subtask, ...] = ()
    bad: Mapping[str, BadRecords] = field(default_factory=dict)
    carved: bool = False

    def unreadable(self) -> dict[str, Any]:
        """By split, how many records were left out, and file, line and mistake of the first ones, JSON-able."""
        return {split: {"records": own.count, "first": own.told} for split, own in self.bad.items()}

    def run_label(self, head: str, seed: int) -> str:
        """Goes into the name of a run's directory."""
        title = re.sub(r"[^\w.-]+", "-", self.title).strip("-.")[:LONGEST_LABEL]
        return "_".join([title, *([head] if self.kind.has_heads else []), f"seed{seed}"])

    def texts(self, split: str = "train", subtask: Subtask | None = None) -> Iterator[str]:
        """The texts of a split in order, both texts of a pair; empty texts are left out.

        Args:
            split: train, dev or test.
            subtask: whose texts; None for all.
        """
        examples = self.splits[split]
        for example in examples if subtask is None else [examples[at] for at in subtask.places[split]]:
            yield from filter(None, (example.text, getattr(example, "pair", None)))


def read_examples(config: FinetuneConfig) -> Examples:
    """Read the examples that `task` names; dev is carved from train where the data have no dev split.

    Raises:
        UserError: the examples cannot be read, or have nothing to learn.
    """
    reader = readers.build(**config.task)
    title = _title(config)
    read = reader.read()
    if not read.get("train"):
        raise UserError(f"task={title}: no training examples were found")
    refuse_own_classes(read["train"])
    whole: Any = read if read.get("dev") else with_dev(read, config.selection.dev_share, CARVING_SEED)
    splits: Any = {split: whole[split] for split in SPLITS if whole.get(split)}
    subtasks = reader.subtasks if isinstance(reader, Combined) else {}
    small: Any
    small, few_remarks = few(splits, config.few_shot, config.seed)
    left_out = reader.bad if isinstance(reader, LeavesOut) else {}
    bad = {split: own for split, own in left_out.items() if own.count}
    remarks = [*reader.remarks, *_bad_remarks(bad, read), *split_remarks(small), *few_remarks]
    if not read.get("dev"):
        share = config.selection.dev_share
        remarks.append(f"no dev split in the data: it is {share:.0%} of train, set aside by text")
    return Examples(
        title=title,
        kind=kinds.build(reader.kind),
        splits=small,
        labels=label_names(splits),
        remarks=tuple(remarks),
        fingerprint=_fingerprint(splits),
        subtasks=tuple(
            Subtask(of_subtask, _places(small, beginning), _fingerprint_of(splits, beginning))
            for of_subtask, beginning in subtasks.items()
        ),
        bad=bad,
        carved=not read.get("dev"),
    )


def _bad_remarks(bad: Mapping[str, BadRecords], read: Mapping[str, Any]) -> Iterator[str]:
    for split, own in bad.items():
        scored = f"; scores of {split} are over the other {len(read[split]):,}" if split != "train" else ""
        yield f"left out of {split}: {counted(own.count, 'record')} that cannot be read{scored}"


def _fingerprint(splits: Mapping[str, list[Any]]) -> str:
    return hashlib.blake2b(canonical(splits).encode(), digest_size=8).hexdigest()


def _places(splits: Mapping[str, list[Any]], beginning: str) -> dict[str, tuple[int, ...]]:
    """The places of the examples whose names begin so."""
    places = {
        split: tuple(at for at, example in enumerate(examples) if example.name.startswith(beginning))
        for split, examples in splits.items()
    }
    return {split: own for split, own in places.items() if own}


def _fingerprint_of(splits: Mapping[str, list[Any]], beginning: str) -> str:
    """The fingerprint of a subtask's examples, under the names that they have where they are read alone."""
    alone = {
        split: [splits[split][at]._replace(name=splits[split][at].name.removeprefix(beginning)) for at in own]
        for split, own in _places(splits, beginning).items()
    }
    return _fingerprint(alone)


def _title(config: FinetuneConfig) -> str:
    name, settings = named(config.task)
    if "corpus" in settings:
        return f"{name}_{settings['corpus']}".lower()
    if "train" not in settings:
        return name
    return str(settings.get("title") or f"{name}_{named_after(Path(settings['train']))}")
