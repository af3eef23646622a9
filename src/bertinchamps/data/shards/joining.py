"""The last task: all shards in one corpus."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bertinchamps.data.building import MANIFEST, keep_private
from bertinchamps.data.checksums import Sums
from bertinchamps.data.cleaning.counts import Count, dropped
from bertinchamps.data.cleaning.overlap import overlap_facts
from bertinchamps.data.cleaning.stages import Stage, stages
from bertinchamps.data.progress import SPLITS
from bertinchamps.data.shards.work import Task, Work, count_of, damaged, sealed, stages_of
from bertinchamps.durable import write_sealed

COPIED_AT_ONCE = 1 << 24  # bytes


class Join(Task):
    """Joins all shards into one corpus, and removes what lay between the stages: one task."""

    def __init__(self, work: Work, target: Path, shards: int) -> None:
        super().__init__(work)
        self._target, self._shards = target, shards

    def run(self, rank: int, world_size: int) -> None:
        folder, shards = (
            self.work.folder / "corpus",
            [self.work.folder / "shares" / str(n) for n in range(self._shards)],
        )
        folder.mkdir(exist_ok=True, mode=0o700)
        manifests = [sealed(shard / MANIFEST) for shard in shards]
        checksums = {}
        for split in SPLITS:
            parts = {
                s / f"{split}.bin": m["checksums"][split] for s, m in zip(shards, manifests, strict=True)
            }
            checksums[split] = _joined(parts, folder / f"{split}.bin").write(folder / f"{split}.sums")
        write_sealed(folder / MANIFEST, {**self._manifest(manifests), "checksums": checksums})
        if not self._target.is_dir():
            keep_private(folder)
            folder.rename(self._target)
        for left in self.work.folder.iterdir():
            if left.is_dir() and left.name != "logs":  # this task's own among them
                shutil.rmtree(left)

    def _manifest(self, shards: list[dict[str, Any]]) -> dict[str, Any]:
        steps = [count_of(node) for stage in stages(self.work.config.cleaning) for node in _nodes(stage)]
        for rank in range(self._shards):
            for step, facts in zip(steps, self._counts_of(rank, shards[rank]), strict=True):
                step.join(Count.of(facts))
        counts = {
            split: {key: sum(shard[split][key] for shard in shards) for key in ("documents", "tokens")}
            for split in SPLITS
        }
        out_of_training = sum((Counter(shard["out_of_training"]) for shard in shards), Counter[str]())
        return {
            **counts,
            **{key: value for key, value in shards[0].items() if key == "dtype"},
            "characters": sum(shard["characters"] for shard in shards),
            "held_out_characters": _total([shard.get("held_out_characters") for shard in shards]),
            "cleaning": [step.facts() for step in steps],
            "dropped": dict(dropped(steps) + out_of_training),
            "out_of_training": dict(out_of_training),
            **overlap_facts(self.work.config.cleaning, steps),
            "seconds": round(sum(shard["seconds"] for shard in shards), 2),
            "shaped_by": self.work.facts,
        }

    def _counts_of(self, rank: int, shard: dict[str, Any]) -> list[dict[str, Any]]:
        """The counts of all steps on one shard, in the order of the steps."""
        found: list[dict[str, Any]] = []
        for number in range(len(stages_of(self.work.config)) - 1):
            found += sealed(self.work.folder / f"texts-{number}" / f"{rank}.json")["counts"]
        found += sealed(self.work.folder / "shares" / str(rank) / "counts.json")["counts"]
        return [*found, *shard["cleaning"]]


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
                raise damaged(part)
    return sums


def _total(counts: list[int | None]) -> int | None:
    """The sum; None: something was not counted, as by earlier versions."""
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _nodes(stage: Stage) -> list[str]:
    return [*stage.functions, *([stage.comparing] if stage.comparing else [])]
