"""python -m bertinchamps.demo_notes: a folder of fictitious notes, annotated ones and letters, to try everything on."""

from __future__ import annotations

import sys

from bertinchamps import command_line

if __name__ == "__main__":  # what follows imports torch, and waits until the command line has proved right
    command_line.run("demo_notes")
    sys.exit()

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

from bertinchamps.console import counted, tell
from bertinchamps.contract import AnnotatedText
from bertinchamps.data.sources.demo import clinical_notes
from bertinchamps.durable import progressive
from bertinchamps.schemas import DemoNotesConfig
from bertinchamps.tasks.formats import brat
from bertinchamps.tasks.readers.demo import Demo

TEMPLATES = Path(__file__).with_name("tasks") / "deidentification" / "demo_templates.txt"
HEADS = (
    "Hôpital Saint-Luc, Amiens\nDocteur Camille PERRIN, tél. 03 22 45 67 89\nLe 14/03/2024\n\n"
    "Concerne : Mme Nadia BERGER, née le 3 juin 1957, IPP 8033445566\n\n",
    "Clinique du Parc, 5 rue du Château, 76000 Rouen\nRouen, le 2 octobre 2023\n\n"
    "Cher confrère, j'ai revu M. Olivier CARON, né le 21/11/1946, joignable au 06 44 55 66 77.\n\n",
    "CHU de Brest, séjour 445566\nPatient : LEFORT Yves, 9 quai du Port, 29200 Brest\n"
    "N° de sécurité sociale : 1 46 11 29 019 033 51\n\n",
    "Docteur Inès VASSEUR (ines.vasseur@exemple.fr)\nLe 7 janvier 2025\n\n"
    "Madame Odile TESSIER, hospitalisée du 02/01/2025 au 06/01/2025 :\n\n",
)


def demo_notes(config: DemoNotesConfig) -> None:
    """Write the folder.

    notes/NAME.txt              notes, to pretrain on
    brat/train brat/dev brat/test   annotated notes: eight tenths, a tenth, a tenth
    letters/NAME.txt            letters with names, dates and numbers, which no model has seen
    templates.txt               letters with slots, for task=deidentification

    Raises:
        OSError: the folder cannot be written.
    """
    folder = Path(config.folder).expanduser()
    with progressive(folder, folder=True) as place:
        for kind, written in (("notes", _notes(config)), ("letters", _letters(config))):
            for document in written:
                brat.write_document(place / kind, document, annotated=False)
        for split, documents in Demo(config.annotated, config.seed + 1).read().items():
            for document in documents:
                brat.write_document(place / "brat" / split, document)
        shutil.copyfile(TEMPLATES, place / TEMPLATES.name.removeprefix("demo_"))
    written_of = ", ".join(
        (counted(config.notes, "note"), f"{config.annotated:,} annotated", counted(config.letters, "letter"))
    )
    tell(f"{folder}: {written_of}; all of it is invented")


def _notes(config: DemoNotesConfig) -> Iterator[AnnotatedText]:
    for number, (text, _) in enumerate(itertools.islice(clinical_notes(config.seed), config.notes), start=1):
        yield AnnotatedText(f"note-{number}", text, ())


def _letters(config: DemoNotesConfig) -> Iterator[AnnotatedText]:
    written = itertools.islice(clinical_notes(config.seed + 2), config.letters)
    for number, ((text, _), head) in enumerate(zip(written, itertools.cycle(HEADS), strict=False), start=1):
        yield AnnotatedText(f"letter-{number}", head + text, ())
