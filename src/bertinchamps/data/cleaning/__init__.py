"""Optional cleaning steps between a source and the tokenizer, each counting what it drops and mends.

A step is a builder in this registry. `cleaning=[{name: length, least: 200}]` turns one on. There are two kinds:

- a function of one text, which gives the text to go on with, or why the document is dropped;
- a `Comparing` step, which looks at each text by itself and then decides in the order of the documents.

What is done to a text by itself is done by several processes; the result is the same for any number of them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast, runtime_checkable

from bertinchamps.contract import Document
from bertinchamps.data.held_out import numbered
from bertinchamps.data.workers import serve_parent
from bertinchamps.fingerprints import canonical
from bertinchamps.registry import Registry
from bertinchamps.schemas import named

CHARACTERS_OF_A_PART = 100_000  # handed to a process together
CHARACTERS_AT_ONCE = 4_000_000  # cleaned or tokenised together: enough for all cores, little enough to hold
DOCUMENTS_AT_ONCE = 4_096
ALONE = 8_000_000  # characters that one process cleans before others start: a small corpus is done by then

Documents = Iterator[Document]


class Dropped(NamedTuple):
    """Why a document is left out."""

    reason: str


Outcome = str | Dropped
TextStep = Callable[[str], Outcome]


@runtime_checkable
class Comparing(Protocol):
    """A step that compares documents with those before them."""

    def look(self, text: str) -> Any:
        """What has to be known of a text to decide; a pure function, which other processes call."""

    def decide(self, looks: Sequence[Any]) -> list[Any]:
        """A decision for each document, in order, given all those decided on before."""

    def apply(self, text: str, decision: Any) -> Outcome:
        """What becomes of the text; a pure function."""

    def save(self, folder: Path) -> None:
        """Write down all that was seen."""

    def load(self, folder: Path) -> None:
        """Go on from what was saved."""


Step = TextStep | Comparing
steps: Registry[Step] = Registry("cleaning step", "cleaning", package=__name__)


class Trace(NamedTuple):
    """What a step did to one document.

    Attributes:
        characters: that it had.
        outcome: characters that it has now, or the reason why it was dropped.
        mended: it was changed.
    """

    characters: int
    outcome: int | str
    mended: bool

    @classmethod
    def of(cls, text: str, outcome: Outcome) -> Trace:
        """What became of a text."""
        if isinstance(outcome, Dropped):
            return cls(len(text), outcome.reason, mended=False)
        return cls(len(text), len(outcome), mended=outcome != text)


@dataclass
class Count:
    """What a step did.

    Attributes:
        step: its name.
        documents_in: documents read.
        characters_in: their characters.
        documents_out: documents passed on.
        characters_out: their characters.
        dropped: documents left out, by reason.
        mended: documents changed.
    """

    step: str
    documents_in: int = 0
    characters_in: int = 0
    documents_out: int = 0
    characters_out: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    mended: int = 0

    def add(self, trace: Trace) -> None:
        """Count a document."""
        self.documents_in += 1
        self.characters_in += trace.characters
        if isinstance(trace.outcome, str):
            self.dropped[trace.outcome] += 1
        else:
            self.documents_out += 1
            self.characters_out += trace.outcome
            self.mended += trace.mended

    def join(self, other: Count) -> None:
        """Add what the same step did to other documents."""
        self.documents_in += other.documents_in
        self.characters_in += other.characters_in
        self.documents_out += other.documents_out
        self.characters_out += other.characters_out
        self.dropped += other.dropped
        self.mended += other.mended

    def facts(self) -> dict[str, Any]:
        """All of it as JSON has it."""
        return {**asdict(self), "dropped": dict(self.dropped)}

    @classmethod
    def of(cls, facts: dict[str, Any]) -> Count:
        """The count whose facts these are."""
        return cls(**{**facts, "dropped": Counter(facts["dropped"])})


class Stage(NamedTuple):
    """Steps that look at texts by themselves, and the comparing step that they lead to, if any."""

    functions: tuple[str, ...]  # nodes as canonical JSON: what a process needs to build them
    comparing: str | None


class Passage(NamedTuple):
    """What the functions of a stage made of a text.

    Attributes:
        text: what remains of it; empty if it was dropped.
        traces: of each step that it went through.
        look: what the comparing step saw.
    """

    text: str
    traces: list[Trace]
    look: Any

    @property
    def dropped(self) -> bool:
        return bool(self.traces) and isinstance(self.traces[-1].outcome, str)

    def add_to(self, counts: Sequence[Count]) -> None:
        """Count the document with each step that it went through: where it was dropped, the rest have not seen it."""
        for count, trace in zip(counts, self.traces, strict=False):
            count.add(trace)


def stages(nodes: Sequence[dict[str, Any]]) -> list[Stage]:
    """The configured steps, cut behind each comparing one."""
    found: list[Stage] = []
    functions: list[str] = []
    for node in nodes:
        text = canonical(node)
        if isinstance(built(text), Comparing):
            found.append(Stage(tuple(functions), text))
            functions = []
        else:
            functions.append(text)
    return [*found, Stage(tuple(functions), None)] if functions else found


def compares(nodes: Iterable[dict[str, Any]]) -> list[str]:
    """Names of the comparing steps among these."""
    return [node["name"] for node in nodes if isinstance(built(canonical(node)), Comparing)]


def passages(stage: Stage, texts: Sequence[str]) -> list[Passage]:
    """The texts after a stage's functions, with the looks of its comparing step. Other processes call it."""
    functions = [built(node) for node in stage.functions]
    comparing = None if stage.comparing is None else built(stage.comparing)
    return [_passage(functions, comparing, text) for text in texts]


