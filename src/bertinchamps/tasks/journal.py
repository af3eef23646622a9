"""How far an output of `predict` is: a run that was killed goes on behind the last portion of texts that is on disk.

NAME.unfinished                      the output
.NAME.unfinished.progress.json       texts that it holds whole, its size then, and what they were labelled with
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from bertinchamps.durable import read_sealed, unfinished, write_sealed
from bertinchamps.fingerprints import canonical, digest
from bertinchamps.manifests import MANIFEST
from bertinchamps.schemas import PredictConfig


class Journal:
    """Notes how far an output is.

    Args:
        output: the final path.
        made_with: name of whatever decides the output; what was begun with something else is begun anew.

    Attributes:
        done: texts of the output that an earlier process has labelled.
    """

    def __init__(self, output: Path, made_with: str) -> None:
        left = unfinished(output)
        self._file = left.with_name(f".{left.name}.progress.json")
        self._made_with, self.done, self._size, self._cut = made_with, 0, 0, Counter[str]()
        self._stream: TextIO | None = None
        try:
            state = read_sealed(self._file)
            if state["made_with"] == made_with and left.stat().st_size >= state["bytes"]:
                self.done, self._size, self._cut = state["texts"], state["bytes"], Counter(state["cut"])
        except (OSError, ValueError, KeyError):
            pass

    def restore(self, cut: Counter[str]) -> None:
        """Add the texts that the earlier process cut, by how."""
        cut.update(self._cut)

    def go_on(self, stream: TextIO) -> None:
        """Cut off what follows the last portion, and write behind it from now on."""
        stream.seek(self._size)
        stream.truncate()
        self._stream = stream

    def note(self, done: int, cut: Mapping[str, int]) -> None:
        """All rows of so many texts are written: bring them onto the disk, and then note that."""
        if self._stream is None:
            return
        self._stream.flush()
        os.fsync(self._stream.fileno())
        size = os.fstat(self._stream.fileno()).st_size
        write_sealed(
            self._file, {"made_with": self._made_with, "texts": done, "bytes": size, "cut": dict(cut)}
        )

    def close(self) -> None:
        """The output has its name: nothing more to go on with."""
        self._file.unlink(missing_ok=True)


def made_with(config: PredictConfig, form: str, model: Path) -> str:
    """The name of all that decides an output: settings, model, and the files of the input by size and time."""
    facts: dict[str, Any] = {**asdict(config), "form": form}
    facts.pop("runs_dir")
    given = Path(config.input).expanduser()
    files = [given] if given.is_file() else sorted(file for file in given.rglob("*") if file.is_file())
    manifest = model / MANIFEST
    return digest(
        canonical(
            [
                facts,
                manifest.read_text(encoding="utf-8")
                if manifest.is_file()
                else _facts(sorted(model.iterdir())),
                _facts(files),
            ]
        )
    )


def _facts(files: list[Path]) -> list[tuple[str, int, int]]:
    return [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
