"""brat's stand-off format: what is read, what is refused, and that writing loses nothing."""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from documents import documents
from hypothesis import given
from hypothesis import strategies as st

from bertinchamps.contract import AnnotatedText, Entity
from bertinchamps.errors import UserError
from bertinchamps.spans import with_joined_fragments
from bertinchamps.tasks.formats import brat

SECRET = "Madame Confidentielle"
TEXT = "Fracture du col du fémur\nchez elle."


def read(ann: str, text: str = TEXT) -> AnnotatedText:
    return brat.read_document(text.encode(), ann.encode(), "folder/note")


def refused(ann: str, text: str = TEXT) -> str:
    with pytest.raises(UserError) as caught:
        read(ann, text)
    assert SECRET not in str(caught.value)
    assert "Fracture" not in str(caught.value)
    return str(caught.value)


def test_entities_of_every_kind_come_sorted() -> None:
    document = read(
        "T1\tDISO 0 24\tFracture du col du fémur\n"
        "T2\tANAT 12 15;19 24\tcol fémur\n"
        "#1\tAnnotatorNotes T1\tC0016658\n"
        "T3\tANAT 19 29\tfémur chez\n"
    )
    assert document == AnnotatedText(
        "note",
        TEXT,
        (
            Entity("ANAT", ((12, 15), (19, 24))),
            Entity("ANAT", ((19, 29),)),
            Entity("DISO", ((0, 24),)),
        ),
    )


def test_fragments_may_be_written_in_any_order() -> None:
    assert read("T1\tANAT 19 24;12 15\tfémur col\n").entities == (Entity("ANAT", ((12, 15), (19, 24))),)
    assert "not that of the line" in refused("T1\tANAT 19 24;12 15\tcol fémur\n")


@pytest.mark.parametrize(
    "line",
    [
        "#2\tAnnotatorNotes T1\t",
        "#2\tAnnotatorNotes T1",
        "#\tAnnotatorNotes T1\twithout a number",
        "R1\tPart-of Arg1:T1 Arg2:T2",
        "R1\tPart-of T1 T2",
        "E1\tMERGE:T2 Org1:T1 Org2:T3",
        "E2\tMERGE:T2",
        "A1\tNegation E1",
        "M2\tConfidence E1 L1",
        "A2\tCertainty T1 very high",
        "A3 Negation E1",
        "N1\tReference T1 UMLS:C0016658\tfemur",
        "N1\tReference T1 UMLS:C0016658",
        "*\tEquiv T1 T2 T3",
        "",
        " ",
    ],
)
def test_other_lines_are_passed_over(line: str) -> None:
    assert read(f"{line}\nT1\tDISO 0 8\tFracture").entities == (Entity("DISO", ((0, 8),)),)


@pytest.mark.parametrize(
    "line",
    [
        "T1\tDISO 0 8",
        "T1\tDISO 0 8 ",
        "T1\tDISO 0 8\t",
        "T1\tDISO 0 8\tFracture\tC0016658",
        "T1\tDISO 0 8\tFracture\t",
        "T1\tDISO 0 4;4 8\tFrac ture",
        "T1\tDISO 0 8;8 8\tFracture ",
    ],
)
def test_the_text_of_a_line_may_be_missing_and_followed_by_others(line: str) -> None:
    assert read(line).entities == (Entity("DISO", ((0, 8),)),)


