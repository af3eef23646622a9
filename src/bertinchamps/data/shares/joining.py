"""The last task: all shares in one corpus."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bertinchamps.data.building import MANIFEST, keep_private
from bertinchamps.data.checksums import Sums
from bertinchamps.data.cleaning.counts import Count, dropped
from bertinchamps.data.cleaning.stages import Stage, stages
from bertinchamps.data.progress import SPLITS
from bertinchamps.data.shares.work import Task, Work, count_of, damaged, sealed, stages_of
from bertinchamps.durable import write_sealed

COPIED_AT_ONCE = 1 << 24  # bytes


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
        manifests = [sealed(share / MANIFEST) for share in shares]
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
        steps = [count_of(node) for stage in stages(self.work.config.cleaning) for node in _nodes(stage)]
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
        for number in range(len(stages_of(self.work.config)) - 1):
            found += sealed(self.work.folder / f"texts-{number}" / f"{rank}.json")["counts"]
        found += sealed(self.work.folder / "shares" / str(rank) / "counts.json")["counts"]
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
                raise damaged(part)
    return sums


def _nodes(stage: Stage) -> list[str]:
    return [*stage.functions, *([stage.comparing] if stage.comparing else [])]
