"""FRASIMED (Zaghir et al., 2023): clinical cases in French, whose annotations were projected from Spanish corpora.

The release holds CANTEMIST-FRASIMED/cc_onco1.txt and .ann, and so on, without splits:

    T3	morphology-onco 920 932	métastatique
    #1	ICD-O-3.1 T3	8000/6

One type a corpus: morphologies of tumours (`morphology-onco`), or diseases (`disease`). Nearly flat: of 21,526 entities
378 lie inside another one, 14 cross another one, and 2 repeat another one; none is discontinuous. Codes are not read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bertinchamps.contract import SPLITS, AnnotatedText
from bertinchamps.tasks.formats import brat
from bertinchamps.tasks.readers import readers
from bertinchamps.tasks.readers.releases import Release
from bertinchamps.textfiles.archives import listed

FOLDERS = {
    "morphology": "CANTEMIST-FRASIMED",
    "disease": "DISTEMIST-FRASIMED",
}  # corpus → folder of the release
RELEASE = Release(
    name="FRASIMED",
    address="https://zenodo.org/records/8355629",
    archives=("FRASIMED.zip", "frasimed.zip"),
)
NOT_OFFICIAL = "FRASIMED has no official splits ({}): no published score compares"


def _problems(settings: Mapping[str, Any]) -> list[str]:
    corpus = settings["corpus"]
    return [] if corpus in FOLDERS else [f"task.corpus={corpus}: one of {', '.join(FOLDERS)}"]


@readers.register("frasimed", check=_problems)
class Frasimed:
    """Morphologies of tumours, or diseases, in clinical cases.

    A copy that somebody divided is read with its splits: folders `CORPUS/train`, `CORPUS/dev` and `CORPUS/test`. The
    release is divided here: a hash of a document's name decides, a tenth is dev and a tenth test.

    Args:
        corpus: morphology or disease.
        path: the release or a divided copy: a zip, a folder that holds it, or a folder that it was unpacked into.
    """

    kind = "ner"

    def __init__(self, corpus: str, path: str | None = None) -> None:
        self._path = path
        self._divided = {split: (f"{corpus}/{split}/*.txt", f"{corpus}/{split}/*.ann") for split in SPLITS}
        self._whole = (f"{FOLDERS[corpus]}/*.txt", f"{FOLDERS[corpus]}/*.ann")
        self.remarks: tuple[str, ...] = ()

    def check(self) -> None:
        """Look for the files."""
        RELEASE.check(self._path, self._patterns())

    def read(self) -> dict[str, list[AnnotatedText]]:
        """The documents of each split."""
        patterns = self._patterns()
        files = RELEASE.files(self._path, patterns)
        if len(patterns) > len(self._whole):
            self.remarks = (NOT_OFFICIAL.format("these are those of the copy that was read"),)
            return {
                split: brat.read_files(files[texts] | files[annotations])
                for split, (texts, annotations) in self._divided.items()
            }
        self.remarks = (NOT_OFFICIAL.format("these are made by a hash of the documents' names"),)
        texts, annotations = self._whole
        splits: dict[str, list[AnnotatedText]] = {split: [] for split in SPLITS}
        for document in brat.read_files(files[texts] | files[annotations]):
            splits[_split(document.name)].append(document)
        return splits

    def _patterns(self) -> list[str]:
        """The patterns of a divided copy where one of its files is there, and otherwise those of the release."""
        divided = [pattern for pair in self._divided.values() for pattern in pair]
        if self._path and listed(Path(self._path), divided, RELEASE.archives):
            return divided
        return list(self._whole)


def _split(name: str) -> str:
    tenth = hashlib.blake2b(name.encode(), digest_size=8).digest()[-1] % 10
    return {0: "dev", 1: "test"}.get(tenth, "train")
