"""MORFITT (Labrak et al., 2023): abstracts of French medical articles with their specialties. A line of a file:

ac3be7…	La dermatite idiopathique du philtrum nasal est une atteinte vasculaire …	veterinary|etiology
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import ClassVar

from bertinchamps.contract import SPLITS, LabelledText
from bertinchamps.errors import UserError
from bertinchamps.tasks.readers import readers
from bertinchamps.tasks.readers.published import SplitFiles, table
from bertinchamps.tasks.readers.releases import Release

SPECIALTIES = (
    "chemistry", "etiology", "genetics", "immunology", "microbiology", "parasitology", "pharmacology", "physiology",
    "psychology", "surgery", "veterinary", "virology",
)  # fmt: skip


@readers.register("morfitt")
class Morfitt(SplitFiles):
    """One or more of twelve specialties of an abstract.

    Args:
        path: a folder that holds train.tsv, dev.tsv and test.tsv, or an archive of them.
    """

    kind = "multi_label"
    release = Release(
        name="MORFITT",
        address="https://huggingface.co/datasets/qanastek/MORFITT",
        archives=("train.tsv, dev.tsv and test.tsv",),
    )
    patterns = tuple(f"{split}.tsv" for split in SPLITS)
    official: ClassVar[Mapping[str, int]] = {"train": 1_514, "dev": 1_022, "test": 1_088}

    def examples(self, path: PurePosixPath, content: bytes) -> Iterator[LabelledText]:
        """The abstracts of a file, named by their identifiers."""
        for where, row in table({path: content}, ("identifier", "abstract", "specialities")):
            yield _abstract(where, row)


def _abstract(where: str, row: Mapping[str, str]) -> LabelledText:
    if empty := [column for column, cell in row.items() if not cell.strip()]:
        raise UserError(f"{where}: nothing in column {', '.join(empty)}; get the file again")
    names = tuple(dict.fromkeys(row["specialities"].split("|")))
    if not set(names) <= set(SPECIALTIES):
        raise UserError(
            f"{where}: specialities must be some of {', '.join(SPECIALTIES)}, joined by '|'; is this the official file?"
        )
    return LabelledText(row["identifier"].strip(), row["abstract"].strip(), None, names)