def _passage(functions: Sequence[Any], comparing: Any, text: str) -> Passage:
    traces: list[Trace] = []
    for function in functions:
        outcome = function(text)
        traces.append(Trace.of(text, outcome))
        if isinstance(outcome, Dropped):
            return Passage("", traces, None)
        text = outcome
    return Passage(text, traces, comparing.look(text) if comparing else None)


@lru_cache(maxsize=64)
def built(node: str) -> Step:
    """The step of a node, for its looks and functions, which keep nothing: one for all who ask."""
    return fresh(node)


def fresh(node: str) -> Step:
    """The step of a node, which has seen nothing yet."""
    name, settings = named(json.loads(node))
    return steps.build(name, **settings)


class Cleaner:
    """Applies the configured steps, in order, to documents that come in groups.

    Args:
        nodes: `{name, **settings}` of each step.
        processes: how many share the work that is done to each text by itself.
    """

    def __init__(self, nodes: Sequence[dict[str, Any]], processes: int = 1) -> None:
        self.counts = [Count(named(node)[0]) for node in nodes]
        self._stages = stages(nodes)
        self._comparing = [
            None if stage.comparing is None else cast(Comparing, fresh(stage.comparing))
            for stage in self._stages
        ]
        self._processes, self._seen = processes, 0
        self._pool: Executor | None = None

    def clean(self, group: list[Document]) -> list[Document]:
        """What remains of a group of documents."""
        if self._stages:
            group = [numbered(document) for document in group]
        self._seen += sum(len(document.text) for document in group)
        counts = iter(self.counts)
        for stage, comparing in zip(self._stages, self._comparing, strict=True):
            group = self._passed(stage, comparing, group, counts)
        return group

    def _passed(
        self,
        stage: Stage,
        comparing: Comparing | None,
        group: list[Document],
        counts: Iterator[Count],
    ) -> list[Document]:
        passed = self._passages(stage, [document.text for document in group])
        own = [next(counts) for _ in stage.functions]
        for passage in passed:
            passage.add_to(own)
        remaining = [
            (document, passage)
            for document, passage in zip(group, passed, strict=True)
            if not passage.dropped
        ]
        if comparing is None:
            return [document._replace(text=passage.text) for document, passage in remaining]
        count = next(counts)
        kept = []
        decisions = comparing.decide([passage.look for _, passage in remaining])
        for (document, passage), decision in zip(remaining, decisions, strict=True):
            outcome = comparing.apply(passage.text, decision)
            count.add(Trace.of(passage.text, outcome))
            if not isinstance(outcome, Dropped):
                kept.append(document._replace(text=outcome))
        return kept

    def _passages(self, stage: Stage, texts: list[str]) -> list[Passage]:
        if self._processes > 1 and self._pool is None and self._seen > ALONE and self._stages:
            self._pool = ProcessPoolExecutor(self._processes, get_context("spawn"), serve_parent)
        if self._pool is None:
            return passages(stage, texts)
        parts = _parts(texts)
        done = self._pool.map(passages, [stage] * len(parts), parts)
        return [passage for part in done for passage in part]

    def save(self, folder: Path) -> None:
        """Write down what the comparing steps have seen; the counts are the caller's to keep."""
        for number, comparing in enumerate(self._comparing):
            if comparing is not None:
                (folder / str(number)).mkdir(parents=True, exist_ok=True)
                comparing.save(folder / str(number))

    def load(self, folder: Path) -> None:
        """Go on from what was saved."""
        for number, comparing in enumerate(self._comparing):
            if comparing is not None:
                comparing.load(folder / str(number))

    def __enter__(self) -> Cleaner:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


def clean(
    documents: Documents, nodes: Sequence[dict[str, Any]], processes: int = 1
) -> tuple[Documents, list[Count]]:
    """Apply the configured steps, in order, to a stream.

    Returns:
        What remains, as a stream, and a count for each step that grows as the stream is read.
    """
    cleaner = Cleaner(nodes, processes)

    def remaining() -> Documents:
        with cleaner:
            for group in groups(documents):
                yield from cleaner.clean(group)

    return (remaining() if nodes else documents), cleaner.counts


def _parts(texts: list[str]) -> list[list[str]]:
    """The texts in lists of about CHARACTERS_OF_A_PART characters, which documents of any length share evenly."""
    parts: list[list[str]] = []
    room = 0
    for text in texts:
        if room <= 0:
            parts.append([])
            room = CHARACTERS_OF_A_PART
        parts[-1].append(text)
        room -= len(text) + 100  # a document costs something, however short
    return parts


def groups(documents: Documents) -> Iterator[list[Document]]:
    """The documents in groups of about CHARACTERS_AT_ONCE characters, and at most DOCUMENTS_AT_ONCE documents."""
    group: list[Document] = []
    characters = 0
    for document in documents:
        group.append(document)
        characters += len(document.text)
        if characters >= CHARACTERS_AT_ONCE or len(group) >= DOCUMENTS_AT_ONCE:
            yield group
            group, characters = [], 0
    if group:
        yield group


def dropped(counts: Sequence[Count]) -> Counter[str]:
    """Documents that the steps left out, by reason."""
    return sum((count.dropped for count in counts), Counter[str]())


def cleaning_problems(nodes: object) -> list[str]:
    """Mistakes in the cleaning steps, in the user's key names."""
    if not isinstance(nodes, list) or not all(isinstance(node, dict) for node in nodes):
        return ["cleaning: a list of steps, such as [{name: length, least: 200}, {name: french}]"]
    return [problem for node in nodes for problem in steps.problems(*named(node))]
