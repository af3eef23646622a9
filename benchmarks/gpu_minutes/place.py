"""Where the stages work, and what differs between a card and a rehearsal."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY")
REHEARSED_TESTS = "BERTINCHAMPS_GPU_REHEARSAL"  # lets the tests of tests/gpu run on the CPU


@dataclass(frozen=True)
class Place:
    """Folders, as absolute paths.

    Attributes:
        root: the checkout.
        out: for what is brought back: at most eight files.
        work: for everything else: runs, models, logs.
        pack: corpus and labelled data.
        rehearsal: on the CPU, with tiny sizes.
    """

    root: Path
    out: Path
    work: Path
    pack: Path
    rehearsal: bool = False

    @property
    def logs(self) -> Path:
        """Of the stages."""
        return self.work / "logs"

    @property
    def corpus(self) -> Path:
        """The prepared blocks that `prepare export=` wrote."""
        return self.pack / "corpus"

    def new_folder(self, name: str) -> Path:
        """A folder for a run, which no earlier call has used."""
        taken = len(list(self.work.glob(f"{name}-*")))
        return self.work / f"{name}-{taken + 1:03d}"

    def plain(self, text: str) -> str:
        """The text without this machine's paths."""
        names = {self.out: "OUT", self.work: "WORK", self.pack: "PACK", self.root: "."}
        for path, name in sorted(names.items(), key=lambda entry: -len(str(entry[0]))):
            text = text.replace(str(path), name)
        return text.replace(sys.executable, "python")

    def environment(self) -> dict[str, str]:
        """Of the stages: this checkout's sources first, and no network."""
        paths = [str(self.root / "src"), str(self.root), *filter(None, [os.environ.get("PYTHONPATH")])]
        own = {"BERTINCHAMPS_CACHE": str(self.work / "cache"), "PYTHONUNBUFFERED": "1"}
        rehearsed = {REHEARSED_TESTS: "1", "CUDA_VISIBLE_DEVICES": ""} if self.rehearsal else {}
        offline = dict.fromkeys(OFFLINE, "1")
        return {
            **os.environ, "PYTHONPATH": os.pathsep.join(paths), **own, **offline, **rehearsed,
        }  # fmt: skip

    def module(self, name: str, words: Sequence[str]) -> list[str]:
        """The command line of `python -m NAME …`."""
        return [sys.executable, "-m", name, *words]
