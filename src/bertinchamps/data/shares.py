"""The tasks of a preparation in shares: what is done to texts by themselves in parallel, decisions in order.

    FOLDER/texts-K/ looks-K/   behind the functions of stage K: what remains, and what its comparing step saw
           decisions-K/        of that step
           shares/RANK/        tokens and counts, as `tokenising.py` writes them
           corpus/             all of them joined; moved to its name

A share is a contiguous part of the source, so what the tasks write one after the other is what one machine writes.
Texts between the stages are their owner's alone to read, and are removed at the end.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import shutil
import socket
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

from bertinchamps.contract import Document, Place, Source
from bertinchamps.data.building import MANIFEST, keep_private
from bertinchamps.data.checksums import Sums
from bertinchamps.data.cleaning import (
    Comparing,
    Count,
    Dropped,
    Stage,
    Trace,
    built,
    dropped,
    fresh,
    groups,
    passages,
    stages,
)
from bertinchamps.data.held_out import number_of
from bertinchamps.data.progress import SPLITS
from bertinchamps.data.sources.readers_bytes import decompressed
from bertinchamps.data.tokenising import Pass
from bertinchamps.data.tokenizer import open_tokenizer
from bertinchamps.durable import read_sealed, write_sealed
from bertinchamps.errors import UserError
from bertinchamps.schemas import PrepareConfig, named

LOOKS_AT_ONCE = 4_096
COPIED_AT_ONCE = 1 << 24  # bytes


@runtime_checkable
class Divisible(Protocol):
    """A source of which tasks can read shares."""

    def share(self, rank: int, of: int) -> Iterator[Document]:
        """The documents of one of so many contiguous shares."""


@dataclass(frozen=True)
class Work:
    """What every task has to know.

    Attributes:
        folder: of the whole work, seen by all machines.
        source: checked; it knows which files or which commit the fingerprint names.
        config: cleaning, share held out, densest document.
        tokenizer_folder: seen by all machines.
        facts: what shaped the corpus.
    """

    folder: Path
    source: Source
    config: PrepareConfig
    tokenizer_folder: Path
    facts: dict[str, Any]


def tasks_of(work: Work, target: Path, shares: int) -> Iterator[tuple[str, Task, int]]:
    """Each task with its name and how many share it, in the order in which they are done."""
    *comparing, last = _cut(work.config)
    for number, stage in enumerate(comparing):
        yield f"look-{number}", Look(work, number, stage), shares
        yield f"decide-{number}", Decide(work, number, stage, shares), 1
    yield "tokenise", Tokenise(work, len(comparing), last), shares
    yield "join", Join(work, target, shares), 1


def _cut(config: PrepareConfig) -> list[Stage]:
    """The stages; the last one has no comparing step, and may have nothing at all to do."""
    found = stages(config.cleaning)
    return found if found and found[-1].comparing is None else [*found, Stage((), None)]


class Task:
    """A task of datatrove, which says why it failed where the user will look."""

    def __init__(self, work: Work) -> None:
        self.work = work

    def __call__(self, data: Any, rank: int, world_size: int) -> None:
        del data
        problem = self.work.folder / f"problem-{type(self).__name__}-{rank}"
        problem.unlink(missing_ok=True)
        try:
            self.run(rank, world_size)
        except Exception as error:
            said = str(error) if isinstance(error, UserError) else type(error).__name__
            if isinstance(error, OSError) and error.strerror:
                said += f" ({error.strerror})"
            problem.write_text(said, encoding="utf-8")
        if problem.exists():  # raised here, where nothing at hand holds a text
            raise RuntimeError(problem.read_text(encoding="utf-8"))

    def run(self, rank: int, world_size: int) -> None:
        raise NotImplementedError

    def __repr__(self) -> str:  # for the logs
        return type(self).__name__


class Look(Task):
    """The functions of a stage on a share, and the looks of its comparing step."""

    def __init__(self, work: Work, number: int, stage: Stage) -> None:
        super().__init__(work)
        self._number, self._stage = number, stage

    def run(self, rank: int, world_size: int) -> None:
        remaining = Remaining(self.work, self._number, rank, world_size)
        counts = [_count(node) for node in self._stage.functions]
        with (
            Lines(self.work.folder / f"texts-{self._number}" / str(rank)) as texts,
            Lines(self.work.folder / f"looks-{self._number}" / str(rank)) as looks,
        ):
            for group in groups(remaining.documents()):
                found = passages(self._stage, [document.text for document in group])
                for document, passage in zip(group, found, strict=True):
                    passage.add_to(counts)
                    if not passage.dropped:
                        texts.write([document.name, number_of(document), passage.text])
                        looks.write(passage.look)
        counted = [*remaining.counts, *counts]
        write_sealed(
            self.work.folder / f"texts-{self._number}" / f"{rank}.json",
            {"counts": [c.facts() for c in counted]},
        )


class Decide(Task):
    """What a comparing step decides on all documents, in order: one task."""

    def __init__(self, work: Work, number: int, stage: Stage, shares: int) -> None:
        super().__init__(work)
        self._number, self._stage, self._shares = number, stage, shares

    def run(self, rank: int, world_size: int) -> None:
        step = cast(Comparing, fresh(str(self._stage.comparing)))
        for share in range(self._shares):
            looks = _read(self.work.folder / f"looks-{self._number}" / str(share))
            with Lines(self.work.folder / f"decisions-{self._number}" / str(share)) as decisions:
                while some := list(itertools.islice(looks, LOOKS_AT_ONCE)):
                    for decision in step.decide(some):
                        decisions.write(decision)


class Remaining:
    """What remains of a share in front of a stage: a source for one task.

    Args:
        work: what to do.
        number: of the stage.
        rank: of the share.
        of: shares in all.

    Attributes:
        counts: of the comparing step before this stage, once all documents are read.
    """

    def __init__(self, work: Work, number: int, rank: int, of: int) -> None:
        self._work, self._number, self._rank, self._of = work, number, rank, of
        self.counts: list[Count] = []

    def documents(self, after: Place | None = None) -> Iterator[Document]:
        """The documents, numbered by their places."""
        documents = (
            self._decided()
            if self._number
            else cast(Divisible, self._work.source).share(self._rank, self._of)
        )
        numbered = (document._replace(place=place) for place, document in enumerate(documents, start=1))
        return itertools.islice(numbered, cast(int, after or 0), None)

    def _decided(self) -> Iterator[Document]:
        before, rank = self._number - 1, str(self._rank)
        node = str(_cut(self._work.config)[before].comparing)
        step, count = cast(Comparing, built(node)), _count(node)
        self.counts = [count]
        texts = _read(self._work.folder / f"texts-{before}" / rank)
        decisions = _read(self._work.folder / f"decisions-{before}" / rank)
        for (name, number, text), decision in zip(texts, decisions, strict=True):
            outcome = step.apply(text, decision)
            count.add(Trace.of(text, outcome))
            if not isinstance(outcome, Dropped):
                yield Document(outcome, name, number=number)

    def check(self) -> None:
        """Checked before the work was divided."""

    def fingerprint(self, quick: bool = False) -> Mapping[str, object]:
        """Part of the whole, which has one."""
        return self._work.source.fingerprint(quick)

    def held_out(self) -> Iterator[Document] | None:
        """The user's own, of which every share must know."""
        return self._work.source.held_out()

    def sample(self, characters: int) -> Iterator[Document]:
        """The tokenizer was trained before."""
        return self._work.source.sample(characters)


