"""The types that all packages share: batches, tasks, sources and records of examples.

Masked language modelling and token classification have the same interface (batches, loss, evaluation), so the engine
in `training/` knows only these types.
Shape legend: B batch (rows), S sequence (tokens a row), H hidden, V vocabulary, M targets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:  # torch takes a second to import, and this file is needed before any tensor is
    import torch


Place = int | list[Any] | dict[str, Any]  # JSON-able: a point in a source from which reading resumes


class Document(NamedTuple):
    """One document of a corpus.

    Attributes:
        text: as the source has it.
        name: may appear in messages, which the text never does.
        place: the point behind the document in the source: `documents(after=place)` gives what follows.
        number: decides whether the document is held out; computed before anything changes the text
            (`data/held_out.py`). Sources do not set it.
    """

    text: str
    name: str
    place: Place | None = None
    number: int | None = None


class Entity(NamedTuple):
    """A labelled part of a text.

    Attributes:
        label: its type, such as "DISO".
        fragments: half-open character ranges (start, end) in the text, in order and apart from each other;
            more than one where the entity is discontinuous.
    """

    label: str
    fragments: tuple[tuple[int, int], ...]

    @property
    def start(self) -> int:
        """Where its first fragment begins."""
        return self.fragments[0][0]

    @property
    def end(self) -> int:
        """Where its last fragment ends."""
        return self.fragments[-1][1]


class AnnotatedText(NamedTuple):
    """A document with its entities.

    Attributes:
        name: of the files of predictions; unique in its split. The name may be an id from the user's file, so
            messages give file and line instead.
        text: as it was read, unchanged: offsets count its characters (code points).
        entities: all of them, nested and discontinuous ones included, in the order of `sorted`.
        words: half-open ranges (start, end) of words, where the file has words; the text is one sentence then. None:
            sentences and words are found in the text.
        confidences: of predicted entities, in the order of `entities`, from 0 to 1; None for gold entities.
    """

    name: str
    text: str
    entities: tuple[Entity, ...]
    words: tuple[tuple[int, int], ...] | None = None
    confidences: tuple[float, ...] | None = None

    def by_place(self) -> list[tuple[Entity, float | None]]:
        """The entities in the order of the text, each with its confidence."""
        confidences = self.confidences or (None,) * len(self.entities)
        pairs = zip(self.entities, confidences, strict=True)
        return sorted(pairs, key=lambda pair: (pair[0].start, pair[0].end, pair[0].label))


class Relation(NamedTuple):
    """A labelled, directed link between two entities of a document.

    Attributes:
        label: its type, such as "PERTAINS".
        head: where its first argument is among the document's entities.
        tail: where its second argument is among them.
    """

    label: str
    head: int
    tail: int


class RelatedText(NamedTuple):
    """A document with its entities and the relations between them.

    Attributes:
        name: of the files of predictions; unique in its split, as that of an `AnnotatedText`.
        text: as it was read, unchanged.
        entities: all of them, in the order of `sorted`.
        relations: between these entities, in the order of `sorted`.
        confidences: of predicted relations, in the order of `relations`, from 0 to 1; None for gold relations.
    """

    name: str
    text: str
    entities: tuple[Entity, ...]
    relations: tuple[Relation, ...]
    confidences: tuple[float, ...] | None = None


class LabelledText(NamedTuple):
    """A text, or a pair of texts, with the target.

    Attributes:
        name: may appear in messages ("train.csv, line 12"); unique in its split.
        text: the (first) text.
        pair: the second text, or None.
        target: names of classes (one, or any number of a multi-label task), or a number.
    """

    name: str
    text: str
    pair: str | None
    target: tuple[str, ...] | float


SPLITS = ("train", "dev", "test")


class RecordRows(NamedTuple):
    """Whose examples a micro-batch holds, where records are protected (`training/privacy/`).

    Attributes:
        of_rows: the record of each example of the micro-batch, in order.
        targets: of each of these records, how many targets it has in all its micro-batches.
        whole: whether the examples of the last of these records end here.
    """

    of_rows: tuple[int, ...]
    targets: Mapping[int, int]
    whole: bool


@dataclass(frozen=True)
class Batch:
    """One micro-batch, on the host or on the device.

    Attributes:
        inputs: named tensors that the task's `loss` reads, such as `input_ids` of shape [B, S].
        targets: how many targets the loss is summed over. Known on the host, so that normalising
            an update never waits for the device.
        tokens: tokens read, padding included: what budgets and throughput count.
        next_cursor: the cursor behind this batch, in the task's own unit; the whole resume state of the data.
        records: whose examples these are, where records are protected.
    """

    inputs: Mapping[str, torch.Tensor]
    targets: int
    tokens: int
    next_cursor: int
    records: RecordRows | None = None


@dataclass(frozen=True)
class Output:
    """What a task's `loss` returns for one micro-batch.

    Attributes:
        loss_sum: scalar, the loss summed (not averaged) over the batch's targets. The engine divides
            by the targets of the whole update, because a mean of means is wrong as soon as batches
            hold different numbers of targets.
    """

    loss_sum: torch.Tensor


@runtime_checkable
class Source(Protocol):
    """Where documents come from. One file in `data/sources/` and one yaml in `configs/data/`."""

    def check(self) -> None:
        """Raise UserError within seconds if the documents cannot be read (files, network, access)."""

    def fingerprint(self, quick: bool = False) -> Mapping[str, object]:
        """JSON-able facts that change whenever the documents do; a hash of them names the blocks.

        `quick`, for sources too large to be read in advance, may miss a small change that keeps every file's size.
        """

    def documents(self, after: Place | None = None) -> Iterator[Document]:
        """The training documents, in a stable order, one at a time: all of them, or those after a place."""

    def held_out(self) -> Iterator[Document] | None:
        """Documents set aside by the user for evaluation, or None to split off a share by document."""

    def sample(self, characters: int) -> Iterator[Document]:
        """About `characters` characters of training documents, as evenly sampled as is cheap."""


@runtime_checkable
class Reporting(Protocol):
    """A source that reports on a full reading, such as the shares of a mix."""

    def report(self) -> Mapping[str, object]:
        """JSON-able facts of the last full reading, for the corpus' manifest; `dropped` counts by reason."""


