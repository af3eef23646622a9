"""A toy of named entities: the clinical notes of the toy corpus, whose grammar knows what it put where.

    La [radiographie du [thorax](ANAT)](PROC) montre une [pneumonie](DISO).

The words are the same few in training and test, so a score near 1 says that the path from pretraining to
predictions works, and nothing about medicine.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bertinchamps.contract import AnnotatedText, Entity
from bertinchamps.data.sources.demo import clinical_notes
from bertinchamps.data.sources.demo_grammar import Span
from bertinchamps.tasks.readers import readers

SHARE = 10  # one note in so many is for dev, and as many are for test
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
        seed: of the notes; that of the corpus which the model was pretrained on is better another one.
    """

    kind = "ner"
    remarks = ("a toy: training and test share their few words and templates; high scores mean nothing else",)

    def __init__(self, documents: int = 400, seed: int = 1) -> None:
        self._number, self._seed = documents, seed

    def check(self) -> None:
        """Nothing to find, so nothing to miss."""

    def read(self) -> dict[str, list[AnnotatedText]]:
        """Eight tenths of the notes, then one, then one."""
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
        if (
            slot == "examen" and following and following.slot == "site"
        ):  # "radiographie du thorax" is one thing
            end = following.end
        if slot in LABELS:
            yield Entity(LABELS[slot], ((start, end),))
