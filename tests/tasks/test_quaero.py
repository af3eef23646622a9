"""QUAERO, from wherever its files are."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest

from bertinchamps.contract import SPLITS, AnnotatedText, Entity
from bertinchamps.errors import UserError
from bertinchamps.tasks.examples import read_examples
from bertinchamps.tasks.formats import brat
from bertinchamps.tasks.readers import Combined, readers
from real import real
from support import composed

NAME = "QUAERO_FrenchMed_brat.zip"


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A folder with a zip of the official layout, in which every split and corpus has one text."""
    folder = tmp_path / "downloads"
    folder.mkdir()
    with zipfile.ZipFile(folder / NAME, "w") as archive:
        archive.writestr("QUAERO_FrenchMed/README.txt", "About")
        for split in SPLITS:
            for corpus in ("EMEA", "MEDLINE"):
                stem = f"QUAERO_FrenchMed/corpus/{split}/{corpus}/12"
                archive.writestr(f"{stem}.txt", f"{split} {corpus}\n")
                archive.writestr(f"{stem}.ann", f"T1\tDISO 0 {len(split)}\t{split}\n")
                archive.writestr(f"{stem}.ann~", "stray")
                archive.writestr(f"{stem.removesuffix('12')}annotation.conf", "[entities]\nT1")
    return folder


def expected(corpus: str) -> dict[str, list[AnnotatedText]]:
    return {
        split: [AnnotatedText("12", f"{split} {corpus}\n", (Entity("DISO", ((0, len(split)),)),))]
        for split in SPLITS
    }


@pytest.mark.parametrize("corpus", ["EMEA", "MEDLINE"])
def test_the_zip_its_folder_and_every_folder_of_it(release: Path, tmp_path: Path, corpus: str) -> None:
    with zipfile.ZipFile(release / NAME) as archive:
        archive.extractall(tmp_path / "unpacked" / "here")
    inside = tmp_path / "unpacked" / "here" / "QUAERO_FrenchMed"
    for path in (release / NAME, release, inside / "corpus", inside, inside.parent, inside.parent.parent):
        reader = readers.build("quaero", corpus=corpus, path=str(path))
        reader.check()
        assert reader.kind == "ner"
        assert reader.read() == expected(corpus)


def test_both_corpora_are_one_task_whose_documents_keep_their_corpus(release: Path) -> None:
    reader = readers.build("quaero", corpus="both", path=str(release))
    reader.check()
    assert isinstance(reader, Combined)
    assert reader.subtasks == {"quaero_emea": "EMEA-", "quaero_medline": "MEDLINE-"}
    assert reader.read() == {
        split: [
            document._replace(name=f"{corpus}-12")
            for corpus in ("EMEA", "MEDLINE")
            for document in expected(corpus)[split]
        ]
        for split in SPLITS
    }


def same_as_alone(path: Path) -> None:
    """Each subtask has the fingerprint, the documents and the texts of the task that reads its corpus alone."""
    whole = read_examples(composed("task=quaero_both", f"task.path={path}", command="finetune"))
    assert whole.title == "quaero_both"
    assert [subtask.title for subtask in whole.subtasks] == ["quaero_emea", "quaero_medline"]
    for subtask in whole.subtasks:
        alone = read_examples(composed(f"task={subtask.title}", f"task.path={path}", command="finetune"))
        assert (alone.title, alone.fingerprint, alone.subtasks) == (subtask.title, subtask.fingerprint, ())
        for split in SPLITS:
            entities = [whole.splits[split][at].entities for at in subtask.places[split]]
            assert entities == [document.entities for document in alone.splits[split]]
            assert list(whole.texts(split, subtask)) == list(alone.texts(split))
    places = [sorted(at for subtask in whole.subtasks for at in subtask.places[split]) for split in SPLITS]
    assert places == [list(range(len(whole.splits[split]))) for split in SPLITS]


def test_a_corpus_in_both_is_the_same_as_alone(release: Path) -> None:
    same_as_alone(release)


def test_what_is_unpacked_is_preferred_to_the_zip_beside_it(release: Path) -> None:
    with zipfile.ZipFile(release / NAME) as archive:
        archive.extractall(release)
    file = release / "QUAERO_FrenchMed" / "corpus" / "dev" / "EMEA" / "12.txt"
    file.write_text("dev EMEA, corrected\n", encoding="utf-8")
    documents = readers.build("quaero", corpus="EMEA", path=str(release)).read()["dev"]
    assert [document.text for document in documents] == ["dev EMEA, corrected\n"]


def test_two_copies_are_not_mixed(release: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(release / NAME) as archive:
        archive.extractall(tmp_path / "both" / "one")
    shutil.copytree(tmp_path / "both" / "one", tmp_path / "both" / "two")
    with pytest.raises(UserError, match=r"is there twice; choose .*one.* or .*two"):
        readers.build("quaero", corpus="EMEA", path=str(tmp_path / "both")).check()


def test_a_wrong_corpus_is_refused() -> None:
    with pytest.raises(UserError, match=r"task\.corpus=emea: one of EMEA, MEDLINE, both"):
        readers.build("quaero", corpus="emea", path=".")


@pytest.mark.real_data
def test_the_official_release() -> None:
    path = real("quaero")
    counts = {"EMEA": (2_695, 2_260, 2_204), "MEDLINE": (2_994, 2_977, 3_103)}
    texts = {"EMEA": (11, 12, 15), "MEDLINE": (833, 832, 833)}
    for corpus, numbers in counts.items():
        splits = readers.build("quaero", corpus=corpus, path=str(path)).read()
        assert (
            tuple(sum(len(each.entities) for each in documents) for documents in splits.values()) == numbers
        )
        assert tuple(map(len, splits.values())) == texts[corpus]
        types = {
            entity.label for documents in splits.values() for each in documents for entity in each.entities
        }
        assert sorted(types) == "ANAT CHEM DEVI DISO GEOG LIVB OBJC PHEN PHYS PROC".split()  # noqa: SIM905


@pytest.mark.real_data
def test_a_corpus_of_the_official_release_in_both_is_the_same_as_alone() -> None:
    same_as_alone(real("quaero"))


@pytest.mark.real_data
def test_the_oddities_of_the_official_release(tmp_path: Path) -> None:
    """As counted in the reader's docstring; and everything survives being written."""
    path = real("quaero")
    documents = [
        document._replace(name=f"{corpus}-{split}-{document.name}")
        for corpus in ("EMEA", "MEDLINE")
        for split, texts in readers.build("quaero", corpus=corpus, path=str(path)).read().items()
        for document in texts
    ]
    entities = [(each.text, entity) for each in documents for entity in each.entities]
    assert len(entities) == 16_233
    assert sum(len(entity.fragments) > 1 for _, entity in entities) == 141
    assert sum(len(each.entities) - len(set(each.entities)) for each in documents) == 9
    assert sum(not each.entities for each in documents) == 111
    blank_edges = [
        any(text[start:end] != text[start:end].strip() for start, end in entity.fragments)
        for text, entity in entities
    ]
    assert sum(blank_edges) == 20
    for document in documents:
        brat.write_document(tmp_path, document)
    assert sorted(brat.read_folder(tmp_path)) == sorted(documents)
