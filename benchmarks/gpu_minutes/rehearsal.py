"""A pack for rehearsals: a few generated documents and annotated notes, in the layout of the real one."""

from __future__ import annotations

import itertools
import zipfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.gpu_minutes import processes
from benchmarks.gpu_minutes.place import Place
from benchmarks.gpu_minutes.scores import CORPORA, QUAERO

SECONDS = 120.0  # at the most
CORPUS = (
    "data=demo", "data.documents=400", "tokenizer.vocab_size=400", "blocks.sequence_length=32",
    "blocks.held_out_share=0.05", "blocks.workers=1",
)  # fmt: skip
NOTES = {"train": 12, "dev": 4, "test": 4}
DISEASES, ORGANS, DRUGS = (
    ("cancer", "abcès", "kyste"),
    ("foie", "rein", "cœur", "poumon"),
    ("aspirine", "morphine"),
)


def make_pack(place: Place, stopped: Callable[[], bool]) -> None:
    """Write it where the stages look for it. What fails is in the log, and the stages say that nothing is there."""
    write_quaero(place.pack / QUAERO)
    words = [*CORPUS, f"export={place.corpus}"]
    command = processes.Command(
        place.module("bertinchamps.prepare", words), place.logs / "rehearsal_prepare.log"
    )
    processes.run([command], SECONDS, place.root, place.environment(), stopped=stopped)


def write_quaero(file: Path) -> None:
    """A zip like QUAERO's, of invented notes with entities inside entities."""
    file.parent.mkdir(parents=True, exist_ok=True)
    notes = itertools.cycle(itertools.product(DISEASES, ORGANS, DRUGS))
    with zipfile.ZipFile(file, "w") as written:
        for corpus in CORPORA:
            for split, count in NOTES.items():
                for number in range(count):
                    text, annotations = _note(*next(notes))
                    name = f"QUAERO_FrenchMed/corpus/{split}/{corpus.upper()}/{number}"
                    written.writestr(f"{name}.txt", text)
                    written.writestr(f"{name}.ann", annotations)


def _note(disease: str, organ: str, drug: str) -> tuple[str, str]:
    """A sentence, and its entities as brat writes them: an organ inside a disease, and a drug."""
    whole = f"{disease} du {organ}"
    text = f"Le {whole} est traité par {drug}.\n"
    lines = []
    for number, (kind, words) in enumerate((("DISO", whole), ("ANAT", organ), ("CHEM", drug)), start=1):
        start = text.index(words)
        lines.append(f"T{number}\t{kind} {start} {start + len(words)}\t{words}\n")
    return text, "".join(lines)
