"""A toy task of named entities: the clinical notes of the toy corpus, annotated by the grammar that writes them.

    La [radiographie du [thorax](ANAT)](PROC) montre une [pneumonie](DISO).

Train and test share a few words, so a score near 1 shows that the path from pretraining to predictions works, and
nothing about medicine.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bertinchamps.contract import AnnotatedText, Entity
from bertinchamps.data.sources.demo import clinical_notes
from bertinchamps.data.sources.demo_grammar import Span
from bertinchamps.tasks.readers import readers

SHARE = 10  # one note in 10 is for dev, and one for test
LABELS = {
    **dict.fromkeys(("maladie", "s1", "s2", "signe", "plainte", "passe", "suite"), "DISO"),
    **dict.fromkeys(("remede", "secours", "entretien"), "CHEM"),
    "site": "ANAT",
    "examen": "PROC",
}


def _problems(settings: Mapping[str, Any]) -> list[str]:
    documents = settings.get("documents", SHARE)
    return [] if documents >= SHARE else [f"task.documents={documents}: at least {SHARE}, for three splits"]


@readers.register("demo", check=_problems)
class Demo:
    """Disorders, drugs, sites and examinations in notes of the toy corpus; a site may lie inside an examination.

    Args:
        documents: how many notes, for the three splits together.
        seed: of the notes; better not the seed of the corpus that the model was pretrained on.
    """

    kind = "ner"
    remarks = ("a toy: training and test share their few words and templates; high scores mean nothing else",)

    def __init__(self, documents: int = 400, seed: int = 1) -> None:
        self._number, self._seed = documents, seed

    def check(self) -> None:
        """The notes are generated, so no file can be missing."""

    def read(self) -> dict[str, list[AnnotatedText]]:
        """Train: eight tenths of the notes; dev and test: one tenth each."""
        written = itertools.islice(clinical_notes(self._seed), self._number)
        notes = [
            AnnotatedText(f"note-{number}", text, tuple(sorted(entities(text, spans))))
            for number, (text, spans) in enumerate(written, start=1)
        ]
        few = self._number // SHARE
        return {"train": notes[: -2 * few], "dev": notes[-2 * few : -few], "test": notes[-few:]}


def entities(text: str, spans: Sequence[Span]) -> Iterator[Entity]:
    """The entities of a note, from the spans of its slots in order."""
    for (slot, start, end), following in itertools.zip_longest(spans, spans[1:]):
        if slot == "signe":  # written with its article: "des crépitants"
            start = text.index(" ", start) + 1
        # "radiographie du thorax" is one entity
        if slot == "examen" and following and following.slot == "site":
            end = following.end
        if slot in LABELS:
            yield Entity(LABELS[slot], ((start, end),))