class Tokenise(Task):
    """The last functions on a share, and its tokens."""

    def __init__(self, work: Work, number: int, stage: Stage) -> None:
        super().__init__(work)
        self._number, self._stage = number, stage

    def run(self, rank: int, world_size: int) -> None:
        whole = self.work.folder / "shares" / str(rank)
        folder = whole.with_name(f".{rank}.{socket.gethostname()}.{os.getpid()}.unfinished")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        source = Remaining(self.work, self._number, rank, world_size)
        config = replace(self.work.config, cleaning=[json.loads(node) for node in self._stage.functions])
        tokenizer = open_tokenizer(self.work.tokenizer_folder)
        last = rank == world_size - 1
        Pass(folder, source, config, tokenizer, 1, _silent, own_held_out=last).run(self.work.facts)
        write_sealed(folder / "counts.json", {"counts": [count.facts() for count in source.counts]})
        shutil.rmtree(whole, ignore_errors=True)
        folder.rename(whole)


class Join(Task):
    """All shares in one corpus, and nothing left of what was between: one task."""

    def __init__(self, work: Work, target: Path, shares: int) -> None:
        super().__init__(work)
        self._target, self._shares = target, shares

    def run(self, rank: int, world_size: int) -> None:
        folder, shares = (
            self.work.folder / "corpus",
            [self.work.folder / "shares" / str(n) for n in range(self._shares)],
        )
        folder.mkdir(exist_ok=True, mode=0o700)
        manifests = [_json(share / MANIFEST) for share in shares]
        checksums = {}
        for split in SPLITS:
            parts = {
                s / f"{split}.bin": m["checksums"][split] for s, m in zip(shares, manifests, strict=True)
            }
            checksums[split] = _joined(parts, folder / f"{split}.bin").write(folder / f"{split}.sums")
        write_sealed(folder / MANIFEST, {**self._manifest(manifests), "checksums": checksums})
        if not self._target.is_dir():
            keep_private(folder)
            folder.rename(self._target)
        for left in self.work.folder.iterdir():
            if left.is_dir() and left.name != "logs":  # this task's own among them
                shutil.rmtree(left)

    def _manifest(self, shares: list[dict[str, Any]]) -> dict[str, Any]:
        steps = [_count(node) for stage in stages(self.work.config.cleaning) for node in _nodes(stage)]
        for rank in range(self._shares):
            for step, facts in zip(steps, self._counts_of(rank, shares[rank]), strict=True):
                step.join(Count.of(facts))
        counts = {
            split: {key: sum(share[split][key] for share in shares) for key in ("documents", "tokens")}
            for split in SPLITS
        }
        out_of_training = sum((Counter(share["out_of_training"]) for share in shares), Counter[str]())
        return {
            **counts,
            "characters": sum(share["characters"] for share in shares),
            "cleaning": [step.facts() for step in steps],
            "dropped": dict(dropped(steps) + out_of_training),
            "out_of_training": dict(out_of_training),
            "seconds": round(sum(share["seconds"] for share in shares), 2),
            "shaped_by": self.work.facts,
        }

    def _counts_of(self, rank: int, share: dict[str, Any]) -> list[dict[str, Any]]:
        """The counts of all steps on one share, in the order of the steps."""
        found: list[dict[str, Any]] = []
        for number in range(len(_cut(self.work.config)) - 1):
            found += _json(self.work.folder / f"texts-{number}" / f"{rank}.json")["counts"]
        found += _json(self.work.folder / "shares" / str(rank) / "counts.json")["counts"]
        return [*found, *share["cleaning"]]


