"""The tasks of a preparation in shards, in the order in which they are done."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

from bertinchamps.data.cleaning import Comparing
from bertinchamps.data.cleaning.cleaner import groups
from bertinchamps.data.cleaning.stages import Stage, fresh, passages
from bertinchamps.data.held_out import number_of
from bertinchamps.data.shards.joining import Join
from bertinchamps.data.shards.remaining import Remaining
from bertinchamps.data.shards.work import Task, Work, count_of, stages_of, values
from bertinchamps.data.tokenising import Pass
from bertinchamps.data.tokenizer import open_tokenizer
from bertinchamps.durable import write_sealed
from bertinchamps.textfiles.packed_lines import PackedLines

LOOKS_AT_ONCE = 4_096


def tasks_of(work: Work, target: Path, shards: int) -> Iterator[tuple[str, Task, int]]:
    """Each task with its name and its number of shards, in the order in which they are done."""
    *comparing, last = stages_of(work.config)
    for number, stage in enumerate(comparing):
        yield f"look-{number}", Look(work, number, stage), shards
        yield f"decide-{number}", Decide(work, number, stage, shards), 1
    yield "tokenise", Tokenise(work, len(comparing), last), shards
    yield "join", Join(work, target, shards), 1


class Look(Task):
    """Applies the functions of a stage to a shard, and computes the looks of its comparing step."""

    def __init__(self, work: Work, number: int, stage: Stage) -> None:
        super().__init__(work)
        self._number, self._stage = number, stage

    def run(self, rank: int, world_size: int) -> None:
        remaining = Remaining(self.work, self._number, rank, world_size)
        counts = [count_of(node) for node in self._stage.functions]
        with (
            PackedLines(self.work.folder / f"texts-{self._number}" / str(rank)) as texts,
            PackedLines(self.work.folder / f"looks-{self._number}" / str(rank)) as looks,
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
    """Decides for a comparing step on all documents, in order: one task."""

    def __init__(self, work: Work, number: int, stage: Stage, shards: int) -> None:
        super().__init__(work)
        self._number, self._stage, self._shards = number, stage, shards

    def run(self, rank: int, world_size: int) -> None:
        step = cast(Comparing, fresh(str(self._stage.comparing)))
        for shard in range(self._shards):
            looks = values(self.work.folder / f"looks-{self._number}" / str(shard))
            with PackedLines(self.work.folder / f"decisions-{self._number}" / str(shard)) as decisions:
                while some := list(itertools.islice(looks, LOOKS_AT_ONCE)):
                    for decision in step.decide(some):
                        decisions.write(decision)


class Tokenise(Task):
    """Applies the last functions to a shard, and writes its tokens."""

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


def _silent(message: str) -> None:
    """The log of a task has no progress."""