def test_an_entity_without_a_character_is_left_out_and_counted() -> None:
    left_out: Counter[str] = Counter()
    ann = b"T1\tDISO 0 8\tFracture\nT32\tORG 5 5\t\nT33\tORG 9 9;12 12\t \n"
    document = brat.read_document(TEXT.encode(), ann, "note", left_out)
    assert document.entities == (Entity("DISO", ((0, 8),)),)
    assert left_out == {"entities without a character": 2}


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_lines_end_as_in_any_system(line_end: str) -> None:
    lines = ["T1\tDISO 0 8\tFracture", "#1\tAnnotatorNotes T1\tC1", "", "T2\tANAT 12 15\tcol", ""]
    assert len(read(line_end.join(lines)).entities) == 2
    assert refused(line_end.join([*lines, SECRET])).startswith("folder/note.ann: line 6: ")


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("T1 DISO 0 8 Fracture", "a T line that is not well formed; expected is T1<tab>TYPE START END<tab>"),
        (SECRET, "not a line of brat's format"),
        (f"{SECRET}\tDISO 0 8\tFracture", "not a line of brat's format"),
        (f"T1\tDISO 0-8\t{SECRET}", "a T line that is not well formed"),
        ("T1\tDISO 0 8; 9 11\tFracture du", "a T line that is not well formed"),
        ("T1\tDISO -1 8\tFracture", "a T line that is not well formed"),
        ("P77\tDISO 0 8\tFracture", "not a line of brat's format"),
        ("T1\tDISO 8 0\tFracture", "a fragment must end after its start"),
        ("T1\tDISO 0 900\tFracture", "reaches beyond the text, which has 35 characters"),
        (f"T1\tDISO 0 {'9' * 5000}\tFracture", "reaches beyond the text, which has 35 characters"),
        ("T1\tDISO 1 9\tFracture", "the text at these offsets is not that of the line"),
        ("T1\tDISO 0 8\tFracture du", "the text at these offsets is not that of the line"),
        ("T1\tDISO 0 8;4 11\tFracture ture du", "fragments overlap"),
    ],
)
def test_a_bad_line_is_named_by_number_and_nothing_of_it_is_quoted(line: str, what: str) -> None:
    message = refused(f"#1\tAnnotatorNotes T1\tC1\n{line}\n")
    assert message.startswith("folder/note.ann: line 2: ")
    assert what in message
    assert not any(word in message for word in ("DISO", "P77", "999"))


@pytest.mark.parametrize(
    ("text", "offsets", "what"),
    [
        ("\U0001f48a Prise d'aspirine", "11 19", "UTF-16 units"),
        ("Santé : aspirine", "9 17", "bytes"),
        ("Prise\r\nd'aspirine", "8 16", "a line end of two characters"),
        ("Prise d'aspirine.", "8 15", "the ends seem to be those of the last character"),
    ],
)
def test_offsets_that_another_program_counted_are_recognised(text: str, offsets: str, what: str) -> None:
    assert what in refused(f"T1\tCHEM {offsets}\taspirine\n", text)


def test_an_id_that_occurs_twice_names_both_lines() -> None:
    message = refused("T1\tDISO 0 8\tFracture\n\nT1\tANAT 12 15\tcol\n")
    assert message == "folder/note.ann: line 3: its id is also that of line 1; give each its own"


def test_the_same_entity_twice_stays_twice() -> None:
    """As in QUAERO, where a mention has two concepts of one type."""
    assert len(read("T1\tDISO 0 8\tFracture\nT2\tDISO 0 8\tFracture\n").entities) == 2


def test_offsets_count_carriage_returns_and_every_code_point() -> None:
    text = "Un 😀\r\nfémur\r\ncassé"
    document = read("T1\tANAT 6 11\tfémur\r\nT2\tDISO 6 18\tfémur  cassé\r\n", text)
    assert document.text == text
    assert document.entities == (Entity("ANAT", ((6, 11),)), Entity("DISO", ((6, 18),)))


def test_a_byte_order_mark_counts_in_the_text_and_not_in_the_annotations() -> None:
    ann = "\ufeffT1\tDISO 1 9\tFracture\n"
    assert read(ann, "\ufeffFracture").entities == (Entity("DISO", ((1, 9),)),)
    assert "begins with a byte order mark" in refused("T1\tDISO 0 8\tFracture\n", "\ufeffFracture")


@pytest.mark.parametrize("suffix", ["txt", "ann"])
def test_not_utf8(suffix: str) -> None:
    contents = {"txt": b"Fracture", "ann": b""} | {suffix: "un\nété".encode("latin-1")}
    with pytest.raises(UserError, match=rf"note\.{suffix}: line 2: not UTF-8; convert it"):
        brat.read_document(contents["txt"], contents["ann"], "note")


