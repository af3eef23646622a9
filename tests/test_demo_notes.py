"""A folder of fictitious notes, annotated ones and letters."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from bertinchamps.checks.demo_notes import problems
from bertinchamps.demo_notes import HEADS, demo_notes
from bertinchamps.schemas import DemoNotesConfig
from bertinchamps.tasks.deidentification import LABELS, templates
from bertinchamps.tasks.formats import brat
from bertinchamps.tasks.readers.deidentification import split
from support import composed


def test_notes_annotations_and_letters_are_written_and_can_be_read(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    words = [f"folder={folder}", "notes=30", "annotated=20", "letters=6"]
    config: DemoNotesConfig = composed(*words, command="demo_notes")
    assert problems(config) == []
    demo_notes(config)
    texts = {kind: {d.text for d in brat.read_texts(folder / kind)} for kind in ("notes", "letters")}
    assert {kind: len(found) for kind, found in texts.items()} == {"notes": 30, "letters": 6}
    assert {head for head in HEADS for text in texts["letters"] if text.startswith(head)} == set(HEADS)
    left_out: Counter[str] = Counter()
    splits = {
        name: brat.read_folder(folder / "brat" / name, left_out=left_out) for name in ("train", "dev", "test")
    }
    assert {name: len(documents) for name, documents in splits.items()} == {"train": 16, "dev": 2, "test": 2}
    assert not left_out
    assert {entity.label for d in splits["train"] for entity in d.entities} == {
        "DISO",
        "CHEM",
        "ANAT",
        "PROC",
    }
    annotated = {document.text for documents in splits.values() for document in documents}
    assert not annotated & texts["notes"]  # other seeds, so that no score is of texts that were pretrained on
    (told,) = problems(config)
    assert told.startswith(f"folder={folder}: is there already")


def test_each_split_of_the_templates_has_most_labels(tmp_path: Path) -> None:
    demo_notes(DemoNotesConfig(folder=str(tmp_path / "demo"), notes=1, annotated=10, letters=1))
    known = templates.read(tmp_path / "demo" / "templates.txt", LABELS, {})
    for name, own in split(known, 0).items():
        labels = {piece.label for template in own for piece in template.pieces if not isinstance(piece, str)}
        assert len(labels) >= (13 if name == "train" else 6), name


def test_mistakes_are_named_before_anything_is_written(tmp_path: Path) -> None:
    found = problems(DemoNotesConfig(folder=str(tmp_path), notes=0, annotated=9, letters=0))
    assert [told.partition("=")[0] for told in found] == ["folder", "notes", "annotated", "letters"]