def _joined(parts: Mapping[Path, str], whole: Path) -> Sums:
    """Write files of tokens one after the other into a whole.

    Args:
        parts: each with the digest of its checksums.
        whole: to be written.

    Raises:
        UserError: a part is not as it was written.
    """
    sums = Sums()
    with whole.open("wb") as target:
        for part, digest in parts.items():
            of_part = Sums()
            with part.open("rb") as stream:
                while chunk := stream.read(COPIED_AT_ONCE):
                    target.write(chunk)
                    of_part.add(chunk)
                    sums.add(chunk)
            if of_part.digest() != digest:
                raise _damaged(part)
    return sums


def _nodes(stage: Stage) -> list[str]:
    return [*stage.functions, *([stage.comparing] if stage.comparing else [])]


def _count(node: str) -> Count:
    return Count(named(json.loads(node))[0])


def _silent(message: str) -> None:
    """A task's log need not have every step of the way."""


class Lines:
    """Writes values as lines of JSON, compressed; the file has its name when it is whole."""

    def __init__(self, file: Path) -> None:
        import zstandard

        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file, self._unfinished = file, file.with_name(f".{file.name}.unfinished")
        checked = zstandard.ZstdCompressor(write_checksum=True)
        self._stream = zstandard.open(self._unfinished, "wt", cctx=checked, encoding="utf-8")

    def write(self, value: object) -> None:
        self._stream.write(json.dumps(value, ensure_ascii=False) + "\n")

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stream.close()
        if kind is None:
            self._unfinished.replace(self._file)


def _read(file: Path) -> Iterator[Any]:
    """The values of a file of lines.

    Raises:
        UserError: it is not as it was written.
    """
    try:
        with file.open("rb") as stream:
            for line in io.TextIOWrapper(decompressed(stream, ".zst"), encoding="utf-8", newline="\n"):
                yield json.loads(line)
    except (EOFError, ValueError):
        raise _damaged(file) from None


def _json(file: Path) -> dict[str, Any]:
    try:
        return read_sealed(file)
    except ValueError:
        raise _damaged(file) from None


def _damaged(file: Path) -> UserError:
    work = next(parent for parent in file.parents if ".cluster-" in parent.name)
    return UserError(f"{file} is damaged; delete {work}, and the same command begins anew")