# --- folders and archives


def folder_of(path: Path, *names: str) -> Path:
    for name in names:
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("Fracture" if file.suffix == ".txt" else "", encoding="utf-8")
    return path


def names_in(path: Path, annotated: bool = True) -> list[str]:
    return [document.name for document in brat.read_folder(path, annotated)]


def test_a_folder_in_the_natural_order_of_names_without_stray_files(tmp_path: Path) -> None:
    names = ["note10", "note9", "note9b", "a.b", "note09"]
    folder_of(tmp_path, *(f"{name}.{suffix}" for name in names for suffix in ("txt", "ann")))
    folder_of(tmp_path, "note9.ann~", "annotation.conf", ".hidden.txt", ".trash/x.txt", "README.md")
    assert names_in(tmp_path) == ["a.b", "note09", "note9", "note9b", "note10"]


def test_a_zip_is_read_like_the_folder_inside(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "notes.zip", "w") as archive:
        archive.writestr("notes/1.txt", "Fracture")
        archive.writestr("notes/1.ann", "T1\tDISO 0 8\tFracture\n")
        archive.writestr("__MACOSX/notes/._1.txt", b"\xff")
    assert brat.read_folder(tmp_path / "notes.zip") == [
        AnnotatedText("1", "Fracture", (Entity("DISO", ((0, 8),)),))
    ]


def test_partners_must_be_there_unless_only_texts_are_asked_for(tmp_path: Path) -> None:
    folder_of(tmp_path / "a", "1.txt", "1.ann", "2.txt")
    with pytest.raises(UserError, match=r"2\.txt: its annotations 2\.ann are missing"):
        brat.read_folder(tmp_path / "a")
    assert names_in(tmp_path / "a", annotated=False) == ["1", "2"]
    folder_of(tmp_path / "b", "1.txt", "1.ann", "2.ann")
    with pytest.raises(UserError, match=r"2\.ann: its text 2\.txt is missing"):
        brat.read_folder(tmp_path / "b")
    assert names_in(tmp_path / "b", annotated=False) == ["1"]


def test_texts_that_are_not_annotated_are_not_checked_against_annotations(tmp_path: Path) -> None:
    (folder_of(tmp_path, "1.txt") / "1.ann").write_text("nonsense", encoding="utf-8")
    assert brat.read_folder(tmp_path, annotated=False) == [AnnotatedText("1", "Fracture", ())]


def test_no_text_and_several_folders_are_reported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no \.txt file in it"):
        brat.read_folder(tmp_path)
    folder_of(tmp_path, "train/1.txt", "train/1.ann", "test/1.txt", "test/1.ann")
    with pytest.raises(UserError, match=r"texts in 2 folders .*name one of them"):
        brat.read_folder(tmp_path)
    assert names_in(tmp_path / "train") == ["1"]
    folder_of(tmp_path, "1.txt", "1.ann")
    with pytest.raises(UserError, match="texts in it and in folders below it, 2 and 4 files"):
        brat.read_folder(tmp_path)


def test_a_damaged_zip_is_reported(tmp_path: Path) -> None:
    (tmp_path / "notes.zip").write_bytes(b"PK nonsense")
    with pytest.raises(UserError, match=r"notes\.zip: damaged or cut short"):
        brat.read_folder(tmp_path / "notes.zip")


# --- writing


@given(documents())
def test_what_is_written_is_read_again(document: AnnotatedText) -> None:
    with tempfile.TemporaryDirectory() as folder:
        brat.write_document(Path(folder), document)
        assert brat.read_folder(Path(folder)) == [with_joined_fragments(document)]


