"""The toy of named entities: spans on exactly the words of the slots, in the very notes of the toy corpus."""

from __future__ import annotations

import json
import re
from itertools import islice
from pathlib import Path

import pytest

from bertinchamps import demo
from bertinchamps.contract import AnnotatedText, Entity
from bertinchamps.data.sources.demo import REGISTERS, DemoSource, clinical_notes
from bertinchamps.data.sources.demo_grammar import Dice
from bertinchamps.tasks.readers import readers
from bertinchamps.tasks.readers.demo import LABELS, entities
from bertinchamps.tasks.tagging.sentences import sentences
from bertinchamps.tasks.tagging.windows import words_of
from support import QUICK, composed

ARTICLE = re.compile(r"(?:l'|d'|un |une |le |la |les |du |des |de |au |aux |ce |cet |cette )", re.IGNORECASE)


@pytest.fixture(scope="module")
def splits() -> dict[str, list[AnnotatedText]]:
    return readers.build("demo").read()


def covered(note: AnnotatedText, label: str) -> list[str]:
    return [note.text[entity.start : entity.end] for entity in note.entities if entity.label == label]


def test_notes_are_those_of_the_source_and_each_once(splits: dict[str, list[AnnotatedText]]) -> None:
    assert {split: len(notes) for split, notes in splits.items()} == {"train": 320, "dev": 40, "test": 40}
    notes = [note for split in splits.values() for note in split]
    source = [document.text for document in DemoSource(documents=1500, seed=1).documents()]
    places = [source.index(note.text) for note in notes]
    assert places == sorted(set(places))
    assert len({note.name for note in notes}) == len({note.text for note in notes}) == 400
    pretrained = {document.text for document in DemoSource().documents()}
    assert sum(note.text in pretrained for note in notes) < 4  # short ones, which come twice by chance


def test_entities_begin_and_end_with_words_and_have_no_article(
    splits: dict[str, list[AnnotatedText]],
) -> None:
    for note in (note for notes in splits.values() for note in notes):
        words = [word for sentence in sentences(note.text) for word in words_of(note.text, *sentence)]
        starts, ends = {start for start, _ in words}, {end for _, end in words}
        assert note.entities == tuple(sorted(set(note.entities)))
        for entity in note.entities:
            assert entity.start in starts
            assert entity.end in ends
            assert not ARTICLE.match(note.text, entity.start), note.text[entity.start : entity.end]


def test_every_labelled_slot_of_every_template_is_covered_by_its_word() -> None:
    seen = set()
    for scene in REGISTERS["clinical"]:
        for number in range(30):
            bindings = scene.bind(Dice(f"bindings {number}"))
            for template in (template for step in scene.steps for template in step.templates):
                text, spans = template.write_with_spans(bindings)
                assert text == template.write(bindings)
                expected = [
                    piece.slot
                    for piece in template.pieces
                    if piece.slot and not piece.agrees_with and piece.form not in ("il", "Il")
                ]
                assert [span.slot for span in spans] == expected
                for slot, start, end in spans:
                    assert text[start:end].lower() == bindings[slot][""].lower()
                labels = [LABELS[span.slot] for span in spans if span.slot in LABELS]
                assert [entity.label for entity in entities(text, spans)] == labels
                seen |= {span.slot for span in spans}
    assert set(LABELS) <= seen


def test_spans_of_a_document_fit_its_text() -> None:
    for text, spans in islice(clinical_notes(seed=3), 100):
        assert [span.start for span in spans] == sorted(span.start for span in spans)
        assert all(text[span.start : span.end].strip() == text[span.start : span.end] != "" for span in spans)


def test_a_site_lies_inside_its_examination(splits: dict[str, list[AnnotatedText]]) -> None:
    note = splits["train"][0]
    assert "radiographie du poignet" in covered(note, "PROC")
    assert "hématome de la face dorsale" in covered(note, "DISO")
    for notes in splits.values():
        for note in notes:
            for entity in (entity for entity in note.entities if entity.label == "PROC"):
                inside = [e for e in note.entities if entity.start <= e.start and e.end <= entity.end]
                assert [e.label for e in sorted(inside, key=lambda e: e.start)] == ["PROC", "ANAT"]


def test_one_seed_gives_the_same_notes_and_another_others(splits: dict[str, list[AnnotatedText]]) -> None:
    reader = readers.build("demo", documents=400, seed=1)
    reader.check()
    assert reader.kind == "ner"
    assert reader.read() == splits
    other = readers.build("demo", documents=10, seed=2).read()
    assert {split: len(notes) for split, notes in other.items()} == {"train": 8, "dev": 1, "test": 1}
    assert other["train"][0].text != splits["train"][0].text


def test_too_few_notes_for_three_splits_are_refused() -> None:
    assert readers.problems("demo", {"documents": 9}) == ["task.documents=9: at least 10, for three splits"]
    assert readers.problems("demo", {"documents": 10}) == []


def test_brackets_nest() -> None:
    text = "Une IRM du genou."
    found = (Entity("ANAT", ((11, 16),)), Entity("PROC", ((4, 16),)))
    assert demo.bracketed(AnnotatedText("x", text, found)) == "Une [IRM du [genou](ANAT)](PROC)."
    assert demo.bracketed(AnnotatedText("x", text, ())) == text


def test_the_demo_pretrains_fills_masks_and_finds_entities(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        demo, "ENTITY_SETTINGS", [*demo.ENTITY_SETTINGS, "task.documents=10", "budget.epochs=1"]
    )
    config = composed(*QUICK, "budget.steps=1", f"run_dir={tmp_path / 'pretrained'}")
    demo.demo(config)
    (run,) = (folder for folder in tmp_path.iterdir() if folder.name != "pretrained")
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    assert results["task"] == "demo"
    assert results["head"] == "nested"
    shown = capsys.readouterr().err
    assert "the grammar says: Rome" in shown
    assert (
        f"nested_exact F1 on the toy's test notes is {results['scores']['test']['nested_exact']['f1']:.3f}"
        in shown
    )
    assert "IRM" in shown.rpartition("test notes is")[2]
