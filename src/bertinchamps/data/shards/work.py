"""What every task of a preparation in shards has to know, and how a task reads what others wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from bertinchamps.contract import Document, Source
from bertinchamps.data.cleaning.counts import Count
from bertinchamps.data.cleaning.stages import Stage, stages
from bertinchamps.durable import read_sealed
from bertinchamps.errors import UserError
from bertinchamps.schemas import PrepareConfig, named
from bertinchamps.textfiles import packed_lines


@runtime_checkable
class Divisible(Protocol):
    """A source of which tasks can read shards."""

    def shard(self, rank: int, world_size: int) -> Iterator[Document]:
        """The documents of shard `rank`, of `world_size` contiguous shards."""


@dataclass(frozen=True)
class Work:
    """What every task has to know.

    Attributes:
        folder: of the whole work; all machines see it.
        source: checked; its files or its commit are those of the fingerprint.
        config: cleaning, share held out, densest document.
        tokenizer_folder: all machines see it.
        facts: what shaped the corpus.
    """

    folder: Path
    source: Source
    config: PrepareConfig
    tokenizer_folder: Path
    facts: dict[str, Any]


class Task:
    """A task of datatrove that writes why it failed where the user will look."""

    def __init__(self, work: Work) -> None:
        self.work = work

    def __call__(self, data: Any, rank: int, world_size: int) -> None:
        del data
        problem = self.work.folder / f"problem-{type(self).__name__}-{rank}"
        problem.unlink(missing_ok=True)
        try:
            self.run(rank, world_size)
        except Exception as error:
            report = str(error) if isinstance(error, UserError) else type(error).__name__
            if isinstance(error, OSError) and error.strerror:
                report += f" ({error.strerror})"
            problem.write_text(report, encoding="utf-8")
        if problem.exists():  # raised here, where nothing at hand holds a text
            raise RuntimeError(problem.read_text(encoding="utf-8"))

    def run(self, rank: int, world_size: int) -> None:
        raise NotImplementedError

    def __repr__(self) -> str:  # for the logs
        return type(self).__name__


def stages_of(config: PrepareConfig) -> list[Stage]:
    """The stages; the last one has no comparing step, and may have nothing at all to do."""
    found = stages(config.cleaning)
    return found if found and found[-1].comparing is None else [*found, Stage((), None)]


def count_of(node: str) -> Count:
    """A count of nothing yet, for the step of a node."""
    return Count(named(json.loads(node))[0])


def values(file: Path) -> Iterator[Any]:
    """The values of a file of packed lines.

    Raises:
        UserError: the file is not as it was written.
    """
    try:
        yield from packed_lines.read(file)
    except (EOFError, ValueError):
        raise damaged(file) from None


def sealed(file: Path) -> dict[str, Any]:
    """The JSON of a sealed file.

    Raises:
        UserError: the file is not as it was written.
    """
    try:
        return read_sealed(file)
    except ValueError:
        raise damaged(file) from None


def damaged(file: Path) -> UserError:
    """The message for a file of the work that the disk, or somebody, altered."""
    work = next(parent for parent in file.parents if ".cluster-" in parent.name)
    return UserError(f"{file} is damaged; delete {work}, and the same command begins anew")
