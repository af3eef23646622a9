"""QUAERO French Medical Corpus (Névéol et al., 2014), in the release of CLEF eHealth.

The zip holds QUAERO_FrenchMed/corpus/train/MEDLINE/10024234.txt and .ann, and so on:

    Traitement des métastases hépatiques des cancers colorectaux : jusqu' où aller ?

    T1	PROC 0 10	Traitement
    #1	AnnotatorNotes T1	C0087111
    T2	DISO 15 36	métastases hépatiques

Ten types, nested and discontinuous entities; the offsets of all 16,233 entities fit their texts. Oddities of the
release are kept: 8 entities list their fragments against the order of the text, 20 begin or end with a blank, 9 repeat
the type and fragments of an entity that has another concept (test of EMEA 4, test of MEDLINE 4, train of MEDLINE 1),
and 111 titles of MEDLINE have no entity. `.conf` and `.ann~` files are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bertinchamps.contract import SPLITS, AnnotatedText
from bertinchamps.tasks.formats import brat, conll
from bertinchamps.tasks.readers import readers
from bertinchamps.tasks.readers.hub import HubDataset
from bertinchamps.tasks.readers.releases import Release

CORPORA, BOTH = ("EMEA", "MEDLINE"), "both"
RELEASE = Release(
    name="The QUAERO French Medical Corpus",
    address="https://quaerofrenchmed.limsi.fr/QUAERO_FrenchMed_brat.zip",
    archives=("QUAERO_FrenchMed_brat.zip",),
)


def _problems(settings: Mapping[str, Any]) -> list[str]:
    corpus, menu = settings["corpus"], (*CORPORA, BOTH)
    return [] if corpus in menu else [f"task.corpus={corpus}: one of {', '.join(menu)}"]


@readers.register("quaero", check=_problems)
class Quaero:
    """Ten types of medical entities in leaflets of medicines (EMEA) or titles of articles (MEDLINE), or in both.

    Args:
        corpus: EMEA or MEDLINE, or both: then the documents are called EMEA-NAME and MEDLINE-NAME.
        path: the official zip, a folder that holds it, or a folder that it was unpacked into.
        hub: a dataset on the Hugging Face Hub to read instead, with configurations `emea` and `medline` and
            columns `tokens` and `ner_tags`. Such a dataset is flat: nested entities are lost, and scores on it do
            not compare with scores on the release. DrBenchmark/QUAERO is a loading script, which the library
            `datasets` no longer runs.
    """

    kind = "ner"

    def __init__(self, corpus: str, path: str | None = None, hub: str | None = None) -> None:
        self._path = path
        self._beginnings = {each: f"{each}-" for each in CORPORA} if corpus == BOTH else {corpus: ""}
        self.subtasks = {f"quaero_{each}".lower(): begin for each, begin in self._beginnings.items() if begin}
        self._hubs = {
            each: HubDataset(hub, each.lower(), RELEASE.address) for each in self._beginnings if hub
        }
        self.remarks = (
            ("a flat copy of the corpus: no score compares with one on the release",) if hub else ()
        )
        self._patterns = [
            f"{split}/{each}/*.{suffix}"
            for each in self._beginnings
            for split in SPLITS
            for suffix in ("txt", "ann")
        ]

    def check(self) -> None:
        """Look for the files, or ask the Hub."""
        if self._hubs:
            next(iter(self._hubs.values())).check()
        else:
            RELEASE.check(self._path, self._patterns)

    def read(self) -> dict[str, list[AnnotatedText]]:
        """The documents of each split."""
        whole: dict[str, list[AnnotatedText]] = {}
        for corpus, splits in (self._from_hub() if self._hubs else self._from_release()).items():
            for split, documents in splits.items():
                whole.setdefault(split, []).extend(
                    document._replace(name=self._beginnings[corpus] + document.name) for document in documents
                )
        return whole

    def _from_hub(self) -> dict[str, dict[str, list[AnnotatedText]]]:
        return {
            corpus: {split: _documents(rows) for split, rows in hub.read(("tokens", "ner_tags")).items()}
            for corpus, hub in self._hubs.items()
        }

    def _from_release(self) -> dict[str, dict[str, list[AnnotatedText]]]:
        files = RELEASE.files(self._path, self._patterns)
        return {
            corpus: {
                split: brat.read_files(files[f"{split}/{corpus}/*.txt"] | files[f"{split}/{corpus}/*.ann"])
                for split in SPLITS
            }
            for corpus in self._beginnings
        }


def _documents(rows: list[dict[str, Any]]) -> list[AnnotatedText]:
    return [
        conll.document(
            row["tokens"], row["ner_tags"], f"row-{number}", [f"row {number}"] * len(row["tokens"])
        )
        for number, row in enumerate(rows, start=1)
    ]
