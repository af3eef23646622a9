"""STS benchmark in French by machine translation (May, 2021): how alike two sentences are. A line of a file:

Un homme joue d'une grande flûte.,Un homme joue de la flûte.,3.8
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import ClassVar

from bertinchamps.contract import SPLITS, LabelledText
from bertinchamps.errors import UserError
from bertinchamps.tasks.readers import readers
from bertinchamps.tasks.readers.published import SplitFiles, decoded
from bertinchamps.tasks.readers.releases import Release

LEAST, MOST = 0.0, 5.0


@readers.register("stsb_fr")
class StsbFr(SplitFiles):
    """The similarity of two sentences, from 0 (nothing in common) to 5 (the same).

    Args:
        path: a folder that holds stsb-fr-train.csv, stsb-fr-dev.csv and stsb-fr-test.csv, or an archive of them.
    """

    kind = "regression"
    release = Release(
        name="The STS benchmark in French",
        address="https://huggingface.co/datasets/PhilipMay/stsb_multi_mt (folder data)",
        archives=("stsb-fr-train.csv, stsb-fr-dev.csv and stsb-fr-test.csv",),
    )
    patterns = tuple(f"stsb-fr-{split}.csv" for split in SPLITS)
    official: ClassVar[Mapping[str, int]] = {"train": 5_749, "dev": 1_500, "test": 1_379}

    def examples(self, path: PurePosixPath, content: bytes) -> Iterator[LabelledText]:
        """The pairs of a file."""
        return _pairs(path, decoded(path, content))


def _pairs(path: PurePosixPath, text: str) -> Iterator[LabelledText]:
    rows, line = csv.reader(io.StringIO(text, newline=""), strict=True), 1
    while True:
        where = f"{path}: line {line}"
        try:
            row = next(rows, None)
        except csv.Error:
            row = []
        if row is None:
            return
        if len(row) != 3 or not (row[0].strip() and row[1].strip()):
            raise UserError(
                f"{where}: not two sentences and a similarity, separated by commas; get the file again"
            )
        yield LabelledText(f"{path.name}, line {line}", row[0], row[1], _similarity(row[2], where))
        line = rows.line_num + 1


def _similarity(cell: str, where: str) -> float:
    try:
        number = float(cell)
    except ValueError:
        number = -1.0
    if not LEAST <= number <= MOST:
        raise UserError(
            f"{where}: the similarity must be a number from {LEAST:.0f} to {MOST:.0f}; get the file again"
        )
    return number