@given(documents())
def test_each_entity_is_one_line_to_every_program(document: AnnotatedText) -> None:
    """Python's and Java's line readers split at more than a newline."""
    with tempfile.TemporaryDirectory() as folder:
        brat.write_document(Path(folder), document)
        lines = Path(folder, "note.ann").read_bytes().decode().splitlines()
    assert len(lines) == len(document.entities)
    assert all(line.count("\t") == 2 for line in lines)


def test_the_lines_are_those_of_brat_in_the_order_of_the_text(tmp_path: Path) -> None:
    entities = (Entity("ANAT", ((12, 15), (19, 24))), Entity("DISO", ((0, 8),)), Entity("DISO", ((19, 29),)))
    brat.write_document(tmp_path / "new", AnnotatedText("n", TEXT, entities))
    assert (tmp_path / "new" / "n.ann").read_text(encoding="utf-8") == (
        "T1\tDISO 0 8\tFracture\nT2\tANAT 12 15;19 24\tcol fémur\nT3\tDISO 19 24;25 29\tfémur chez\n"
    )


@pytest.mark.parametrize("between", ["\n", " \r\n  ", "\n\n\n"])
def test_an_entity_over_line_ends_is_one_stretch_and_written_line_by_line(
    tmp_path: Path, between: str
) -> None:
    text = f"Une fracture{between}du col{between}du fémur\nguérie"
    second, third = text.index("du col"), text.index("du fémur")
    line = f"DISO 4 12;{second} {second + 6};{third} {third + 8}\tfracture du col du fémur\n"
    document = read(f"T1\t{line}", text)
    assert document.entities == (Entity("DISO", ((4, third + 8),)),)
    brat.write_document(tmp_path, document)
    assert (tmp_path / "note.ann").read_text(encoding="utf-8") == f"T1\t{line}"


@pytest.mark.parametrize("name", ["", "2024/03/b", "..", ".hidden", "a\\b", "a\nb", "100%", "é" * 300])
def test_any_name_becomes_that_of_a_file(tmp_path: Path, name: str) -> None:
    brat.write_document(tmp_path, AnnotatedText(name, "a", ()))
    (document,) = brat.read_folder(tmp_path)
    assert document.text == "a"
    assert len(document.name) < 210


@given(st.sets(st.text(max_size=300), min_size=2, max_size=20))
def test_different_names_become_different_files(names: set[str]) -> None:
    names = {name for name in names if name.encode(errors="ignore").decode() == name}
    assert len({brat.file_name(name) for name in names}) == len(names)


def test_blanks_in_labels_become_underscores(tmp_path: Path) -> None:
    brat.write_document(tmp_path, AnnotatedText("note", "a", (Entity("lésion grave", ((0, 1),)),)))
    assert brat.read_folder(tmp_path)[0].entities == (Entity("lésion_grave", ((0, 1),)),)
    assert brat.label_problems(["lésion grave", "lésion"]) == []
    (problem,) = brat.label_problems(["lésion grave", "lésion", "lésion_grave"])
    assert "'lésion grave' and 'lésion_grave'" in problem


def test_confidences_of_a_model_are_notes_that_brat_shows(tmp_path: Path) -> None:
    entities = (Entity("ANAT", ((12, 15),)), Entity("DISO", ((0, 15),)))
    found = AnnotatedText("n", "Fracture du col", entities, confidences=(0.5, 0.987))
    brat.write_document(tmp_path, found)
    assert (tmp_path / "n.ann").read_text(encoding="utf-8") == (
        "T1\tDISO 0 15\tFracture du col\n#1\tAnnotatorNotes T1\tconfidence 0.99\n"
        "T2\tANAT 12 15\tcol\n#2\tAnnotatorNotes T2\tconfidence 0.50\n"
    )
    assert brat.read_folder(tmp_path) == [found._replace(confidences=None)]


def test_a_pipe_in_a_folder_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.txt")
    (tmp_path / "a.ann").touch()
    for read in (brat.read_folder, lambda path: list(brat.read_texts(path))):
        with pytest.raises(UserError, match=r"a\.txt: a named pipe, not a file"):
            read(tmp_path)
