"""How far a pass over a corpus has come: saved now and then, and used by the next process only if it is intact.

FOLDER/progress.json   sealed
FOLDER/seen-N/         what the cleaning steps have seen, and the checksums of the files of tokens; N is 0 and 1 in
                       turn, so that one folder is whole while the other is written
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bertinchamps.contract import Place
from bertinchamps.data.building import PROGRESS
from bertinchamps.data.checksums import Sums, sums_of
from bertinchamps.durable import SEAL, digest_of, flush_to_disk, read_sealed, write_sealed

SPLITS = ("train", "held_out")


class Damaged(Exception):
    """Saved progress is not intact; the message names the file."""


@dataclass
class Progress:
    """How far the pass has come, as progress.json has it.

    Attributes:
        place: behind the last document of the source that is done.
        read: all training documents are done.
        documents: in each file.
        tokens: in each file.
        characters: of those documents.
        held_out_characters: of those in held_out; None: the pass began with a version that did not count them.
        counts: what each cleaning step did.
        out_of_training: documents left out after cleaning, by reason.
        seconds: spent.
        seen: the folder of what the cleaning steps have seen.
        digests: of the files in that folder, by their names in it.
        report: of the source, once it is read.
    """

    place: Place | None = None
    read: bool = False
    documents: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
    tokens: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
    characters: int = 0
    held_out_characters: int | None = 0
    counts: list[dict[str, Any]] = field(default_factory=list)
    out_of_training: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    seen: str = "seen-0"
    digests: dict[str, str] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path, sums: Mapping[str, Sums], save: Callable[[Path], None]) -> None:
        """Save the progress onto the disk.

        Args:
            folder: of the pass.
            sums: checksums of each file of tokens; the files are on the disk already.
            save: writes what the cleaning steps have seen into a folder.
        """
        before = folder / self.seen  # is not touched until the new one is whole and named
        after = folder / ("seen-1" if self.seen == "seen-0" else "seen-0")
        shutil.rmtree(after, ignore_errors=True)
        after.mkdir()
        save(after)
        for split in SPLITS:
            sums[split].write(after / f"{split}.sums")
        files = [file for file in after.rglob("*") if file.is_file()]
        for file in files:
            flush_to_disk(file)
        digests = {str(file.relative_to(after)): digest_of(file) for file in files}
        write_sealed(folder / PROGRESS, {**asdict(self), "seen": after.name, "digests": digests})
        self.seen, self.digests = after.name, digests
        shutil.rmtree(before, ignore_errors=True)


def read_progress(folder: Path, width: int) -> tuple[Progress, dict[str, Sums]]:
    """The saved progress, and the checksums of each file of tokens, which is as it was then or longer.

    Args:
        folder: of the pass.
        width: bytes of a token.

    Raises:
        Damaged: a file is missing, or is not as it was written.
    """
    try:
        facts = read_sealed(folder / PROGRESS)
        del facts[SEAL]
        progress = Progress(**{"held_out_characters": None, **facts})
    except (OSError, ValueError, TypeError):
        raise Damaged(f"{folder / PROGRESS} is damaged") from None
    for name, digest in progress.digests.items():
        file = folder / progress.seen / name
        if not file.is_file() or digest_of(file) != digest:
            raise Damaged(f"{file} is damaged")
    return progress, {split: _sums(folder, progress, split, width) for split in SPLITS}


def _sums(folder: Path, progress: Progress, split: str, width: int) -> Sums:
    file, size = folder / f"{split}.bin", width * progress.tokens[split]
    values = np.fromfile(folder / progress.seen / f"{split}.sums", dtype="<u4")
    if not file.is_file() or not np.array_equal(sums_of(file, size).values(), values):
        raise Damaged(f"{file} is damaged")
    return Sums(values.tolist(), size)


def forget_progress(folder: Path) -> None:
    """Remove the saved progress of a pass that will not be resumed."""
    for left in [folder / PROGRESS, *folder.glob("seen-*")]:
        shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