@runtime_checkable
class Noting(Protocol):
    """A source whose documents may not be what the user takes them for, such as texts that keep their quotes."""

    def notes(self) -> list[str]:
        """What the beginnings of the documents show, for the user; `check` has passed."""


class Task(Protocol):
    """One learning problem: batches, loss and evaluation. Pretraining and fine-tuning differ by their task."""

    name: str
    predicted_fraction: float  # targets per token, which decides the head's FLOPs

    def epoch_length(self) -> int:
        """Length of one epoch, in the unit of positions."""

    def batches(self, cursor: int, micro_batch: int, rank: int = 0, world_size: int = 1) -> Iterator[Batch]:
        """Endless training micro-batches from a cursor on: micro-batches `rank`, `rank + world_size`, …

        The same cursor gives the same micro-batches. A process does not read those of other ranks.
        """

    def loss(self, model: torch.nn.Module, inputs: Mapping[str, torch.Tensor]) -> Output:
        """The summed loss of one micro-batch on the model's device; may be compiled, so tensors only."""

    def evaluate(self, model: torch.nn.Module) -> dict[str, float]:
        """Scores on held-out data, by name; `loss` is among them."""


@runtime_checkable
class Settles(Protocol):
    """A task with more to decide than weights, such as thresholds."""

    def settle(self, model: torch.nn.Module) -> None:
        """Decide it for the final weights, before they are written."""


@runtime_checkable
class ReadsByProgress(Protocol):
    """A task that reads other data later in the training."""

    def turns_to(self, progress: float) -> bool:
        """Turn to the data of this progress, the same in all processes; true: `batches` gives others from now on."""


@runtime_checkable
class ChangesWithProgress(Protocol):
    """A task whose loss is another one later in the training, such as one with fewer masked tokens."""

    def set_progress(self, progress: float) -> None:
        """The next update is at this progress, the same in all processes."""
